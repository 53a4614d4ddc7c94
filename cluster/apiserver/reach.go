package apiserver

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

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/admission"
)

// Reach is where the server connects to for a request: to pods and to nodes, whatever
// those who write their status say. A network that is not valid is not known, and not
// looked at.
type Reach struct {
	Pods, Services netip.Prefix
	Nodes          netip.Prefix // the addresses that nodes can have
	Loopback       bool         // nodes and pods may be on loopback: the server itself is
}

// errAddress is upstream's text for an address that the server does not connect to.
var errAddress = errors.New("address not allowed")

func addressNotAllowed() error { return apierrors.NewBadRequest(errAddress.Error()) }

// common reports whether ip is an address that two machines can talk by.
func (c *Reach) common(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() || c.Loopback && ip.IsLoopback()
}

// node reports whether a node can have the address.
func (c *Reach) node(ip netip.Addr) bool {
	within := !c.Nodes.IsValid() || c.Nodes.Contains(ip)
	return within && c.common(ip) && !c.Pods.Contains(ip) && !c.Services.Contains(ip)
}

// dial connects to an address only, not to a name, and looks at it once more when it is
// about to.
func (c *Reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	check := func(_, address string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err != nil || !c.common(at.Addr().Unmap()) {
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
func (s *Server) kubeletURL(ctx context.Context, n *corev1.Node) (*url.URL, error) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type != kind {
				continue
			}
			ip, err := netip.ParseAddr(a.Address)
			if err != nil || !s.Reach.node(ip) {
				return nil, addressNotAllowed()
			}
			port := n.Status.DaemonEndpoints.KubeletEndpoint.Port
			if port == 0 {
				port = 10250
			}
			own, err := s.apiServers(ctx)
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
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %q has not said its address yet", n.Name))
}

// apiServers are where the servers of this API listen, this one included.
func (s *Server) apiServers(ctx context.Context) (list []netip.AddrPort, err error) {
	item, err := s.core("endpoints").collection.Get(ctx, metav1.NamespaceDefault, "kubernetes", "0")
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, set := range item.Object().(*corev1.Endpoints).Subsets {
		for _, a := range set.Addresses {
			for _, p := range set.Ports {
				if ip, err := netip.ParseAddr(a.IP); err == nil {
					list = append(list, netip.AddrPortFrom(ip, uint16(p.Port)))
				}
			}
		}
	}
	return list, nil
}

// podAddress returns the address of a pod if it can be the pod's. One that has ended has
// none: another pod may have it by now.
func (s *Server) podAddress(ctx context.Context, pod *corev1.Pod) (netip.Addr, error) {
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || podfacts.Terminal(pod) || !s.Reach.common(ip) || s.Reach.Services.Contains(ip) {
		return netip.Addr{}, addressNotAllowed()
	}
	item, err := s.core("nodes").collection.Get(ctx, "", pod.Spec.NodeName, "0")
	if apierrors.IsNotFound(err) || pod.Spec.NodeName == "" {
		return netip.Addr{}, addressNotAllowed()
	}
	if err != nil {
		return netip.Addr{}, err
	}
	inside := s.Reach.node(ip)
	if !pod.Spec.HostNetwork {
		inside = !s.Reach.Pods.IsValid() || s.Reach.Pods.Contains(ip)
	}
	if !inside || !admission.PodCanHave(pod, item.Object().(*corev1.Node), ip) {
		return netip.Addr{}, addressNotAllowed()
	}
	return ip, nil
}

// endpoint returns one address and port of a service that the server connects to, ""
// if there is none: as upstream, that of a pod of the namespace, which has the address
// still.
func (r *request) endpoint(e *corev1.Endpoints, port string) string {
	sets := slices.Clone(e.Subsets)
	rand.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	for i := range sets {
		set := &sets[i]
		for _, p := range set.Ports {
			if p.Name != port {
				continue
			}
			for _, k := range rand.Perm(len(set.Addresses)) {
				if a := &set.Addresses[k]; r.mayLeadTo(a) {
					return net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port)))
				}
			}
		}
	}
	return ""
}

func (r *request) mayLeadTo(a *corev1.EndpointAddress) bool {
	ip, err := netip.ParseAddr(a.IP)
	if err != nil {
		return false
	}
	if a.TargetRef == nil {
		return r.Namespace == metav1.NamespaceSystem && r.onMaster(ip)
	}
	if a.TargetRef.Kind != "Pod" || a.TargetRef.Namespace != r.Namespace {
		return false
	}
	item, err := r.s.core("pods").collection.Get(r.Context(), r.Namespace, a.TargetRef.Name, "0")
	if err != nil {
		return false
	}
	own, err := r.s.podAddress(r.Context(), item.Object().(*corev1.Pod))
	return err == nil && own == ip
}

// onMaster reports whether the address is an API server's: the cluster's own services
// that have no pods, such as kube-ui, answer there.
func (r *request) onMaster(ip netip.Addr) bool {
	servers, err := r.s.apiServers(r.Context())
	return err == nil && r.s.Reach.common(ip) && slices.ContainsFunc(servers, func(at netip.AddrPort) bool { return at.Addr() == ip })
}
