package nodeproxy

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/apistatus"
)

// Proxy answers {pods,services,nodes}/[SCHEME:]NAME[:PORT]/proxy/PATH: it forwards the
// request to the pod, to one of the service's endpoints, or to the node: its kubelet, or
// another server at that port.
func (p *Proxy) Proxy(r *Request) error {
	scheme, name, port, err := splitTarget(r.Name)
	if err != nil {
		return err
	}
	var to *url.URL
	transport := p.transport
	o := forwardOptions{rewrite: true}
	switch r.Plural {
	case "nodes":
		node, err := p.node(r.Context(), name)
		if err != nil {
			return err
		}
		if to, err = p.kubeletURL(r.Context(), node); err != nil {
			return err
		}
		if port == "" || port == to.Port() {
			transport, o.kubelet = p.kubelets.of(name), true
		} else { // another server of the node
			to = &url.URL{Scheme: scheme, Host: net.JoinHostPort(to.Hostname(), port)}
		}
	case "pods":
		to, err = p.podTarget(r, scheme, name, port)
	default:
		to, err = p.serviceTarget(r, scheme, name, port)
	}
	if err != nil {
		return err
	}
	to.Path = cleanRest(r.Rest)
	to.RawQuery = r.URL.RawQuery
	if o.kubelet && r.Verb != "create" && core.KubeletRuns(to.Path) {
		a := r.Attributes(r.User, "create")
		allowed, reason, err := p.Authorizer.Authorize(r.Context(), a)
		if err != nil {
			return fmt.Errorf("authorizing: %w", err)
		}
		if !allowed {
			return apistatus.Forbidden(&a, reason)
		}
	}
	if r.Rest == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// relative links need the slash
		http.Redirect(r.W, r.Request, r.Path+"/"+querySuffix(r.URL), http.StatusMovedPermanently)
		return nil
	}
	return p.forward(r, to, transport, fmt.Sprintf("%s %q at %s", strings.TrimSuffix(r.Plural, "s"), name, to.Host), o)
}

// cleanRest returns the path as the other side reads it, with a slash at its end if the
// request has one; as upstream.
func cleanRest(rest string) string {
	if rest == "" {
		return ""
	}
	clean := path.Clean("/" + rest)
	if strings.HasSuffix(rest, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

func querySuffix(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}

// splitTarget splits [SCHEME:]NAME[:PORT].
func splitTarget(target string) (scheme, name, port string, err error) {
	switch parts := strings.Split(target, ":"); len(parts) {
	case 1:
		name = parts[0]
	case 2:
		name, port = parts[0], parts[1]
	case 3:
		scheme, name, port = parts[0], parts[1], parts[2]
	}
	if name == "" || (scheme != "" && scheme != "http" && scheme != "https") {
		return "", "", "", apistatus.BadRequest("invalid proxy target %q: want NAME, NAME:PORT or SCHEME:NAME:PORT", target)
	}
	if scheme == "" {
		scheme = "http"
	}
	return scheme, name, port, nil
}

func (p *Proxy) podTarget(r *Request, scheme, name, port string) (*url.URL, error) {
	pod, err := p.pod(r, name)
	if err != nil {
		return nil, err
	}
	ip, err := p.podAddress(r.Context(), pod)
	if err != nil {
		return nil, err
	}
	if port == "" {
		port = firstPort(pod)
	}
	host := ip.String()
	if port != "" {
		host = net.JoinHostPort(host, port)
	}
	return &url.URL{Scheme: scheme, Host: host}, nil
}

func firstPort(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			return strconv.Itoa(int(p.ContainerPort))
		}
	}
	return ""
}

// serviceTarget returns a ready endpoint of a service's port, which is given by name or
// number.
func (p *Proxy) serviceTarget(r *Request, scheme, name, port string) (*url.URL, error) {
	o, err := p.Objects.Get(r.Context(), schema.GroupResource{Resource: "services"}, r.Namespace, name, true)
	if err != nil {
		return nil, err
	}
	svc := o.(*corev1.Service)
	portName, err := servicePort(svc, port)
	if err != nil {
		return nil, err
	}
	o, err = p.Objects.Get(r.Context(), endpoints, r.Namespace, name, true)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	host := ""
	if err == nil { // Endpoints are old, and all that is needed
		host = p.endpoint(r, o.(*corev1.Endpoints), portName)
	}
	if host == "" {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	return &url.URL{Scheme: scheme, Host: host}, nil
}

// servicePort returns the name of the service port of that name or number.
func servicePort(svc *corev1.Service, port string) (string, error) {
	for _, p := range svc.Spec.Ports {
		if port == "" && len(svc.Spec.Ports) == 1 {
			return p.Name, nil
		}
		if p.Name == port || strconv.Itoa(int(p.Port)) == port {
			return p.Name, nil
		}
	}
	if len(svc.Spec.Ports) == 0 && port == "" {
		return "", nil
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, svc.Name))
}
