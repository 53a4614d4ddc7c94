package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"

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
		out[n] = newTerm(i.pod, &in[n])
	}
	return out
}

func (i *podInfo) prefer(in []v1.WeightedPodAffinityTerm, sign int64) {
	for n := range in {
		w := weightedTerm{newTerm(i.pod, &in[n].PodAffinityTerm), sign * int64(in[n].Weight)}
		w.key = strconv.FormatInt(w.weight, 10) + " " + w.key
		i.preferred = append(i.preferred, w)
	}
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

// claimName returns the claim of a pod's volume, "" if there is none.
func claimName(p *v1.Pod, v *v1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return ephemeral.VolumeClaimName(p, v)
	}
	return ""
}

// claimNames returns a pod's claims as namespace/name.
func claimNames(p *v1.Pod) []string {
	var out []string
	for i := range p.Spec.Volumes {
		if name := claimName(p, &p.Spec.Volumes[i]); name != "" {
			out = append(out, p.Namespace+"/"+name)
		}
	}
	return out
}

// nodeInfo is a node with the sums over its pods, kept up to date by cluster.
type nodeInfo struct {
	name       string
	node       *v1.Node // nil: pods name it, but it does not exist
	host, zone label    // copies of the labels that are read most
	can        resources
	maxPods    int64
	images     map[string]int64 // size by name
	used       resources
	nonzeroCPU int64
	nonzeroMem int64
	podCount   int64
	pods       map[types.UID]*podInfo
	ports      map[hostPort]int
	nominated  map[types.UID]*podInfo // pods that wait for room that is made for them here
}

type label struct {
	value string
	ok    bool
}

func labelOf(n *v1.Node, key string) label {
	value, ok := n.Labels[key]
	return label{value, ok}
}

func (i *podInfo) hasTerms() bool {
	return len(i.affinity)+len(i.antiAffinity)+len(i.preferred) > 0
}

func (n *nodeInfo) count(i *podInfo, sign int64) {
	n.used.add(&i.requests, sign)
	n.nonzeroCPU += sign * i.nonzeroCPU
	n.nonzeroMem += sign * i.nonzeroMem
	n.podCount += sign
	for _, p := range i.ports {
		if n.ports[p] += int(sign); n.ports[p] == 0 {
			delete(n.ports, p)
		}
	}
}

// but returns a copy of the node's sums with some pods added and some removed. What does not
// depend on pods is shared.
func (n *nodeInfo) but(d *difference) *nodeInfo {
	out := *n
	out.used.extended = maps.Clone(n.used.extended)
	out.ports = maps.Clone(n.ports)
	for _, i := range d.without {
		out.count(i, -1)
	}
	for _, i := range d.with {
		out.count(i, 1)
	}
	return &out
}

// difference is the pods added and removed in a simulation on one node; nil is none.
type difference struct{ without, with []*podInfo }

// count returns how many pods more there would be for which keep is true.
func (d *difference) count(keep func(*podInfo) bool) int {
	n := 0
	if d == nil {
		return n
	}
	for _, i := range d.with {
		if keep(i) {
			n++
		}
	}
	for _, i := range d.without {
		if keep(i) {
			n--
		}
	}
	return n
}

// group is all bound pods with the same namespace and labels. Most pods are in large groups,
// so selectors are matched against groups and not pods.
type group struct {
	key         string
	namespace   string
	labels      labels.Set
	terminating bool
	pods        int
	nodes       map[*nodeInfo]int
	in          []*selection // those that select it
}

// byNode is the topology key under which a selection counts per node: not all nodes
// have a host name label, and no label has an empty key.
const byNode = ""

// selection is the bound pods that one selector selects, counted per domain.
type selection struct {
	key     string
	matches func(*group) bool
	groups  map[*group]bool
	counts  map[string]map[string]int // by topology key and its value; never zero
	used    uint64                    // when it was last asked for
}

// domain returns the node's value of a topology key.
func (n *nodeInfo) domain(key string) (string, bool) {
	if n.node == nil {
		return "", false
	}
	switch key {
	case byNode:
		return n.name, true
	case v1.LabelHostname:
		return n.host.value, n.host.ok
	case v1.LabelTopologyZone:
		return n.zone.value, n.zone.ok
	}
	value, ok := n.node.Labels[key]
	return value, ok
}

// placedTerm is an affinity term of bound pods, with the number of them in each domain.
type placedTerm struct {
	weightedTerm
	kind   termKind
	counts map[string]int
	pods   int
}

type termKind byte

const (
	attracts termKind = 'a' // required affinity
	repels   termKind = 'r' // required anti-affinity
	prefers  termKind = 'p' // preferred, either way
)
