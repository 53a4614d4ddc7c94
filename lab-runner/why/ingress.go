package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"wheelhouse/lab-runner/near"
)

const defaultIngressClass = "ingressclass.kubernetes.io/is-default-class"

// ingress follows a request: the class and its controller, the Secrets of TLS, and the Service of each path.
func (c *chain) ingress(in *networkingv1.Ingress) {
	c.of("ingress/"+in.Name, func() {
		c.fine("object", "Ingress %s exists", in.Name)
		c.deletion(nil, "Ingress", &in.ObjectMeta)
		c.ingressClass(in)
		edit := c.kubectl("edit ingress %s", in.Name)
		for _, t := range in.Spec.TLS {
			if c.over() || t.SecretName == "" || c.f.Unread["secrets"] != "" || slices.Contains(c.f.Secrets, t.SecretName) {
				continue
			}
			w := cause{
				hop: "tls", reason: "TLSSecretMissing", text: "the Secret " + t.SecretName + " with the certificate of " + strings.Join(t.Hosts, ", ") + " does not exist",
				do: "Create it: " + c.kubectl("create secret tls %s --cert=FILE --key=FILE", t.SecretName),
			}
			if other := near.Name(t.SecretName, c.f.Secrets); other != "" {
				w.text += "; there is a Secret " + other
				w.do = "Correct secretName to " + other + ": " + edit
			}
			c.broken(w)
		}
		for _, b := range backends(in) {
			c.backend(in, b)
		}
		if c.over() {
			return
		}
		c.ingressAddress(in)
	})
}

// builtInIngress is the controller that an IngressClass names to be served by the cluster's own servers.
const builtInIngress = "wheelhouse.dev/ingress"

// ingressAddress looks at what the controller has reported: an address, and what it does not serve as it is written.
func (c *chain) ingressAddress(in *networkingv1.Ingress) {
	reports := []string{"TLSSecretNotFound", "InvalidTLSSecret", "CertificateMismatch", "PathConflict", "InvalidAnnotation"}
	if e := c.f.event("Ingress", in.Name, string(in.UID), reports...); e != nil && c.isBuiltIn(in) {
		c.unknown("controller", "the controller has reported, and this may be corrected since: %s", quote(e))
	}
	switch {
	case len(in.Status.LoadBalancer.Ingress) > 0:
		first := in.Status.LoadBalancer.Ingress[0]
		c.fine("address", "the controller serves it at %s%s", first.IP, first.Hostname)
	case c.isBuiltIn(in) && c.f.Taken.Sub(in.CreationTimestamp.Time) < addressGrace:
		c.waiting(cause{hop: "address", reason: "NoAddressYet", text: "the server has not written an address into its status yet", do: "Ask again in a few seconds."})
	case c.isBuiltIn(in):
		c.broken(cause{
			hop: "address", reason: "IngressNotServed", text: "no server has written an address into its status: none serves Ingresses, or the ports 80 and 443 of the master belong to another program",
			do: "Free the ports, or start the server with --ingress-http-port and --ingress-https-port; its log names the one that is in use.",
		})
	default:
		c.unknown("address", "no controller has written an address into its status; some never do")
	}
}

// addressGrace is how long the server may take to write an address.
const addressGrace = 30 * time.Second

func (c *chain) isBuiltIn(in *networkingv1.Ingress) bool {
	return in.Spec.IngressClassName != nil && slices.ContainsFunc(c.f.Classes, func(k networkingv1.IngressClass) bool {
		return k.Name == *in.Spec.IngressClassName && k.Spec.Controller == builtInIngress
	})
}

func (c *chain) ingressClass(in *networkingv1.Ingress) {
	if c.over() || c.f.Unread["ingressclasses"] != "" {
		return
	}
	name := in.Annotations["kubernetes.io/ingress.class"]
	if in.Spec.IngressClassName != nil {
		name = *in.Spec.IngressClassName
	}
	have := names(c.f.Classes)
	switch {
	case name == "" && slices.ContainsFunc(c.f.Classes, func(k networkingv1.IngressClass) bool { return k.Annotations[defaultIngressClass] == "true" }):
		c.fine("class", "it has the default IngressClass")
	case name == "" && len(have) == 0:
		c.unknown("class", "the cluster has no IngressClass; a controller that takes every Ingress may run nevertheless")
	case name == "":
		c.broken(cause{hop: "class", reason: "NoIngressClass", text: "the Ingress names no ingressClassName, and no class is the default, so no controller takes it", do: "Name one (" + strings.Join(have, ", ") + "): " + c.kubectl("edit ingress %s", in.Name)})
	case !slices.Contains(have, name) && in.Spec.IngressClassName != nil:
		w := cause{hop: "class", reason: "IngressClassMissing", text: "the IngressClass " + name + " does not exist, so no controller takes the Ingress", do: "Install a controller with this class, or name one that exists: kubectl get ingressclass"}
		if other := near.Name(name, have); other != "" {
			w.text += "; there is an IngressClass " + other
			w.do = "Correct ingressClassName to " + other + ": " + c.kubectl("edit ingress %s", in.Name)
		}
		c.broken(w)
	default:
		c.fine("class", "its IngressClass is %s", name)
	}
}

// path is a rule of an Ingress with its backend.
type path struct {
	where   string
	backend *networkingv1.IngressServiceBackend
}

func backends(in *networkingv1.Ingress) []path {
	var out []path
	if b := in.Spec.DefaultBackend; b != nil && b.Service != nil {
		out = append(out, path{"the default backend", b.Service})
	}
	for _, r := range in.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for _, p := range r.HTTP.Paths {
			if p.Backend.Service != nil {
				host := r.Host
				if host == "" {
					host = "*"
				}
				out = append(out, path{host + p.Path, p.Backend.Service})
			}
		}
	}
	return out
}

func (c *chain) backend(in *networkingv1.Ingress, p path) {
	if c.over() {
		return
	}
	if text := c.f.Unread["services"]; text != "" {
		c.unknown("backend", "the Services could not be read: %s", text)
		return
	}
	edit := c.kubectl("edit ingress %s", in.Name)
	s := find(c.f.Services, p.backend.Name)
	if s == nil {
		w := cause{hop: "backend", reason: "BackendMissing", text: fmt.Sprintf("%s leads to the Service %s, which does not exist in namespace %s", p.where, p.backend.Name, in.Namespace), do: "Create the Service, or correct the backend: " + edit, missing: &Ref{"Service", in.Namespace, p.backend.Name}}
		if other := near.Name(p.backend.Name, names(c.f.Services)); other != "" {
			w.text += "; there is a Service " + other
			w.do = "Correct the backend to " + other + ": " + edit
		} else if first, all := c.f.elsewhere("Service", p.backend.Name); first != "" {
			w.text += "; there is one in " + all + ", and an Ingress reaches those of its own namespace only"
			w.do = "Create the Ingress in namespace " + first + "."
		}
		c.broken(w)
		return
	}
	var ports []string
	found := false
	for _, sp := range s.Spec.Ports {
		found = found || p.backend.Port.Name != "" && sp.Name == p.backend.Port.Name || p.backend.Port.Number != 0 && sp.Port == p.backend.Port.Number
		ports = append(ports, strings.TrimSpace(fmt.Sprintf("%d %s", sp.Port, sp.Name)))
	}
	if !found {
		want := p.backend.Port.Name
		if want == "" {
			want = fmt.Sprint(p.backend.Port.Number)
		}
		c.broken(cause{
			hop: "backend", reason: "BackendPort", text: fmt.Sprintf("%s leads to port %s of Service %s, which has %s", p.where, want, s.Name, strings.Join(ports, ", ")),
			do: "Correct the backend's port: " + edit,
		})
		return
	}
	c.fine("backend", "%s leads to Service %s", p.where, s.Name)
	c.service(s)
}
