package scheduler

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/klog/v2"
)

// verdict says why a node cannot take a pod. Its reasons are worded as
// kube-scheduler words them: people search for them.
type verdict struct {
	reasons []string
	// final: removing pods from the node would not help.
	final bool
	cause cause
}

var (
	unschedulable   = &verdict{[]string{"node(s) were unschedulable"}, true, causeNode}
	otherName       = &verdict{[]string{"node(s) didn't match the requested node name"}, true, causeNode}
	otherLabels     = &verdict{[]string{"node(s) didn't match Pod's node affinity/selector"}, true, causeNode}
	portTaken       = &verdict{[]string{"node(s) didn't have free ports for the requested pod ports"}, false, causeResource}
	volumeElsewhere = &verdict{[]string{"node(s) didn't match PersistentVolume's node affinity"}, true, causeNode | causeVolume}
)

// filter gives nil if the node can take the pod, else the first reason why not.
// It changes nothing.
func (r *request) filter(n *nodeInfo) *verdict {
	if v := r.filterNode(n.node); v != nil {
		return v
	}
	if v := r.filterPorts(n); v != nil {
		return v
	}
	if v := r.filterResources(n); v != nil {
		return v
	}
	if v := r.filterVolumes(n.node); v != nil {
		return v
	}
	for i := range r.spread {
		if v := r.spread[i].filter(n); v != nil {
			return v
		}
	}
	if r.pods != nil {
		return r.pods.filter(n)
	}
	return nil
}

var cordoned = v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}

// filterNode checks what is the node's own: cordon, name, taints, labels.
func (r *request) filterNode(node *v1.Node) *verdict {
	spec := &r.pod.Spec
	if node.Spec.Unschedulable && !tolerates(spec.Tolerations, &cordoned) {
		return unschedulable
	}
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return otherName
	}
	if t := untolerated(node, spec.Tolerations); t != nil {
		reason := fmt.Sprintf("node(s) had untolerated taint {%s: %s}", t.Key, t.Value)
		return &verdict{[]string{reason}, true, causeNode}
	}
	if !r.anyNode {
		if ok, err := r.nodeAffinity.Match(node); err != nil || !ok {
			return otherLabels
		}
	}
	return nil
}

// untolerated is the first taint that keeps the pod off the node.
func untolerated(node *v1.Node, tolerations []v1.Toleration) *v1.Taint {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != v1.TaintEffectPreferNoSchedule && !tolerates(tolerations, t) {
			return t
		}
	}
	return nil
}

func tolerates(tolerations []v1.Toleration, t *v1.Taint) bool {
	for i := range tolerations {
		if tolerations[i].ToleratesTaint(klog.Background(), t, false) {
			return true
		}
	}
	return false
}

func (r *request) filterPorts(n *nodeInfo) *verdict {
	for _, want := range r.ports {
		for have := range n.ports {
			if want.clash(have) {
				return portTaken
			}
		}
	}
	return nil
}

// filterResources compares requests with what is left, and names all that is short.
func (r *request) filterResources(n *nodeInfo) *verdict {
	var v *verdict
	short := func(reason string, ask, can int64) {
		if v == nil {
			v = &verdict{cause: causeResource}
		}
		v.reasons = append(v.reasons, reason)
		v.final = v.final || ask > can
	}
	if int64(len(n.pods))+1 > n.maxPods {
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

func (r *request) filterVolumes(node *v1.Node) *verdict {
	for _, pv := range r.volumes {
		if volumehelpers.CheckNodeAffinity(pv, node.Labels) != nil {
			return volumeElsewhere
		}
	}
	return nil
}
