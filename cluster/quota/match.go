package quota

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
)

// Matches reports whether an object is in all scopes of a quota. Only pods and claims have
// scopes; a quota with any does not count other objects.
func Matches(q *corev1.ResourceQuota, obj runtime.Object) bool {
	var wanted []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		wanted = append(wanted, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		wanted = append(wanted, q.Spec.ScopeSelector.MatchExpressions...)
	}
	if len(wanted) == 0 {
		return true
	}
	var in func(corev1.ScopedResourceSelectorRequirement) bool
	switch o := obj.(type) {
	case *corev1.Pod:
		in = func(s corev1.ScopedResourceSelectorRequirement) bool { return inScope(o, s) }
	case *corev1.PersistentVolumeClaim:
		in = func(s corev1.ScopedResourceSelectorRequirement) bool { return claimInScope(o, s) }
	default:
		return false
	}
	return !slices.ContainsFunc(wanted, func(s corev1.ScopedResourceSelectorRequirement) bool { return !in(s) })
}

func inScope(p *corev1.Pod, s corev1.ScopedResourceSelectorRequirement) bool {
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return Terminating(p)
	case corev1.ResourceQuotaScopeNotTerminating:
		return !Terminating(p)
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort(&p.Spec)
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort(&p.Spec)
	case corev1.ResourceQuotaScopePriorityClass:
		return hasClass(p, s)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return crossNamespace(p.Spec.Affinity)
	}
	return false
}

// Terminating reports whether the pod has a deadline: the scope Terminating, else NotTerminating.
func Terminating(p *corev1.Pod) bool {
	return p.Spec.ActiveDeadlineSeconds != nil && *p.Spec.ActiveDeadlineSeconds >= 0
}

func bestEffort(s *corev1.PodSpec) bool {
	asks := func(r *corev1.ResourceRequirements) bool {
		for _, n := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[n], r.Limits[n]
			if !request.IsZero() || !limit.IsZero() {
				return true
			}
		}
		return false
	}
	if s.Resources != nil && asks(s.Resources) {
		return false
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			if asks(&list[i].Resources) {
				return false
			}
		}
	}
	return true
}

func hasClass(p *corev1.Pod, s corev1.ScopedResourceSelectorRequirement) bool {
	return chosen(p.Spec.PriorityClassName, s)
}

// claimInScope reports whether a claim is in a scope, by its requested, current and target
// VolumeAttributesClass.
func claimInScope(c *corev1.PersistentVolumeClaim, s corev1.ScopedResourceSelectorRequirement) bool {
	if s.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass {
		return false
	}
	var classes []string
	for _, name := range []*string{c.Spec.VolumeAttributesClassName, c.Status.CurrentVolumeAttributesClassName} {
		if name != nil && *name != "" {
			classes = append(classes, *name)
		}
	}
	if m := c.Status.ModifyVolumeStatus; m != nil && m.TargetVolumeAttributesClassName != "" {
		classes = append(classes, m.TargetVolumeAttributesClassName)
	}
	if len(classes) == 0 {
		return chosen("", s)
	}
	return slices.ContainsFunc(classes, func(name string) bool { return chosen(name, s) })
}

// chosen reports whether a scope's selector selects the name of a class; "" is no class.
func chosen(name string, s corev1.ScopedResourceSelectorRequirement) bool {
	has := labels.Set{}
	if name != "" {
		has["class"] = name
	}
	operators := map[corev1.ScopeSelectorOperator]selection.Operator{
		corev1.ScopeSelectorOpIn: selection.In, corev1.ScopeSelectorOpNotIn: selection.NotIn,
		corev1.ScopeSelectorOpExists: selection.Exists, corev1.ScopeSelectorOpDoesNotExist: selection.DoesNotExist,
	}
	need, err := labels.NewRequirement("class", operators[s.Operator], s.Values)
	return err == nil && need.Matches(has)
}

// crossNamespace reports whether a pod affinity term selects pods of other namespaces.
func crossNamespace(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	add := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		terms = append(terms, required...)
		for i := range preferred {
			terms = append(terms, preferred[i].PodAffinityTerm)
		}
	}
	if t := a.PodAffinity; t != nil {
		add(t.RequiredDuringSchedulingIgnoredDuringExecution, t.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if t := a.PodAntiAffinity; t != nil {
		add(t.RequiredDuringSchedulingIgnoredDuringExecution, t.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool {
		return len(t.Namespaces) > 0 || t.NamespaceSelector != nil
	})
}

// explicit are the resources that every container must specify if a quota limits them.
var explicit = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
	corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
}

// Unspecified returns an error that names what a quota limits and a pod's containers do not
// specify.
func Unspecified(hard corev1.ResourceList, p *corev1.Pod) error {
	var missing []string
	for _, n := range explicit {
		if _, limited := hard[n]; !limited || statedForPod(p, n) {
			continue
		}
		var without []string
		for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
			for i := range list {
				if !states(&list[i].Resources, n) && !slices.Contains(without, list[i].Name) {
					without = append(without, list[i].Name)
				}
			}
		}
		if len(without) > 0 {
			slices.Sort(without)
			missing = append(missing, fmt.Sprintf("%s for: %s", n, strings.Join(without, ",")))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("must specify %s", strings.Join(missing, "; "))
}

func statedForPod(p *corev1.Pod, n corev1.ResourceName) bool {
	return p.Spec.Resources != nil && states(p.Spec.Resources, n)
}

func states(r *corev1.ResourceRequirements, n corev1.ResourceName) bool {
	if short, ok := strings.CutPrefix(string(n), "limits."); ok {
		_, stated := r.Limits[corev1.ResourceName(short)]
		return stated
	}
	_, stated := r.Requests[corev1.ResourceName(strings.TrimPrefix(string(n), corev1.DefaultResourceRequestsPrefix))]
	return stated
}
