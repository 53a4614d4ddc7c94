package podrules

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The scheduler and the controllers evaluate terms for all pods and nodes.
func TestTermsAreBounded(t *testing.T) {
	selector := func(n int) *metav1.LabelSelector {
		s := &metav1.LabelSelector{}
		for i := range n {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: fmt.Sprint("k", i), Operator: metav1.LabelSelectorOpDoesNotExist})
		}
		return s
	}
	values := func(n int) *metav1.LabelSelector {
		r := metav1.LabelSelectorRequirement{Key: "k", Operator: metav1.LabelSelectorOpIn}
		for i := range n {
			r.Values = append(r.Values, fmt.Sprint("v", i))
		}
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}}
	}
	near := func(n int) *corev1.Affinity {
		a := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}
		for range n {
			a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(
				a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, corev1.PodAffinityTerm{TopologyKey: "a", LabelSelector: selector(1)})
		}
		return a
	}
	nodes := func(n int) *corev1.Affinity {
		s := &corev1.NodeSelector{}
		for range n {
			s.NodeSelectorTerms = append(s.NodeSelectorTerms, corev1.NodeSelectorTerm{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "k", Operator: corev1.NodeSelectorOpExists}},
			})
		}
		return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: s}}
	}
	tolerations := func(n int) []corev1.Toleration {
		out := make([]corev1.Toleration, n)
		for i := range out {
			out[i].Operator = corev1.TolerationOpExists
		}
		return out
	}
	spread := func(n int) (out []corev1.TopologySpreadConstraint) {
		for i := range 50 {
			out = append(out, corev1.TopologySpreadConstraint{
				MaxSkew: 1, TopologyKey: fmt.Sprint("k", i), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector(n / 50),
			})
		}
		return out
	}
	at := field.NewPath("x")
	for name, check := range map[string]func(n int) field.ErrorList{
		"requirements": func(n int) field.ErrorList { return ValidateLabelSelector(selector(n), at) },
		"values":       func(n int) field.ErrorList { return ValidateLabelSelector(values(n), at) },
		"pod terms":    func(n int) field.ErrorList { return validateAffinity(near(n), at) },
		"node terms":   func(n int) field.ErrorList { return validateAffinity(nodes(n), at) },
		"spread":       func(n int) field.ErrorList { return validateTopologySpreadConstraints(spread(n), at) },
		"tolerations":  func(n int) field.ErrorList { return ValidateTolerations(tolerations(n), at) },
	} {
		if errs := check(400); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		if errs := check(5000); len(errs) != 1 || errs[0].Type != field.ErrorTypeTooMany {
			t.Errorf("too many %s: %d errors: %.200v", name, len(errs), errs)
		}
	}
}
