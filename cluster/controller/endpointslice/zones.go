package endpointslice

import (
	"cmp"
	"maps"
	"math"
	"slices"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

// overload is by how much the endpoints of a zone may have more work than their share
// before hints are dropped, as upstream.
const overload = 0.2

// automatic says whether a service asks, by annotation, that each zone be served by as
// many endpoints as it has processors, from its own zone where possible.
func automatic(svc *v1.Service) bool {
	mode := cmp.Or(svc.Annotations[v1.DeprecatedAnnotationTopologyAwareHints], svc.Annotations[v1.AnnotationTopologyMode])
	return mode == "Auto" || mode == "auto"
}

// shares gives each zone's part of the processors of the nodes that take work, nil
// when a node does not tell, or when there is one zone only.
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

// worker: a master of ours has no label that says so, but is closed to pods.
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

// weighs says whether a change of a node can change shares, or the zone of endpoints.
func weighs(old, now *v1.Node) bool {
	return old == nil || now == nil || worker(old) != worker(now) ||
		old.Labels[v1.LabelTopologyZone] != now.Labels[v1.LabelTopologyZone] ||
		!old.Status.Allocatable.Cpu().Equal(*now.Status.Allocatable.Cpu())
}

// spread gives every ready endpoint the hint for its own zone, and then some to zones
// that would have too few. Where that cannot come out even enough there are no hints.
func spread(groups []group, share map[string]float64) {
	ready := readyOf(groups)
	have := map[string]int{}
	for _, e := range ready {
		if deref(e.Zone) == "" {
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
			if e := &groups[i].endpoints[j]; deref(e.Conditions.Ready) {
				ready = append(ready, e)
			}
		}
	}
	return ready
}

// allocate says how many endpoints each zone should have, if n can be shared out.
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

// moves says how many endpoints each zone gives away, and which zones take them.
func moves(want map[string]float64, have map[string]int) (give map[string]int, take []string) {
	give = map[string]int{}
	over := map[string]float64{} // how many a zone has beyond what it should
	for zone := range want {
		over[zone] = float64(have[zone]) - want[zone]
	}
	for zone, n := range have {
		if _, ok := want[zone]; !ok { // no node there takes work any more
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
