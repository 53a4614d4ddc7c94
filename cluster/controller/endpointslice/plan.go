package endpointslice

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// maxPerSlice is how many endpoints one slice holds, as upstream.
const maxPerSlice = 100

// sliceWrites lead from the present slices to the desired ones.
type sliceWrites struct {
	create, update []*discovery.EndpointSlice
	remove         []*discovery.EndpointSlice
}

// source is what slices are made for.
type source struct {
	namespace, name string // the service's
	manager         string
	labels          map[string]string
	owner           *metav1.OwnerReference
}

// planSlices keeps each endpoint in its slice, fills slices that have room, and only then
// adds slices: a change of one pod rewrites one slice.
func planSlices(src source, want []group, have []*discovery.EndpointSlice) sliceWrites {
	var p sliceWrites
	byGroup := map[string][]*discovery.EndpointSlice{}
	for _, s := range have {
		k := groupKey(s.AddressType, s.Ports)
		byGroup[k] = append(byGroup[k], s)
	}
	used := map[string]bool{}
	for _, s := range have {
		used[s.Name] = true
	}
	for _, g := range want {
		p.group(src, &g, byGroup[g.key()], used)
		delete(byGroup, g.key())
	}
	for _, k := range slices.Sorted(maps.Keys(byGroup)) {
		p.remove = append(p.remove, byGroup[k]...)
	}
	return p
}

func (p *sliceWrites) group(src source, g *group, have []*discovery.EndpointSlice, used map[string]bool) {
	missing := map[string]discovery.Endpoint{}
	for _, e := range g.endpoints {
		missing[identity(&e)] = e
	}
	kept := make([][]discovery.Endpoint, len(have))
	for i, s := range have {
		for j := range s.Endpoints {
			id := identity(&s.Endpoints[j])
			if e, ok := missing[id]; ok && len(kept[i]) < maxPerSlice {
				kept[i] = append(kept[i], e)
				delete(missing, id)
			}
		}
	}
	var rest []discovery.Endpoint
	for _, e := range g.endpoints {
		if _, ok := missing[identity(&e)]; ok {
			rest = append(rest, e)
			delete(missing, identity(&e))
		}
	}
	empty := len(g.endpoints) == 0
	for i, s := range have {
		n := min(maxPerSlice-len(kept[i]), len(rest))
		kept[i] = append(kept[i], rest[:n]...)
		rest = rest[n:]
		if len(kept[i]) == 0 && (!empty || i > 0) {
			p.remove = append(p.remove, s)
			continue
		}
		next := s.DeepCopy()
		next.Endpoints = kept[i]
		next.Labels = labelsOf(src)
		if !same(s, next) {
			p.update = append(p.update, next)
		}
	}
	for len(rest) > 0 || empty && len(have) == 0 {
		n := min(maxPerSlice, len(rest))
		p.create = append(p.create, newSlice(src, g, rest[:n], used))
		rest = rest[n:]
		empty = false
	}
}

func same(a, b *discovery.EndpointSlice) bool {
	return maps.Equal(a.Labels, b.Labels) && len(a.Endpoints) == len(b.Endpoints) &&
		(len(a.Endpoints) == 0 || equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints))
}

// newSlice returns a slice whose name is derived from its group and the first free number.
// A controller whose cache is behind so gets AlreadyExists and no second slice with the
// same endpoints.
func newSlice(src source, g *group, eps []discovery.Endpoint, used map[string]bool) *discovery.EndpointSlice {
	var name string
	for i := 0; name == "" || used[name]; i++ {
		h := fnv.New32a()
		fmt.Fprint(h, src.manager, g.key(), i)
		name = src.name + "-" + rand.SafeEncodeString(fmt.Sprintf("%010d", h.Sum32()))[5:]
	}
	used[name] = true
	s := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: src.namespace, Name: name, Labels: labelsOf(src)},
		AddressType: g.addressType,
		Ports:       g.ports,
		Endpoints:   eps,
	}
	if src.owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*src.owner}
	}
	if s.Endpoints == nil {
		s.Endpoints = []discovery.Endpoint{}
	}
	return s
}

func labelsOf(src source) map[string]string {
	out := map[string]string{}
	maps.Copy(out, src.labels)
	out[discovery.LabelServiceName] = src.name
	out[discovery.LabelManagedBy] = src.manager
	return out
}
