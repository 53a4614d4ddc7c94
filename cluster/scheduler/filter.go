package scheduler

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

var (
	unschedulable = &rejection{[]string{"node(s) were unschedulable"}, true, causeNode}
	otherName     = &rejection{[]string{"node(s) didn't match the requested node name"}, true, causeNode}
	otherLabels   = &rejection{[]string{"node(s) didn't match Pod's node affinity/selector"}, true, causeNode}
	portTaken     = &rejection{[]string{"node(s) didn't have free ports for the requested pod ports"}, false, causeResource}
	notNamed      = &rejection{[]string{"node(s) didn't satisfy plugin(s) [NodeAffinity]"}, true, causeNode}
)

// filter returns nil if the node is feasible for the pod, else the first reason why not. It
// changes nothing. If pods of at least its priority are nominated there, the pod must fit both
// beside them and, as they may never be bound, without them.
func (r *request) filter(n *nodeInfo) *rejection {
	if len(n.nominated) > 0 {
		if d := r.nominatedOn(n); d != nil {
			if v := r.filterWith(n.but(d), d); v != nil {
				return v
			}
		}
	}
	return r.filterWith(n, nil)
}

// nominatedOn returns the nominated pods of the node whose priority is not lower.
func (r *request) nominatedOn(n *nodeInfo) *difference {
	var d difference
	for uid, i := range n.nominated {
		if uid != r.pod.UID && i.priority >= r.priority {
			d.with = append(d.with, i)
		}
	}
	if d.with == nil {
		return nil
	}
	return &d
}

// filterWith is filter for a node as it is, or as it would be with a difference.
func (r *request) filterWith(n *nodeInfo, d *difference) *rejection {
	if v := r.filterNode(n.node); v != nil {
		return v
	}
	if v := r.filterPorts(n); v != nil {
		return v
	}
	if v := r.filterResources(n); v != nil {
		return v
	}
	if r.claims != nil {
		if v := r.claims.filter(r.cluster.claims, n, d); v != nil {
			return v
		}
	}
	for i := range r.spread {
		if v := r.spread[i].filter(n, d); v != nil {
			return v
		}
	}
	if r.pods != nil {
		return r.pods.filter(n, d)
	}
	return nil
}

var cordoned = v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}

// filterNode checks the node object: cordon (unschedulable), name, taints, labels.
func (r *request) filterNode(node *v1.Node) *rejection {
	spec := &r.pod.Spec
	if r.only != nil && !r.only[node.Name] {
		return notNamed
	}
	if node.Spec.Unschedulable && !tolerates(spec.Tolerations, &cordoned) {
		return unschedulable
	}
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return otherName
	}
	if t := untolerated(node, spec.Tolerations); t != nil {
		reason := fmt.Sprintf("node(s) had untolerated taint {%s: %s}", t.Key, t.Value)
		return &rejection{[]string{reason}, true, causeNode}
	}
	if !r.nodes.matches(node) {
		return otherLabels
	}
	return nil
}

func (r *request) filterPorts(n *nodeInfo) *rejection {
	for _, want := range r.ports {
		for have := range n.ports {
			if want.clash(have) {
				return portTaken
			}
		}
	}
	return nil
}

// filterResources compares requests with what is free, and returns all that is insufficient.
func (r *request) filterResources(n *nodeInfo) *rejection {
	var v *rejection
	short := func(reason string, ask, can int64) {
		if v == nil {
			v = &rejection{cause: causeResource}
		}
		v.reasons = append(v.reasons, reason)
		v.final = v.final || ask > can
	}
	if n.podCount+1 > n.maxPods {
		short("Too many pods", 1, max(n.maxPods, 1))
	}
	want, can, used := &r.requests, &n.can, &n.used
	if want.milliCPU > 0 && want.milliCPU > can.milliCPU-used.milliCPU {
		short("Insufficient cpu", want.milliCPU, can.milliCPU)
	}
	if want.memory > 0 && want.memory > can.memory-used.memory {
		short("Insufficient memory", want.memory, can.memory)
	}
	if want.storage > 0 && want.storage > can.storage-used.storage {
		short("Insufficient ephemeral-storage", want.storage, can.storage)
	}
	for name, n := range want.extended {
		if n > 0 && n > can.extended[name]-used.extended[name] {
			short("Insufficient "+string(name), n, can.extended[name])
		}
	}
	return v
}
