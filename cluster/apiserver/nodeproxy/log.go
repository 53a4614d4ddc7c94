package nodeproxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/wsstream"
)

// Log answers GET pods/NAME/log.
func (p *Proxy) Log(r *Request) error {
	pod, err := p.pod(r, r.Name)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	container, err := chooseContainer(pod, query.Get("container"))
	if err != nil {
		return err
	}
	if err := checkLogOptions(query); err != nil {
		return err
	}
	framed := websocket.IsWebSocketUpgrade(r.Request)
	if pod.Spec.NodeName == "" { // nothing has run: an empty log, as upstream
		if framed {
			return sendFrames(r, http.NoBody, func() {})
		}
		return nil
	}
	query.Del("container")
	query.Del("insecureSkipTLSVerifyBackend")
	path := "/containerLogs/" + pod.Namespace + "/" + pod.Name + "/" + container
	if framed {
		return p.frameKubelet(r, pod, path, query)
	}
	return p.forwardToKubelet(r, pod, path, query, false)
}

func checkLogOptions(query url.Values) error {
	for _, name := range []string{"tailLines", "sinceSeconds", "limitBytes"} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return apistatus.BadRequest("%s: %v", name, err)
		}
		if n < 0 || (n == 0 && name != "tailLines") {
			return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), "", nil)
		}
	}
	if query.Get("sinceSeconds") != "" && query.Get("sinceTime") != "" {
		return apistatus.BadRequest("at most one of `sinceTime` or `sinceSeconds` may be specified")
	}
	return nil
}

// frameKubelet sends a kubelet's answer in the messages of a web socket, which this route of
// kubelets does not speak. An error is answered as it is.
func (p *Proxy) frameKubelet(r *Request, pod *corev1.Pod, path string, query url.Values) error {
	to, err := p.kubeletOf(r, pod, path, query)
	if err != nil {
		return err
	}
	if p.KubeletTLS == nil {
		return errNoKubeletTLS()
	}
	r.BeginStream()
	ctx, cancel := p.untilStopped(r)
	defer cancel()
	res, err := p.get(ctx, pod.Spec.NodeName, to)
	if err != nil {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("cannot reach the kubelet of node %q at %s: %v", pod.Spec.NodeName, to.Host, err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		r.W.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		r.W.WriteHeader(res.StatusCode)
		_, _ = io.Copy(r.W, res.Body) // a caller that is gone needs no answer
		return nil
	}
	return sendFrames(r, res.Body, cancel)
}

// Subprotocols of a stream in one direction.
const (
	binaryFrames = "binary.k8s.io"
	base64Frames = "base64.binary.k8s.io"
)

// sendFrames upgrades the connection and sends body over it, after an empty message that
// means success. It calls closed when the client has closed the connection.
func sendFrames(r *Request, body io.Reader, closed func()) error {
	conn, err := wsstream.Upgrade(r.W, r.Request, closed, binaryFrames, base64Frames)
	if err != nil { // it has answered
		return nil
	}
	defer wsstream.Close(conn)
	send := func(p []byte) error { return conn.WriteMessage(websocket.BinaryMessage, p) }
	if conn.Subprotocol() == base64Frames {
		send = func(p []byte) error {
			return conn.WriteMessage(websocket.TextMessage, base64.StdEncoding.AppendEncode(nil, p))
		}
	}
	err = send(nil)
	for part := make([]byte, 16<<10); err == nil; {
		var n int
		n, err = body.Read(part)
		if n > 0 {
			err = errors.Join(send(part[:n]), err)
		}
	}
	return nil // the connection was taken over: there is nothing to answer
}
