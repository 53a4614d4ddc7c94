package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api/podfacts"
)

// What a container without requests counts as when nodes are compared (never when
// they are filtered), so that many such pods spread as well.
const (
	defaultMilliCPU = 100
	defaultMemory   = 200 << 20
)

// resources are sums of requests, or a node's allocatable.
type resources struct {
	milliCPU, memory, storage int64
	extended                  map[v1.ResourceName]int64
}

func resourcesOf(list v1.ResourceList) (r resources) {
	for name, q := range list {
		switch name {
		case v1.ResourceCPU:
			r.milliCPU = q.MilliValue()
		case v1.ResourceMemory:
			r.memory = q.Value()
		case v1.ResourceEphemeralStorage:
			r.storage = q.Value()
		case v1.ResourcePods:
		default:
			if r.extended == nil {
				r.extended = map[v1.ResourceName]int64{}
			}
			r.extended[name] = q.Value()
		}
	}
	return r
}

// add adds o sign times.
func (r *resources) add(o *resources, sign int64) {
	r.milliCPU += sign * o.milliCPU
	r.memory += sign * o.memory
	r.storage += sign * o.storage
	for name, n := range o.extended {
		if r.extended == nil {
			r.extended = map[v1.ResourceName]int64{}
		}
		r.extended[name] += sign * n
	}
}

type hostPort struct {
	ip       string
	protocol v1.Protocol
	port     int32
}

// clash reports whether two host ports cannot be on one node.
func (h hostPort) clash(o hostPort) bool {
	return h.port == o.port && h.protocol == o.protocol && (h.ip == o.ip || h.ip == anyIP || o.ip == anyIP)
}

const anyIP = "0.0.0.0"

// podInfo is a pod with what the scheduler reads of it over and over, computed once.
type podInfo struct {
	pod        *v1.Pod
	requests   resources
	nonzeroCPU int64 // milli
	nonzeroMem int64
	ports      []hostPort

	affinity, antiAffinity []term         // required
	preferred              []weightedTerm // anti-affinity has a negative weight

	priority int32
	claims   []string // namespace/name

	group       *group // these two are set while the pod is on a node
	placedTerms []*placedTerm
}

// term is one (anti-)affinity term of a pod, compiled.
type term struct {
	key         string // equal for equal terms
	namespaces  []string
	nsSelector  labels.Selector // nil: only namespaces
	selector    labels.Selector
	topologyKey string
}

type weightedTerm struct {
	term
	weight int64
}

func newPodInfo(p *v1.Pod) *podInfo {
	i := &podInfo{pod: p}
	i.requests = resourcesOf(effectiveRequests(p))
	i.nonzeroCPU, i.nonzeroMem = i.requests.milliCPU, i.requests.memory
	for n := range p.Spec.Containers {
		c := &p.Spec.Containers[n]
		if _, ok := c.Resources.Requests[v1.ResourceCPU]; !ok {
			i.nonzeroCPU += defaultMilliCPU
		}
		if _, ok := c.Resources.Requests[v1.ResourceMemory]; !ok {
			i.nonzeroMem += defaultMemory
		}
		i.addPorts(c)
	}
	for n := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[n]; podfacts.Sidecar(c) {
			i.addPorts(c) // a sidecar runs as long as the pod
		}
	}
	i.priority = podfacts.Priority(p)
	i.claims = claimNames(p)
	i.compileAffinity()
	return i
}

func (i *podInfo) addPorts(c *v1.Container) {
	for _, port := range c.Ports {
		if port.HostPort > 0 {
			i.ports = append(i.ports, hostPort{cmp.Or(port.HostIP, anyIP), cmp.Or(port.Protocol, v1.ProtocolTCP), port.HostPort})
		}
	}
}

func (i *podInfo) compileAffinity() {
	a := i.pod.Spec.Affinity
	if a == nil {
		return
	}
	if pa := a.PodAffinity; pa != nil {
		i.affinity = i.terms(pa.RequiredDuringSchedulingIgnoredDuringExecution)
		i.prefer(pa.PreferredDuringSchedulingIgnoredDuringExecution, 1)
	}
	if pa := a.PodAntiAffinity; pa != nil {
		i.antiAffinity = i.terms(pa.RequiredDuringSchedulingIgnoredDuringExecution)
		i.prefer(pa.PreferredDuringSchedulingIgnoredDuringExecution, -1)
	}
}

func (i *podInfo) terms(in []v1.PodAffinityTerm) []term {
	out := make([]term, len(in))
	for n := range in {
		out[n] = i.term(&in[n])
	}
	return out
}

func (i *podInfo) prefer(in []v1.WeightedPodAffinityTerm, sign int64) {
	for n := range in {
		w := weightedTerm{i.term(&in[n].PodAffinityTerm), sign * int64(in[n].Weight)}
		w.key = strconv.FormatInt(w.weight, 10) + " " + w.key
		i.preferred = append(i.preferred, w)
	}
}

func (i *podInfo) term(t *v1.PodAffinityTerm) term {
	out := term{topologyKey: t.TopologyKey, selector: i.selector(t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys)}
	out.namespaces = t.Namespaces
	if t.NamespaceSelector != nil {
		out.nsSelector = selectorOf(t.NamespaceSelector)
	} else if len(t.Namespaces) == 0 {
		out.namespaces = []string{i.pod.Namespace}
	}
	out.key = out.topologyKey + " in " + strings.Join(out.namespaces, ",") + " "
	if out.nsSelector != nil {
		out.key += "(" + out.nsSelector.String() + ")"
	}
	out.key += ": " + selectorKey(out.selector)
	return out
}

// selectorKey is equal for selectors that select the same. All and none have no text.
func selectorKey(s labels.Selector) string {
	if _, selectable := s.Requirements(); !selectable {
		return "none"
	}
	return s.String()
}

// selector compiles a label selector with the keys whose values come from the pod itself.
func (i *podInfo) selector(s *metav1.LabelSelector, match, mismatch []string) labels.Selector {
	sel := selectorOf(s)
	add := func(keys []string, not bool) {
		for _, k := range keys {
			v, ok := i.pod.Labels[k]
			if !ok || s == nil {
				continue
			}
			op := metav1.LabelSelectorOpIn
			if not {
				op = metav1.LabelSelectorOpNotIn
			}
			more := selectorOf(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: k, Operator: op, Values: []string{v}}}})
			reqs, _ := more.Requirements()
			sel = sel.Add(reqs...)
		}
	}
	add(match, false)
	add(mismatch, true)
	return sel
}

// selectorOf compiles a selector; the API server has validated it, so one that
// does not compile matches nothing.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return sel
}

// matches reports whether the term selects pods of a group.
func (t *term) matches(g *group, namespaces map[string]labels.Set) bool {
	return t.matchesPod(g.namespace, g.labels, namespaces)
}

func (t *term) matchesPod(ns string, set labels.Set, namespaces map[string]labels.Set) bool {
	in := slices.Contains(t.namespaces, ns) || t.nsSelector != nil && t.nsSelector.Matches(namespaces[ns])
	return in && t.selector.Matches(set)
}

func groupKey(p *v1.Pod) string {
	var b strings.Builder
	b.WriteString(p.Namespace)
	if p.DeletionTimestamp != nil {
		b.WriteString("/terminating")
	}
	for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
		b.WriteByte('\n')
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(p.Labels[k])
	}
	return b.String()
}
