package node

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// pressures are conditions that taint the node NoSchedule while they are true.
var pressures = []struct {
	condition v1.NodeConditionType
	key       string
}{
	{v1.NodeMemoryPressure, v1.TaintNodeMemoryPressure},
	{v1.NodeDiskPressure, v1.TaintNodeDiskPressure},
	{v1.NodePIDPressure, v1.TaintNodePIDPressure},
	{v1.NodeNetworkUnavailable, v1.TaintNodeNetworkUnavailable},
}

// desiredTaints returns a node's taints as its conditions and cordon require. Other taints
// stay as they are; a taint that stays keeps its time and place. A node that has never reported
// has no taint of a condition, as upstream: what admission has given it goes.
func desiredTaints(node *v1.Node, now metav1.Time) (taints []v1.Taint, changed bool) {
	var order []v1.Taint // in which they are added
	want := map[v1.Taint]bool{}
	put := func(key string, effect v1.TaintEffect, on bool) {
		t := v1.Taint{Key: key, Effect: effect}
		order, want[t] = append(order, t), on
	}
	for _, p := range pressures {
		c := condition(node, p.condition)
		put(p.key, v1.TaintEffectNoSchedule, c != nil && c.Status == v1.ConditionTrue)
	}
	reported := condition(node, v1.NodeReady)
	for _, effect := range []v1.TaintEffect{v1.TaintEffectNoSchedule, v1.TaintEffectNoExecute} {
		put(v1.TaintNodeNotReady, effect, reported != nil && reported.Status == v1.ConditionFalse)
		put(v1.TaintNodeUnreachable, effect, reported != nil && reported.Status == v1.ConditionUnknown)
	}
	put(v1.TaintNodeUnschedulable, v1.TaintEffectNoSchedule, node.Spec.Unschedulable)
	for _, t := range node.Spec.Taints {
		key := v1.Taint{Key: t.Key, Effect: t.Effect}
		if on, ours := want[key]; ours && !on {
			changed = true
			continue
		}
		delete(want, key)
		taints = append(taints, t)
	}
	for _, t := range order {
		if want[t] {
			t.TimeAdded = &now
			taints = append(taints, t)
			changed = true
		}
	}
	return taints, changed
}

// tolerated is how long a pod tolerates the NoExecute taints of its node.
type tolerated struct {
	indefinitely bool
	until        time.Time
}

// toleratedUntil returns how long the pod tolerates the node's NoExecute taints, where seen
// is when it was first observed on the node with one. limit, if not zero, caps the
// tolerationSeconds for nodes that are not ready or unreachable, which are five minutes by
// default.
func toleratedUntil(p *v1.Pod, node *v1.Node, limit time.Duration, seen time.Time) tolerated {
	out := tolerated{indefinitely: true}
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != v1.TaintEffectNoExecute {
			continue
		}
		d, indefinitely, ok := toleration(p.Spec.Tolerations, t)
		if !ok {
			return tolerated{until: seen}
		}
		if indefinitely {
			continue
		}
		if dead := t.Key == v1.TaintNodeUnreachable || t.Key == v1.TaintNodeNotReady; dead && limit > 0 {
			d = min(d, limit)
		}
		if until := since(p, t, seen).Add(d); out.indefinitely || until.Before(out.until) {
			out = tolerated{until: until}
		}
	}
	return out
}

// since returns when a pod's toleration of a taint started: when the taint was added, if it
// has a time and the pod was there. A user's taint has no time.
func since(p *v1.Pod, t *v1.Taint, seen time.Time) time.Time {
	if t.TimeAdded == nil {
		return seen
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == v1.PodScheduled && c.LastTransitionTime.After(t.TimeAdded.Time) {
			return seen
		}
	}
	return t.TimeAdded.Time
}

// toleration returns the shortest tolerationSeconds of all tolerations that match the taint.
func toleration(tolerations []v1.Toleration, t *v1.Taint) (d time.Duration, indefinitely, ok bool) {
	indefinitely = true
	for i := range tolerations {
		if !tolerations[i].ToleratesTaint(klog.Background(), t, false) {
			continue
		}
		ok = true
		if s := tolerations[i].TolerationSeconds; s != nil {
			one := time.Duration(max(*s, 0)) * time.Second
			if indefinitely || one < d {
				d, indefinitely = one, false
			}
		}
	}
	return d, indefinitely, ok
}
