//go:build !quick

package proxy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/netfilter"
	"wheelhouse/cluster/proxy"
)

const (
	fewServices, manyServices = 10, 10000
	latencyRounds             = 3
	packetsOfRound            = 1500
	calledServices            = 10 // in both cases, or the processor's caches would be compared, too
)

// BenchmarkFirstPacket is how long the first packet of a flow to a service and its answer take, from a machine outside through
// the node to a pod: among 10 and among 10,000 services, in turns, and the ratio.
func BenchmarkFirstPacket(b *testing.B) {
	c := start(b)
	c.stop()
	applier, err := netfilter.NewApplier(proxy.Owner)
	if err != nil {
		b.Fatal(err)
	}
	var ratios []float64
	p50 := map[int]time.Duration{}
	for range b.N {
		took := map[int][]time.Duration{}
		for range latencyRounds {
			for _, services := range []int{fewServices, manyServices} {
				rules := proxy.Rules(proxy.Node{Name: "minion-1", ClusterCIDR: clusterCIDR, ServiceCIDR: "10.247.0.0/16"}, c.numbered(services))
				if err := applier.ApplyParts(b.Context(), netfilter.TableParts{"nat": rules.NAT, "filter": rules.Filter}); err != nil {
					b.Fatal(err)
				}
				took[services] = append(took[services], firstPackets(b, c.outside, services)...)
			}
		}
		for services, all := range took {
			slices.Sort(all)
			p50[services] = all[len(all)/2]
		}
		ratios = append(ratios, float64(p50[manyServices])/float64(p50[fewServices]))
	}
	slices.Sort(ratios)
	for services, d := range p50 {
		b.ReportMetric(float64(d.Nanoseconds())/1000, fmt.Sprintf("p50-us-of-%d", services))
	}
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op")
}

// numbered are so many services of two ports, whose endpoints are the pods a and b.
func (c *cluster) numbered(services int) proxy.Snapshot {
	s := proxy.Snapshot{Slices: map[types.NamespacedName][]*discovery.EndpointSlice{}}
	for n := range services {
		svc := service(fmt.Sprint("svc-", n), numberedAddress(n))
		s.Services = append(s.Services, svc)
		s.Slices[types.NamespacedName{Namespace: v1.NamespaceDefault, Name: svc.Name}] = []*discovery.EndpointSlice{slice(svc.Name, c.pods["a"].ip, c.pods["b"].ip)}
	}
	return s
}

func numberedAddress(n int) string { return fmt.Sprintf("10.247.%d.%d", 1+n/250, 1+n%250) }

// firstPackets sends packets, each of a new flow, one after the other, to ten services all over the range.
func firstPackets(b *testing.B, from netns.NsHandle, services int) (took []time.Duration) {
	b.Helper()
	for i := range packetsOfRound {
		conn := nettest.DialUDP(b, from, numberedAddress(i%calledServices*(services/calledServices))+":53")
		began := time.Now()
		if _, err := nettest.Ask(conn, second); err != nil {
			b.Fatalf("packet %d: %v", i, err)
		}
		took = append(took, time.Since(began))
		_ = conn.Close()
	}
	return took
}
