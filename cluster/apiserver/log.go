package apiserver

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
)

// log answers GET pods/NAME/log.
func (r *request) log() error {
	pod, err := r.pod()
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
			return r.sendFrames(http.NoBody, func() {})
		}
		return nil
	}
	query.Del("container")
	query.Del("insecureSkipTLSVerifyBackend")
	path := "/containerLogs/" + pod.Namespace + "/" + pod.Name + "/" + container
	if framed {
		return r.frameKubelet(pod, path, query)
	}
	return r.kubelet(pod, path, query, false)
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

// frameKubelet sends what a kubelet answers with in the messages of a web socket, which
// kubelets do not speak here. An answer that is an error stays one.
func (r *request) frameKubelet(pod *corev1.Pod, path string, query url.Values) error {
	to, err := r.kubeletURL(pod.Spec.NodeName)
	if err != nil {
		return err
	}
	if r.s.KubeletTLS == nil {
		return errNoKubeletTLS()
	}
	r.beginStream(true)
	ctx, cancel := r.untilStopped()
	defer cancel()
	to.Path, to.RawQuery = path, query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return err
	}
	res, err := r.s.kubelets.of(pod.Spec.NodeName).RoundTrip(req)
	if err != nil {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("cannot reach the kubelet of node %q at %s: %v", pod.Spec.NodeName, to.Host, err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		r.w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		r.w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(r.w, res.Body) // a caller that is gone needs no answer
		return nil
	}
	return r.sendFrames(res.Body, cancel)
}

// Subprotocols of a stream that goes one way.
const (
	binaryFrames = "binary.k8s.io"
	base64Frames = "base64.binary.k8s.io"
)

// sendFrames upgrades the connection and sends body over it, after an empty message that
// tells that all is well. It calls gone when the client has closed the connection.
func (r *request) sendFrames(body io.Reader, gone func()) error {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{binaryFrames, base64Frames},
		CheckOrigin:  func(*http.Request) bool { return true }, // as for a watch
	}
	conn, err := upgrader.Upgrade(r.w, r.Request, nil)
	if err != nil { // it has answered
		return nil
	}
	conn.SetReadLimit(longestMessage)
	sink := &wsSink{conn: conn, kind: websocket.BinaryMessage}
	defer sink.close()
	go func() { // what a client says means nothing, but that it is there
		defer gone()
		for err := error(nil); err == nil; {
			_, _, err = conn.NextReader()
		}
	}()
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
	return nil // the connection is not ours to answer on any more
}
