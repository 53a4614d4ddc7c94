// Package nodeproxy answers the requests that the API server forwards to nodes, pods and
// services: log, exec, attach, portforward and proxy.
//
// It owns the connections to kubelets and the rules on where the server connects to for a
// request (Reach, and what the status of the object may claim). It connects to addresses,
// never to names; to a kubelet only when it proves the name of its node. It does not
// authorize the request itself: the caller has done that, with the verb of the request.
// It authorizes create where a GET executes something.
package nodeproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/proxy"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/client"
)

// Objects reads nodes, pods, services and endpoints: fresh from the store, else as the cache has them.
type Objects interface {
	Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error)
}

// Authorizer decides whether a request may do what another verb stands for.
type Authorizer interface {
	Authorize(context.Context, authz.Attributes) (allowed bool, reason string, err error)
}

// Caller is the part of a request that its server implements.
type Caller interface {
	AdmitConnect(*corev1.Pod) error
	// BeginStream is called before the request is forwarded: it may last from now on.
	BeginStream()
	// Fail answers with an error, unless the answer has begun.
	Fail(error)
}

// Request is one request to forward.
type Request struct {
	*http.Request
	*requestinfo.Info
	Caller
	User *client.User
	W    http.ResponseWriter
}

// Config is what a Proxy needs.
type Config struct {
	Objects    Objects
	Authorizer Authorizer
	KubeletTLS *tls.Config // the client side of connections to kubelets; nil: they answer 503
	Reach      Reach
	Stopping   <-chan struct{} // closed when streams shall end
}

// Proxy forwards requests.
type Proxy struct {
	Config
	kubelets  *kubeletTransports
	transport *http.Transport // to pods and services
}

// New returns a Proxy. It starts nothing.
func New(c Config) *Proxy {
	p := &Proxy{Config: c}
	p.kubelets = newKubeletTransports(c.KubeletTLS, &p.Reach)
	// The servers of pods and services have certificates of their own making.
	p.transport = newTransport(&tls.Config{InsecureSkipVerify: true}, &p.Reach)
	return p
}

// Reset closes the idle connections to kubelets, so that new ones are verified.
func (p *Proxy) Reset() { p.kubelets.reset() }

func (p *Proxy) pod(r *Request, name string) (*corev1.Pod, error) {
	o, err := p.Objects.Get(r.Context(), schema.GroupResource{Resource: "pods"}, r.Namespace, name, true)
	if err != nil {
		return nil, err
	}
	return o.(*corev1.Pod), nil
}

// node returns a node as the cache has it.
func (p *Proxy) node(ctx context.Context, name string) (*corev1.Node, error) {
	o, err := p.Objects.Get(ctx, schema.GroupResource{Resource: "nodes"}, "", name, false)
	if err != nil {
		return nil, err
	}
	return o.(*corev1.Node), nil
}

// kubeletOf returns where the kubelet of a pod's node answers.
func (p *Proxy) kubeletOf(r *Request, pod *corev1.Pod, path string, query url.Values) (*url.URL, error) {
	node, err := p.node(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return nil, err
	}
	to, err := p.kubeletURL(r.Context(), node)
	if err == nil {
		to.Path, to.RawQuery = path, query.Encode()
	}
	return to, err
}

// forwardToKubelet passes the request on to the kubelet of the pod's node.
func (p *Proxy) forwardToKubelet(r *Request, pod *corev1.Pod, path string, query url.Values, upgrade bool) error {
	if pod.Spec.NodeName == "" {
		return apistatus.BadRequest("pod %s does not have a host assigned", pod.Name)
	}
	to, err := p.kubeletOf(r, pod, path, query)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("the kubelet of node %q at %s", pod.Spec.NodeName, to.Host)
	return p.forward(r, to, p.kubelets.of(pod.Spec.NodeName), what, forwardOptions{upgradeRequired: upgrade, kubelet: true})
}

// GetKubelet returns the answer of a node's kubelet to a GET.
func (p *Proxy) GetKubelet(ctx context.Context, node *corev1.Node, path string) (*http.Response, error) {
	to, err := p.kubeletURL(ctx, node)
	if err != nil {
		return nil, err
	}
	to.Path = path
	return p.get(ctx, node.Name, to)
}

func (p *Proxy) get(ctx context.Context, node string, to *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	return p.kubelets.of(node).RoundTrip(req)
}

type forwardOptions struct {
	upgradeRequired bool
	rewrite         bool // links in HTML, so that they lead through the proxy again
	kubelet         bool
}

// forward passes the request on, and its upgraded connection in both directions if it asks
// for one, until one side ends or the server stops.
func (p *Proxy) forward(r *Request, to *url.URL, transport *http.Transport, what string, o forwardOptions) error {
	if o.kubelet && p.KubeletTLS == nil {
		return errNoKubeletTLS()
	}
	r.BeginStream()
	ctx, cancel := p.untilStopped(r)
	defer cancel()
	h := proxy.NewUpgradeAwareHandler(to, transport, o.rewrite, o.upgradeRequired, errorResponder{r, what})
	h.UseLocationHost = true
	h.RejectForwardingRedirects = o.kubelet
	h.FlushInterval = -1 // logs are shown as they come
	req := r.Request.Clone(ctx)
	if to.RawQuery != "" || o.kubelet {
		req.URL.RawQuery = to.RawQuery
	}
	h.ServeHTTP(r.W, req)
	return nil
}

func errNoKubeletTLS() error {
	return apierrors.NewServiceUnavailable("this server has no certificate for kubelets; it cannot reach them")
}

// untilStopped returns the request's context, which also ends with the server.
func (p *Proxy) untilStopped(r *Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		select {
		case <-p.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// errorResponder answers when the other side cannot be reached.
type errorResponder struct {
	r    *Request
	what string
}

func (e errorResponder) Error(_ http.ResponseWriter, _ *http.Request, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		err = apierrors.NewServiceUnavailable(fmt.Sprintf("cannot reach %s: %v", e.what, err))
	}
	e.r.Fail(err)
}
