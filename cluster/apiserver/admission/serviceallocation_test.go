package admission_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/wait"
)

func service(name string, change func(*corev1.ServiceSpec)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta("a", name), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}},
	}}
	if change != nil {
		change(&s.Spec)
	}
	return s
}

func nodePort(ports ...int32) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) {
		s.Type, s.Ports = corev1.ServiceTypeNodePort, nil
		for i, p := range ports {
			s.Ports = append(s.Ports, corev1.ServicePort{Name: fmt.Sprint(i), Port: int32(80 + i), Protocol: corev1.ProtocolTCP, NodePort: p})
		}
	}
}

func clusterIP(ip string) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) { s.ClusterIP = ip }
}

// write does with a Service what the server does: admit, store, done.
func write(c *admission.Chain, o *authztest.Objects, s, old *corev1.Service) error {
	r := &admission.Request{Verb: admission.Create, Kind: kind("", "services"), Namespace: "a", Name: s.Name, Object: s}
	if old != nil {
		r.Verb, r.Old = admission.Update, old
	}
	err := c.Admit(bg, r)
	if err == nil && old == nil {
		if _, found := o.Get(bg, r.Kind.GroupVersion().WithResource("services").GroupResource(), "a", s.Name, true); found == nil {
			err = apierrors.NewAlreadyExists(r.Kind.GroupVersion().WithResource("services").GroupResource(), s.Name)
		}
	}
	if err == nil {
		o.Put("", "services", s)
	}
	c.Done(bg, r, err)
	return err
}

// Both ways to keep claims must behave the same.
func claimsOf(t *testing.T) map[string]func() serviceallocator.Claims {
	t.Helper()
	return map[string]func() serviceallocator.Claims{
		"memory": serviceallocator.NewMemoryClaims,
		"etcd":   func() serviceallocator.Claims { return serviceallocator.NewEtcdClaims(startEtcd(t)) },
	}
}

func startEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	c, stop, err := etcd.StartEmbedded(bg, etcd.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return c
}

func TestServiceAddresses(t *testing.T) {
	for name, claims := range claimsOf(t) {
		t.Run(name, func(t *testing.T) {
			o := cluster()
			c := newChain(t, o, serviceallocator.Config{CIDR: netip.MustParsePrefix("10.247.0.0/16"), Claims: claims()})
			s := service("one", nil)
			want(t, write(c, o, s, nil), "")
			ip, err := netip.ParseAddr(s.Spec.ClusterIP)
			if err != nil || !netip.MustParsePrefix("10.247.0.0/16").Contains(ip) || s.Spec.ClusterIPs[0] != s.Spec.ClusterIP {
				t.Fatalf("address %q %v", s.Spec.ClusterIP, s.Spec.ClusterIPs)
			}
			if !ip.Next().IsValid() || ip.Compare(netip.MustParseAddr("10.247.1.0")) < 0 {
				t.Errorf("%s is of the part that is left to those who name an address", ip)
			}
			if *s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || s.Spec.IPFamilies[0] != corev1.IPv4Protocol {
				t.Errorf("families %v %v", *s.Spec.IPFamilyPolicy, s.Spec.IPFamilies)
			}
			want(t, write(c, o, service("dns", clusterIP("10.247.0.10")), nil), "")
			want(t, write(c, o, service("two", clusterIP("10.247.0.10")), nil),
				`Service "two" is invalid: spec.clusterIPs: Invalid value: ["10.247.0.10"]: failed to allocate IP 10.247.0.10: provided IP is already allocated`)
			want(t, write(c, o, service("two", clusterIP("10.1.2.3")), nil),
				`Service "two" is invalid: spec.clusterIPs: Invalid value: ["10.1.2.3"]: failed to allocate IP 10.1.2.3: the provided IP (10.1.2.3) is not in the valid range. The range of valid IPs is 10.247.0.0/16`)
			moved := s.DeepCopy()
			moved.Spec.ClusterIP, moved.Spec.ClusterIPs = "10.1.2.3", []string{"10.1.2.3"}
			want(t, write(c, o, moved, s), "") // it is validation that refuses it: the address may not change
			want(t, write(c, o, s, moved), "")
			want(t, write(c, o, service("none", clusterIP("None")), nil), "")
			external := service("ext", func(s *corev1.ServiceSpec) { s.Type, s.ExternalName = corev1.ServiceTypeExternalName, "x.org" })
			want(t, write(c, o, external, nil), "")
			if external.Spec.ClusterIP != "" || len(external.Spec.IPFamilies) != 0 {
				t.Errorf("external name got %+v", external.Spec)
			}
			// What a deleted Service had is free again, and not before.
			o.Delete("", "services", service("dns", clusterIP("10.247.0.10")))
			wait.Within(t, 10*time.Second, "reuse after delete", func() error { return write(c, o, service("two", clusterIP("10.247.0.10")), nil) })
		})
	}
}

func TestNodePorts(t *testing.T) {
	for name, claims := range claimsOf(t) {
		t.Run(name, func(t *testing.T) {
			o := cluster()
			c := newChain(t, o, serviceallocator.Config{Claims: claims()})
			want(t, write(c, o, service("s", nodePort(36000)), nil),
				`Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 36000: provided port is not in the valid range. The range of valid ports is 30000-32767`)
			s := service("s", nodePort(30080, 0))
			want(t, write(c, o, s, nil), "")
			if p := s.Spec.Ports[1].NodePort; p < 30086 || p > 32767 {
				t.Errorf("picked %d", p)
			}
			want(t, write(c, o, service("t", nodePort(0, 30080)), nil),
				`Service "t" is invalid: spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated`)
			want(t, write(c, o, service("t", nodePort(30090, 30090)), nil),
				`Service "t" is invalid: spec.ports[1].nodePort: Invalid value: 30090: provided port is already allocated`)
			want(t, write(c, o, service("t", nodePort(30090)), nil), "") // the refused write left nothing claimed
			both := service("dns", nodePort(30053, 30053))
			both.Spec.Ports[1].Protocol = corev1.ProtocolUDP
			want(t, write(c, o, both, nil), "")

			// An update that leaves the ports out keeps them; to ClusterIP drops them.
			again := service("s", nodePort(0, 0))
			want(t, write(c, o, again, s), "")
			if again.Spec.Ports[0].NodePort != 30080 || again.Spec.Ports[1].NodePort != s.Spec.Ports[1].NodePort || again.Spec.ClusterIP != s.Spec.ClusterIP {
				t.Errorf("update changed %+v", again.Spec)
			}
			inside := again.DeepCopy()
			inside.Spec.Type = corev1.ServiceTypeClusterIP
			want(t, write(c, o, inside, again), "")
			if inside.Spec.Ports[0].NodePort != 0 || inside.Spec.ClusterIP != s.Spec.ClusterIP {
				t.Errorf("as ClusterIP: %+v", inside.Spec)
			}
			wait.Within(t, 10*time.Second, "reuse of a port given up", func() error { return write(c, o, service("u", nodePort(30080)), nil) })
			// To ExternalName and back.
			out := inside.DeepCopy()
			out.Spec.Type, out.Spec.ExternalName = corev1.ServiceTypeExternalName, "x.org"
			want(t, write(c, o, out, inside), "")
			if out.Spec.ClusterIP != "" {
				t.Errorf("external name kept %q", out.Spec.ClusterIP)
			}
			back := out.DeepCopy()
			back.Spec.Type = corev1.ServiceTypeClusterIP
			want(t, write(c, o, back, out), "")
			if back.Spec.ClusterIP == "" {
				t.Error("no address after the way back")
			}
		})
	}
}

func TestFailedWriteGivesBack(t *testing.T) {
	for name, claims := range claimsOf(t) {
		t.Run(name, func(t *testing.T) {
			o := cluster()
			c := newChain(t, o, serviceallocator.Config{Claims: claims()})
			want(t, write(c, o, service("s", nodePort(30080)), nil), "")
			// A namesake that comes too late must not take the holder's claim with it.
			err := write(c, o, service("s", nodePort(30080)), nil)
			if !apierrors.IsAlreadyExists(err) {
				t.Errorf("error %v", err)
			}
			want(t, write(c, o, service("t", nodePort(30080)), nil),
				`Service "t" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated`)
			r := &admission.Request{Verb: admission.Create, Kind: kind("", "services"), Namespace: "a", Name: "u", Object: service("u", nodePort(30081))}
			want(t, c.Admit(bg, r), "")
			c.Done(bg, r, context.Canceled)
			want(t, write(c, o, service("v", nodePort(30081)), nil), "")
			dry := &admission.Request{Verb: admission.Create, Kind: kind("", "services"), Namespace: "a", Name: "w", Object: service("w", nodePort(30082)), DryRun: true}
			want(t, c.Admit(bg, dry), "")
			c.Done(bg, dry, nil)
			want(t, write(c, o, service("x", nodePort(30082)), nil), "")
			dry.Object = service("w", nodePort(30082))
			want(t, c.Admit(bg, dry), `Service "w" is invalid: spec.ports[0].nodePort: Invalid value: 30082: provided port is already allocated`)
		})
	}
}

// Many creates at once, here through two API servers over one etcd: no address
// is given twice, and every one of the range is given.
func TestConcurrentCreates(t *testing.T) {
	for name, claims := range claimsOf(t) {
		t.Run(name, func(t *testing.T) {
			o, shared := cluster(), claims()
			config := serviceallocator.Config{CIDR: netip.MustParsePrefix("10.247.0.0/25"), NodePorts: serviceallocator.PortRange{First: 30000, Last: 30125}, Claims: shared}
			chains := []*admission.Chain{newChain(t, o, config)}
			if name == "etcd" {
				chains = append(chains, newChain(t, o, config))
			}
			const all = 126
			var mu sync.Mutex
			ips, ports := map[string]string{}, map[int32]string{}
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					s := service(fmt.Sprintf("s%d", i), nodePort(0))
					if err := write(chains[i%len(chains)], o, s, nil); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if by := ips[s.Spec.ClusterIP]; by != "" {
						t.Errorf("%s and %s both have %s", by, s.Name, s.Spec.ClusterIP)
					}
					if by := ports[s.Spec.Ports[0].NodePort]; by != "" {
						t.Errorf("%s and %s both have port %d", by, s.Name, s.Spec.Ports[0].NodePort)
					}
					ips[s.Spec.ClusterIP], ports[s.Spec.Ports[0].NodePort] = s.Name, s.Name
				})
			}
			wg.Wait()
			if len(ips) != all || len(ports) != all {
				t.Fatalf("%d addresses and %d ports of %d", len(ips), len(ports), all)
			}
			err := write(chains[0], o, service("more", nil), nil)
			want(t, err, "Internal error occurred: failed to allocate a serviceIP: range is full")
			// Only one of many gets a certain address that became free.
			o.Delete("", "services", service("s0", nil))
			wait.Within(t, 10*time.Second, "an address is free", func() error { return write(chains[0], o, service("more", nil), nil) })
			o.Delete("", "services", service("more", nil))
		})
	}
}

// After a restart, addresses are what the Services in the store have, whatever
// claims a crash left or lost.
func TestRestart(t *testing.T) {
	for name, claims := range claimsOf(t) {
		t.Run(name, func(t *testing.T) {
			o := cluster()
			held := service("old", nodePort(30080))
			held.Spec.ClusterIP, held.Spec.ClusterIPs = "10.247.0.10", []string{"10.247.0.10"}
			o.Put("", "services", held)
			c := newChain(t, o, serviceallocator.Config{Claims: claims()})
			want(t, write(c, o, service("new", clusterIP("10.247.0.10")), nil),
				`Service "new" is invalid: spec.clusterIPs: Invalid value: ["10.247.0.10"]: failed to allocate IP 10.247.0.10: provided IP is already allocated`)
			want(t, write(c, o, service("new", nodePort(30080)), nil),
				`Service "new" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated`)
		})
	}
}
