// Package clustermap is a small picture of what runs in one namespace: the nodes, the pods on
// them by state, the services and the pods that they reach. Map is a value that Apply changes,
// without I/O; Draw lays it out in a given width and height; Follow keeps it up to date by lists
// and watches until its context is done. The map holds at most Limit objects of a kind, and only
// what is drawn of each. Names are shown as render.Visible shows them.
package clustermap

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limit is the number of objects of one kind that a Map holds; further ones are counted only.
const Limit = 500

// Kind is a kind of object that the map shows, by its resource.
type Kind string

// The kinds.
const (
	Nodes     Kind = "nodes"
	Pods      Kind = "pods"
	Services  Kind = "services"
	Endpoints Kind = "endpointslices"
)

// Object is what the map reads of an object, in the form of its JSON. Fields of several kinds
// stand side by side.
type Object struct {
	Metadata struct {
		Name              string            `json:"name"`
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
		CreationTimestamp time.Time         `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName      string `json:"nodeName"`
		Unschedulable bool   `json:"unschedulable"`
		Type          string `json:"type"`
		ClusterIP     string `json:"clusterIP"`
		Ports         []struct {
			Port     int `json:"port"`
			NodePort int `json:"nodePort"`
		} `json:"ports"`
	} `json:"spec"`
	Status struct {
		Phase             string      `json:"phase"`
		Reason            string      `json:"reason"`
		Conditions        []condition `json:"conditions"`
		InitContainers    []container `json:"initContainerStatuses"`
		ContainerStatuses []container `json:"containerStatuses"`
	} `json:"status"`
	Endpoints []endpoint `json:"endpoints"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type container struct {
	Ready bool `json:"ready"`
	State struct {
		Waiting    *reason `json:"waiting"`
		Terminated *reason `json:"terminated"`
	} `json:"state"`
}

type reason struct {
	Reason   string `json:"reason"`
	ExitCode int    `json:"exitCode"`
}

type endpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		Ready *bool `json:"ready"`
	} `json:"conditions"`
	TargetRef struct {
		Name string `json:"name"`
	} `json:"targetRef"`
}

// Mark sums a state up: what is well, under way, failed, or over.
type Mark int

// The marks.
const (
	Well Mark = iota
	UnderWay
	Failed
	Over
)

type node struct {
	name  string
	mark  Mark
	state string
}

type pod struct {
	name, node string
	mark       Mark
	state      string
	created    time.Time
}

type service struct {
	name, ports string
}

// slice has the pods of one EndpointSlice.
type slice struct {
	service         string
	ready, notReady []string
}

// Map is the state of a namespace. The zero value is an empty one; copies share nothing after
// Apply, so that a Map can be drawn while its successor is made.
type Map struct {
	nodes    map[string]node
	pods     map[string]pod
	services map[string]service
	slices   map[string]slice
	more     map[Kind]bool   // the limit was reached
	denied   map[Kind]string // why a kind cannot be read
}

// Change is one event. Without Object and Reset it is without effect.
type Change struct {
	Kind    Kind
	Object  *Object
	Deleted bool
	Reset   []Object // all objects of the kind; not nil
	Denied  string   // why the kind cannot be read; ends with the next Reset
}

// Apply returns the map after the changes.
func (m Map) Apply(changes ...Change) Map {
	m = Map{maps.Clone(m.nodes), maps.Clone(m.pods), maps.Clone(m.services), maps.Clone(m.slices), maps.Clone(m.more), maps.Clone(m.denied)}
	if m.nodes == nil {
		m = Map{map[string]node{}, map[string]pod{}, map[string]service{}, map[string]slice{}, map[Kind]bool{}, map[Kind]string{}}
	}
	for _, c := range changes {
		switch {
		case c.Denied != "":
			m.denied[c.Kind] = c.Denied
		case c.Reset != nil:
			m.reset(c)
		case c.Object != nil && c.Deleted:
			m.remove(c.Kind, c.Object.Metadata.Name)
		case c.Object != nil:
			m.put(c.Kind, c.Object)
		}
	}
	return m
}

func (m Map) reset(c Change) {
	switch c.Kind {
	case Nodes:
		clear(m.nodes)
	case Pods:
		clear(m.pods)
	case Services:
		clear(m.services)
	case Endpoints:
		clear(m.slices)
	}
	delete(m.more, c.Kind)
	delete(m.denied, c.Kind)
	for i := range c.Reset {
		m.put(c.Kind, &c.Reset[i])
	}
}

func (m Map) remove(k Kind, name string) {
	switch k {
	case Nodes:
		delete(m.nodes, name)
	case Pods:
		delete(m.pods, name)
	case Services:
		delete(m.services, name)
	case Endpoints:
		delete(m.slices, name)
	}
}

func (m Map) put(k Kind, o *Object) {
	full := false
	switch k {
	case Nodes:
		full = set(m.nodes, o.Metadata.Name, o.node())
	case Pods:
		full = set(m.pods, o.Metadata.Name, o.pod())
	case Services:
		full = set(m.services, o.Metadata.Name, o.service())
	case Endpoints:
		full = set(m.slices, o.Metadata.Name, o.slice())
	}
	if full {
		m.more[k] = true
	}
}

func set[V any](in map[string]V, name string, v V) (full bool) {
	if _, there := in[name]; !there && len(in) >= Limit {
		return true
	}
	in[name] = v
	return false
}

// sorted returns the values of a map, ordered by their name.
func sorted[V any](in map[string]V) []V {
	out := make([]V, 0, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		out = append(out, in[name])
	}
	return out
}

// podsOf returns the pods of a node, the oldest first.
func (m Map) podsOf(node string) (out []pod) {
	for _, p := range m.pods {
		if p.node == node {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b pod) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.name, b.name))
	})
	return out
}

// reached returns the pods in the endpoints of a service.
func (m Map) reached(service string) (ready, notReady []string) {
	for _, s := range sorted(m.slices) {
		if s.service == service {
			ready, notReady = append(ready, s.ready...), append(notReady, s.notReady...)
		}
	}
	slices.Sort(ready)
	slices.Sort(notReady)
	return slices.Compact(ready), slices.Compact(notReady)
}
