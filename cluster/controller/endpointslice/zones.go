package endpointslice

import (
	"cmp"
	"maps"
	"math"
	"slices"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// overload is by how much the endpoints of a zone may exceed their share of the load before
// hints are dropped, as upstream.
const overload = 0.2

// automatic reports whether a service requests topology aware routing by annotation: each
// zone gets endpoints in proportion to its CPUs, from its own zone where possible.
func automatic(svc *v1.Service) bool {
	mode := cmp.Or(svc.Annotations[v1.DeprecatedAnnotationTopologyAwareHints], svc.Annotations[v1.AnnotationTopologyMode])
	return mode == "Auto" || mode == "auto"
}

// shares returns each zone's share of the CPUs of the worker nodes, nil if the zone or CPUs
// of a node are unknown, or if there is one zone only.
func shares(nodes []*v1.Node) map[string]float64 {
	out := map[string]float64{}
	var total float64
	for _, n := range nodes {
		if !worker(n) {
			continue
		}
		zone, cpu := n.Labels[v1.LabelTopologyZone], n.Status.Allocatable.Cpu().AsApproximateFloat64()
		if zone == "" || cpu == 0 {
			return nil
		}
		out[zone] += cpu
		total += cpu
	}
	if len(out) < 2 {
		return nil
	}
	for z := range out {
		out[z] /= total
	}
	return out
}

// worker reports whether a node runs ordinary pods. The project's masters have no role
// label, but are cordoned.
func worker(n *v1.Node) bool {
	if n.Spec.Unschedulable {
		return false
	}
	for _, label := range []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"} {
		if _, ok := n.Labels[label]; ok {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// weighs reports whether a change of a node can change shares, or the zone of endpoints.
func weighs(old, now *v1.Node) bool {
	return old == nil || now == nil || worker(old) != worker(now) ||
		old.Labels[v1.LabelTopologyZone] != now.Labels[v1.LabelTopologyZone] ||
		!old.Status.Allocatable.Cpu().Equal(*now.Status.Allocatable.Cpu())
}

// spread sets the hint of every ready endpoint to its own zone, and reassigns some to zones
// that would have too few. If that would overload a zone there are no hints.
func spread(groups []group, share map[string]float64) {
	ready := readyOf(groups)
	have := map[string]int{}
	for _, e := range ready {
		if ptr.Deref(e.Zone, "") == "" {
			return
		}
		have[*e.Zone]++
	}
	want, ok := allocate(share, len(ready))
	if !ok {
		return
	}
	give, take := moves(want, have)
	for _, e := range ready {
		zone := *e.Zone
		if give[zone] > 0 {
			give[zone]--
			zone = take[0]
			take = take[1:]
		}
		e.Hints = &discovery.EndpointHints{ForZones: []discovery.ForZone{{Name: zone}}}
	}
}

func readyOf(groups []group) (ready []*discovery.Endpoint) {
	for i := range groups {
		for j := range groups[i].endpoints {
			if e := &groups[i].endpoints[j]; ptr.Deref(e.Conditions.Ready, false) {
				ready = append(ready, e)
			}
		}
	}
	return ready
}

// allocate returns how many of n endpoints each zone should have, if that is possible.
func allocate(share map[string]float64, n int) (want map[string]float64, ok bool) {
	if len(share) == 0 || len(share) > n {
		return nil, false
	}
	want, least := map[string]float64{}, 0.0
	for zone, s := range share {
		fewest := math.Ceil(s * float64(n) / (1 + overload))
		want[zone] = max(s*float64(n), fewest)
		least += fewest
	}
	return want, least <= float64(n)
}

// moves returns how many endpoints each zone donates, and which zones receive them.
func moves(want map[string]float64, have map[string]int) (give map[string]int, take []string) {
	give = map[string]int{}
	over := map[string]float64{} // how many a zone has beyond what it should
	for zone := range want {
		over[zone] = float64(have[zone]) - want[zone]
	}
	for zone, n := range have {
		if _, ok := want[zone]; !ok { // there is no worker node any more
			over[zone] = float64(n)
		}
	}
	zones := slices.Sorted(maps.Keys(over))
	for {
		by := func(a, b string) int { return cmp.Compare(over[a], over[b]) }
		from, to := slices.MaxFunc(zones, by), slices.MinFunc(zones, by)
		if most, least := over[from], -over[to]; most < 0.5 || least < 0.5 || most < 1 && least < 1 {
			return give, take
		}
		give[from]++
		over[from]--
		take = append(take, to)
		over[to]++
	}
}
