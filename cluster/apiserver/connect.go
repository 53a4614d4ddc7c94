package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/proxy"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
)

// newTransport is a way to kubelets, pods or services, within reach. It speaks HTTP/1.1 only:
// an upgraded connection cannot be anything else.
func newTransport(conf *tls.Config, reach *Reach) *http.Transport {
	conf.NextProtos = []string{"http/1.1"}
	return &http.Transport{
		DialContext: reach.dial, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		DisableCompression: true, // bodies pass as they are
	}
}

// pod is the pod of the path.
func (r *request) pod() (*corev1.Pod, error) {
	item, err := r.res.collection.Get(r.Context(), r.Namespace, r.Name, "")
	if err != nil {
		return nil, err
	}
	return item.Object().(*corev1.Pod), nil
}

// kubeletURL is where the kubelet of a node answers.
func (r *request) kubeletURL(node string) (*url.URL, error) {
	item, err := r.s.core("nodes").collection.Get(r.Context(), "", node, "0")
	if err != nil {
		return nil, err
	}
	return r.s.kubeletURL(r.Context(), item.Object().(*corev1.Node))
}

// kubelet passes the request on to the kubelet of a pod's node.
func (r *request) kubelet(pod *corev1.Pod, path string, query url.Values, upgrade bool) error {
	if pod.Spec.NodeName == "" {
		return apistatus.BadRequest("pod %s does not have a host assigned", pod.Name)
	}
	to, err := r.kubeletURL(pod.Spec.NodeName)
	if err != nil {
		return err
	}
	to.Path, to.RawQuery = path, query.Encode()
	what := fmt.Sprintf("the kubelet of node %q at %s", pod.Spec.NodeName, to.Host)
	return r.pass(to, r.s.kubelets.of(pod.Spec.NodeName), what, passOptions{upgradeRequired: upgrade, kubelet: true})
}

type passOptions struct {
	upgradeRequired bool
	rewrite         bool // links in HTML, so that they lead through the proxy again
	kubelet         bool
}

// pass forwards the request, and its upgraded connection in both directions if it asks
// for one, until one side ends or the server stops.
func (r *request) pass(to *url.URL, transport *http.Transport, what string, o passOptions) error {
	if o.kubelet && r.s.KubeletTLS == nil {
		return errNoKubeletTLS()
	}
	r.beginStream(true)
	ctx, cancel := r.untilStopped()
	defer cancel()
	h := proxy.NewUpgradeAwareHandler(to, transport, o.rewrite, o.upgradeRequired, responder{r, what})
	h.UseLocationHost = true
	h.RejectForwardingRedirects = o.kubelet
	h.FlushInterval = -1 // logs are shown as they come
	req := r.Request.Clone(ctx)
	if to.RawQuery != "" || o.kubelet {
		req.URL.RawQuery = to.RawQuery
	}
	h.ServeHTTP(r.w, req)
	return nil
}

func errNoKubeletTLS() error {
	return apierrors.NewServiceUnavailable("this server has no certificate for kubelets; it cannot reach them")
}

// untilStopped is the request's context, which also ends with the server.
func (r *request) untilStopped() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		select {
		case <-r.s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// responder answers when the other side cannot be reached.
type responder struct {
	r    *request
	what string
}

func (e responder) Error(_ http.ResponseWriter, req *http.Request, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		err = apierrors.NewServiceUnavailable(fmt.Sprintf("cannot reach %s: %v", e.what, err))
	}
	if e.r.w.code == 0 {
		e.r.s.fail(e.r.w, req, err)
	}
}

// chooseContainer finds the container that is meant: the one of that name, or the only
// one there is.
func chooseContainer(pod *corev1.Pod, name string) (string, error) {
	var main, all []string
	for _, c := range pod.Spec.Containers {
		main = append(main, c.Name)
	}
	all = append(all, main...)
	var init []string
	for _, c := range pod.Spec.InitContainers {
		init = append(init, c.Name)
	}
	all = append(all, init...)
	for _, c := range pod.Spec.EphemeralContainers {
		all = append(all, c.Name)
	}
	switch {
	case name == "" && len(main) == 1:
		return main[0], nil
	case name == "":
		message := fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", pod.Name, strings.Join(main, " "))
		if len(init) > 0 {
			message += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(init, " "))
		}
		return "", apistatus.BadRequest("%s", message)
	case !slices.Contains(all, name):
		return "", apistatus.BadRequest("container %s is not valid for pod %s", name, pod.Name)
	}
	return name, nil
}

// mayConnect refuses a connection into a pod to who may not create one: the GET that a
// WebSocket begins with is authorized as a read, and yet runs something. The words are
// upstream's (AuthorizePodWebsocketUpgradeCreatePermission).
func (r *request) mayConnect() error {
	if r.Verb == "create" {
		return nil
	}
	allowed, reason, err := r.s.Authorizer.Authorize(r.Context(), r.Attributes(r.user, "create"))
	if err != nil {
		return fmt.Errorf("authorizing: %w", err)
	}
	if !allowed {
		return apierrors.NewForbidden(r.res.groupResource(), r.Name, errors.New(reason))
	}
	return nil
}

// toContainer answers pods/NAME/exec and pods/NAME/attach. The kubelet calls the
// streams by other names than the API.
func (r *request) toContainer() error {
	if err := r.mayConnect(); err != nil {
		return err
	}
	pod, err := r.pod()
	if err != nil {
		return err
	}
	from := r.URL.Query()
	container, err := chooseContainer(pod, from.Get("container"))
	if err != nil {
		return err
	}
	if err := r.admitConnect(pod); err != nil {
		return err
	}
	query := url.Values{}
	streams := 0
	for api, kubelet := range map[string]string{"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"} {
		if on, _ := strconv.ParseBool(from.Get(api)); on {
			query.Set(kubelet, "1")
			if api != "tty" {
				streams++
			}
		}
	}
	if streams == 0 {
		return apistatus.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	if r.Subresource == "exec" {
		query["command"] = from["command"]
		if len(query["command"]) == 0 {
			return apistatus.BadRequest("you must specify at least one command for the container")
		}
	}
	return r.kubelet(pod, "/"+r.Subresource+"/"+pod.Namespace+"/"+pod.Name+"/"+container, query, true)
}

func (r *request) portForward() error {
	if err := r.mayConnect(); err != nil {
		return err
	}
	pod, err := r.pod()
	if err != nil {
		return err
	}
	if err := r.admitConnect(pod); err != nil {
		return err
	}
	query := url.Values{}
	if ports := r.URL.Query()["ports"]; len(ports) > 0 { // named for WebSockets, in the streams' headers for SPDY
		query.Set("port", strings.Join(ports, ","))
	}
	return r.kubelet(pod, "/portForward/"+pod.Namespace+"/"+pod.Name, query, true)
}

func (r *request) admitConnect(pod *corev1.Pod) error {
	var a admitting
	if err := a.begin(r.Context(), r, admission.Connect, pod, nil, false); err != nil {
		return err
	}
	err := a.finish(r.Context())
	a.end(r.Context(), err)
	return err
}
