//go:build !quick

package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/netfilter"
)

// syncer is a proxy whose informers have what the test puts into their stores.
type syncer struct {
	*Proxy
	services, slices cache.Indexer
	applier          *netfilter.Applier
	rules            *compiler
	udp              flusher
	health           *healthServer
}

func newSyncer(t testing.TB) *syncer {
	t.Helper()
	index := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	applier, err := netfilter.NewApplier(owner)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := &syncer{
		services: index(), slices: index(), applier: applier, health: newHealth(log),
		rules: &compiler{node: Node{Name: "minion-1", ClusterCIDR: "10.246.0.0/16", ServiceCIDR: "10.247.0.0/16", RandomFully: applier.RandomFully()}},
	}
	s.Proxy = &Proxy{
		cfg: Config{NodeName: "minion-1", Log: log}, services: corelisters.NewServiceLister(s.services),
		slices: discoverylisters.NewEndpointSliceLister(s.slices), nodes: corelisters.NewNodeLister(index()),
	}
	t.Cleanup(func() {
		s.health.close()
		if err := Cleanup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// numbered is the n-th of many services: its address, and a slice with endpoints of two pods.
func numbered(n int) (*v1.Service, *discovery.EndpointSlice) {
	name, http, dns := fmt.Sprintf("svc-%d", n), "http", "dns"
	tcp, udp, web, other := v1.ProtocolTCP, v1.ProtocolUDP, int32(8080), int32(5353)
	ip := fmt.Sprintf("10.247.%d.%d", 1+n/250, 1+n%250)
	svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.ServiceSpec{
		Type: v1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
		Ports: []v1.ServicePort{{Name: http, Protocol: tcp, Port: 80}, {Name: dns, Protocol: udp, Port: 53}},
	}}
	slice := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name + "-1", Labels: map[string]string{discovery.LabelServiceName: name}},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &http, Protocol: &tcp, Port: &web}, {Name: &dns, Protocol: &udp, Port: &other}},
		Endpoints:   []discovery.Endpoint{{Addresses: []string{"10.246.1.200"}}, {Addresses: []string{"10.246.1.201"}}},
	}
	return svc, slice
}

func (s *syncer) put(t testing.TB, svc *v1.Service, slice *discovery.EndpointSlice) {
	t.Helper()
	if err := s.services.Update(svc); err != nil {
		t.Fatal(err)
	}
	if err := s.slices.Update(slice); err != nil {
		t.Fatal(err)
	}
}

func (s *syncer) synchronize(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.sync(t.Context(), s.rules, s.applier, &s.udp, s.health); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// bare is how long iptables-restore alone takes for the same rules, in one transaction.
func (s *syncer) bare(t testing.TB) time.Duration {
	t.Helper()
	snapshot, err := s.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := Rules(s.rules.node, snapshot)
	return restoreAlone(t, netfilter.Tables{"nat": want.NAT.Chains(), "filter": want.Filter.Chains()})
}

// bareEdit is how long iptables-restore alone takes for the chains of one service, over the others.
func (s *syncer) bareEdit(t testing.TB, svc *v1.Service) time.Duration {
	t.Helper()
	return restoreAlone(t, netfilter.Tables{"nat": s.rules.services[nameOf(svc)].part.Chains}, "--noflush")
}

func restoreAlone(t testing.TB, tables netfilter.Tables, args ...string) time.Duration {
	t.Helper()
	var text strings.Builder
	for table, chains := range tables {
		text.WriteString("*" + table + "\n")
		for chain := range chains {
			text.WriteString(":" + chain + " - [0:0]\n")
		}
		for _, rules := range chains {
			text.WriteString(rules)
		}
		text.WriteString("COMMIT\n")
	}
	cmd := exec.Command("iptables-restore", args...)
	cmd.Stdin = strings.NewReader(text.String())
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("iptables-restore: %v: %s", err, out)
	}
	return time.Since(began)
}

// BenchmarkSync is how long the proxy takes to write the rules of so many services of two ports and two endpoints: all of
// them where there are none, and over those that are there, beside a bare iptables-restore of the
// same rules; and after one edited endpoint, beside a bare iptables-restore of the edited service's rules: whenever a rule
// jumps, the kernel looks at all rules of the table for a loop, so that this grows with their number, too. A look is for what other
// processes have removed.
func BenchmarkSync(b *testing.B) {
	for _, services := range []int{100, 1000, 5000, 10000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			s := newSyncer(b)
			for n := range services {
				svc, slice := numbered(n)
				s.put(b, svc, slice)
			}
			var first, again, alone, edits, edited, looks []time.Duration
			for range b.N {
				if err := Cleanup(b.Context()); err != nil {
					b.Fatal(err)
				}
				s.applier.Forget()
				s.rules.forget()
				first = append(first, s.synchronize(b))
				alone = append(alone, s.bare(b))
				s.applier.Forget()
				again = append(again, s.synchronize(b))
				for i := range 10 {
					svc, slice := numbered(services / 2)
					slice.Endpoints[0].Addresses = []string{fmt.Sprintf("10.246.1.%d", 100+i)}
					s.put(b, svc, slice)
					edits = append(edits, s.synchronize(b))
					began := time.Now()
					if !s.applier.Holds() {
						b.Fatal("the rules do not hold")
					}
					looks = append(looks, time.Since(began))
					edited = append(edited, s.bareEdit(b, svc))
				}
			}
			report := func(name string, all []time.Duration) time.Duration {
				slices.Sort(all)
				p50 := all[len(all)/2]
				b.ReportMetric(float64(p50.Microseconds())/1000, name+"-ms")
				return p50
			}
			restore := report("restore", alone)
			b.ReportMetric(float64(report("first", first))/float64(restore), "first/restore")
			b.ReportMetric(float64(report("again", again))/float64(restore), "again/restore")
			report("edit", edits)
			report("edit-restore", edited)
			report("look", looks)
			b.ReportMetric(float64(edits[len(edits)-1].Microseconds())/1000, "edit-max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
