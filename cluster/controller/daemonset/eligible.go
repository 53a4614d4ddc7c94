package daemonset

import (
	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"wheelhouse/cluster/controller/podcontrol"
)

// eligible reports whether a pod of the set should run on a node, and whether an existing one
// may stay: it may with a NoSchedule taint.
func eligible(ds *apps.DaemonSet, n *v1.Node) (run, stay bool) {
	t := &ds.Spec.Template.Spec
	if t.NodeName != "" && t.NodeName != n.Name {
		return false, false
	}
	fits, err := nodeaffinity.GetRequiredNodeAffinity(&v1.Pod{Spec: *t}).Match(n)
	if err != nil || !fits {
		return false, false
	}
	bearable := tolerations(t)
	if taintedWith(n, bearable, v1.TaintEffectNoExecute) {
		return false, false
	}
	return !taintedWith(n, bearable, v1.TaintEffectNoSchedule), true
}

func taintedWith(n *v1.Node, bearable []v1.Toleration, effect v1.TaintEffect) bool {
	_, found := corev1.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, bearable, func(t *v1.Taint) bool {
		return t.Effect == effect
	}, true)
	return found
}

// tolerations returns the template's and those of every daemon, which runs on a node that is
// not ready or under pressure, too.
func tolerations(t *v1.PodSpec) []v1.Toleration {
	out := append([]v1.Toleration{}, t.Tolerations...)
	add := func(key string, effect v1.TaintEffect) {
		more := v1.Toleration{Key: key, Operator: v1.TolerationOpExists, Effect: effect}
		for i := range out {
			if out[i].MatchToleration(&more) {
				out[i] = more
				return
			}
		}
		out = append(out, more)
	}
	add(v1.TaintNodeNotReady, v1.TaintEffectNoExecute)
	add(v1.TaintNodeUnreachable, v1.TaintEffectNoExecute)
	add(v1.TaintNodeDiskPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodeMemoryPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodePIDPressure, v1.TaintEffectNoSchedule)
	add(v1.TaintNodeUnschedulable, v1.TaintEffectNoSchedule)
	if t.HostNetwork {
		add(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)
	}
	return out
}

// templateGeneration is the annotation that counts the template's changes since
// extensions/v1beta1, and the label of pods that has the same number.
const (
	templateGeneration      = apps.DeprecatedTemplateGeneration
	templateGenerationLabel = "pod-template-generation"
)

// podFor returns the set's pod of a node. The scheduler binds it, to that node only.
func podFor(ds *apps.DaemonSet, node, hash string) *v1.Pod {
	p := podcontrol.PodFromTemplate(&ds.Spec.Template, ds, kind)
	p.Spec.Tolerations = tolerations(&p.Spec)
	p.Spec.Affinity = onlyOn(p.Spec.Affinity, node)
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[apps.DefaultDaemonSetUniqueLabelKey] = hash
	if g := ds.Annotations[templateGeneration]; g != "" {
		p.Labels[templateGenerationLabel] = g
	}
	return p
}

// onlyOn returns an affinity whose only required node term is the node's name: eligible has
// evaluated the template's own terms.
func onlyOn(a *v1.Affinity, node string) *v1.Affinity {
	if a == nil {
		a = &v1.Affinity{}
	}
	if a.NodeAffinity == nil {
		a.NodeAffinity = &v1.NodeAffinity{}
	}
	a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
		MatchFields: []v1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{node},
		}},
	}}}
	return a
}

// nodeOf is the node that a pod runs on, or is meant for.
func nodeOf(p *v1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return ""
	}
	required := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return ""
	}
	for _, term := range required.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == v1.NodeSelectorOpIn && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}
