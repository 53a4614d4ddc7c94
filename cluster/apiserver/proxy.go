package apiserver

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

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/apistatus"
)

// proxy answers {pods,services,nodes}/[SCHEME:]NAME[:PORT]/proxy/PATH: it passes the
// request on to the pod, to one of the service's endpoints, or to the node: its kubelet,
// or what else has the port.
func (r *request) proxy() error {
	scheme, name, port, err := splitTarget(r.Name)
	if err != nil {
		return err
	}
	var to *url.URL
	transport := r.s.proxied
	o := passOptions{rewrite: true}
	switch r.Plural {
	case "nodes":
		if to, err = r.kubeletURL(name); err != nil {
			return err
		}
		if port == "" || port == to.Port() {
			transport, o.kubelet = r.s.kubelets.of(name), true
		} else { // another server of the node
			to = &url.URL{Scheme: scheme, Host: net.JoinHostPort(to.Hostname(), port)}
		}
	case "pods":
		to, err = r.podTarget(scheme, name, port)
	default:
		to, err = r.serviceTarget(scheme, name, port)
	}
	if err != nil {
		return err
	}
	to.Path = cleanRest(r.Rest)
	to.RawQuery = r.URL.RawQuery
	if o.kubelet && r.Verb != "create" && core.KubeletRuns(to.Path) {
		if err := r.s.authorize(r, "create"); err != nil {
			return err
		}
	}
	if r.Rest == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// relative links need the slash
		http.Redirect(r.w, r.Request, r.Path+"/"+querySuffix(r.URL), http.StatusMovedPermanently)
		return nil
	}
	return r.pass(to, transport, fmt.Sprintf("%s %q at %s", strings.TrimSuffix(r.Plural, "s"), name, to.Host), o)
}

// cleanRest is the path as the other side reads it, with a slash at its end as it was
// asked for; as upstream.
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

// splitTarget cuts [SCHEME:]NAME[:PORT].
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

func (r *request) podTarget(scheme, name, port string) (*url.URL, error) {
	item, err := r.res.collection.Get(r.Context(), r.Namespace, name, "")
	if err != nil {
		return nil, err
	}
	pod := item.Object().(*corev1.Pod)
	ip, err := r.s.podAddress(r.Context(), pod)
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

// serviceTarget picks one ready endpoint of a service's port, which is meant by its
// name or number.
func (r *request) serviceTarget(scheme, name, port string) (*url.URL, error) {
	item, err := r.res.collection.Get(r.Context(), r.Namespace, name, "")
	if err != nil {
		return nil, err
	}
	svc := item.Object().(*corev1.Service)
	portName, err := servicePort(svc, port)
	if err != nil {
		return nil, err
	}
	item, err = r.s.core("endpoints").collection.Get(r.Context(), r.Namespace, name, "")
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	host := ""
	if err == nil { // Endpoints are old, and all that is needed
		host = r.endpoint(item.Object().(*corev1.Endpoints), portName)
	}
	if host == "" {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	return &url.URL{Scheme: scheme, Host: host}, nil
}

// servicePort is the name of the port that is meant.
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
