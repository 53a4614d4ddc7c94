package nodeproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/admission"
)

var endpoints = schema.GroupResource{Resource: "endpoints"}

// Reach restricts where the server connects to for a request, whatever the status of pods
// and nodes says. A network that is not valid is not checked.
type Reach struct {
	Pods, Services netip.Prefix
	Nodes          netip.Prefix // the addresses that nodes can have
	Loopback       bool         // nodes and pods may be on loopback: the server itself is
}

// errAddress is upstream's text for an address that the server does not connect to.
var errAddress = errors.New("address not allowed")

func addressNotAllowed() error { return apierrors.NewBadRequest(errAddress.Error()) }

// unicast reports whether ip is an address between two machines.
func (c *Reach) unicast(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() || c.Loopback && ip.IsLoopback()
}

// node reports whether a node can have the address.
func (c *Reach) node(ip netip.Addr) bool {
	within := !c.Nodes.IsValid() || c.Nodes.Contains(ip)
	return within && c.unicast(ip) && !c.Pods.Contains(ip) && !c.Services.Contains(ip)
}

// dial connects to an address, not to a name, and checks it again just before.
func (c *Reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	check := func(_, address string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err != nil || !c.unicast(at.Addr().Unmap()) {
			return errAddress
		}
		return nil
	}
	if err := check(network, address, nil); err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: check}
	return d.DialContext(ctx, network, address)
}

// kubeletURL returns where the kubelet of a node answers: an address of the node, and a
// port that is not the API server's own.
func (p *Proxy) kubeletURL(ctx context.Context, n *corev1.Node) (*url.URL, error) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type != kind {
				continue
			}
			ip, err := netip.ParseAddr(a.Address)
			if err != nil || !p.Reach.node(ip) {
				return nil, addressNotAllowed()
			}
			port := n.Status.DaemonEndpoints.KubeletEndpoint.Port
			if port == 0 {
				port = 10250
			}
			own, err := p.apiServers(ctx)
			if err != nil {
				return nil, err
			}
			at := netip.AddrPortFrom(ip, uint16(port))
			if slices.Contains(own, at) {
				return nil, addressNotAllowed()
			}
			return &url.URL{Scheme: "https", Host: at.String()}, nil
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %q has no address in its status yet", n.Name))
}

// apiServers returns where the servers of this API listen, this one included.
func (p *Proxy) apiServers(ctx context.Context) (list []netip.AddrPort, err error) {
	o, err := p.Objects.Get(ctx, endpoints, metav1.NamespaceDefault, "kubernetes", false)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, set := range o.(*corev1.Endpoints).Subsets {
		for _, a := range set.Addresses {
			for _, port := range set.Ports {
				if ip, err := netip.ParseAddr(a.IP); err == nil {
					list = append(list, netip.AddrPortFrom(ip, uint16(port.Port)))
				}
			}
		}
	}
	return list, nil
}

// podAddress returns the address of a pod if it can be the pod's. A terminated pod has none:
// another pod may have it by now.
func (p *Proxy) podAddress(ctx context.Context, pod *corev1.Pod) (netip.Addr, error) {
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || podfacts.Terminal(pod) || !p.Reach.unicast(ip) || p.Reach.Services.Contains(ip) {
		return netip.Addr{}, addressNotAllowed()
	}
	node, err := p.node(ctx, pod.Spec.NodeName)
	if apierrors.IsNotFound(err) || pod.Spec.NodeName == "" {
		return netip.Addr{}, addressNotAllowed()
	}
	if err != nil {
		return netip.Addr{}, err
	}
	inside := p.Reach.node(ip)
	if !pod.Spec.HostNetwork {
		inside = !p.Reach.Pods.IsValid() || p.Reach.Pods.Contains(ip)
	}
	if !inside || !admission.PodCanHave(pod, node, ip) {
		return netip.Addr{}, addressNotAllowed()
	}
	return ip, nil
}

// endpoint returns an address and port of a service that the server may connect to, ""
// if there is none: as upstream, that of a pod of the namespace, which must still have the
// address.
func (p *Proxy) endpoint(r *Request, e *corev1.Endpoints, portName string) string {
	sets := slices.Clone(e.Subsets)
	rand.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	for i := range sets {
		set := &sets[i]
		for _, port := range set.Ports {
			if port.Name != portName {
				continue
			}
			for _, k := range rand.Perm(len(set.Addresses)) {
				if a := &set.Addresses[k]; p.reachable(r, a) {
					return net.JoinHostPort(a.IP, strconv.Itoa(int(port.Port)))
				}
			}
		}
	}
	return ""
}

func (p *Proxy) reachable(r *Request, a *corev1.EndpointAddress) bool {
	ip, err := netip.ParseAddr(a.IP)
	if err != nil {
		return false
	}
	if a.TargetRef == nil {
		return r.Namespace == metav1.NamespaceSystem && p.onControlPlane(r.Context(), ip)
	}
	if a.TargetRef.Kind != "Pod" || a.TargetRef.Namespace != r.Namespace {
		return false
	}
	o, err := p.Objects.Get(r.Context(), schema.GroupResource{Resource: "pods"}, r.Namespace, a.TargetRef.Name, false)
	if err != nil {
		return false
	}
	own, err := p.podAddress(r.Context(), o.(*corev1.Pod))
	return err == nil && own == ip
}

// onControlPlane reports whether the address is an API server's: the cluster's own services
// without pods, such as kube-ui, answer there.
func (p *Proxy) onControlPlane(ctx context.Context, ip netip.Addr) bool {
	servers, err := p.apiServers(ctx)
	return err == nil && p.Reach.unicast(ip) && slices.ContainsFunc(servers, func(at netip.AddrPort) bool { return at.Addr() == ip })
}
