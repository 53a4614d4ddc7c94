package policy

import (
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// PodDisruptionBudgetsV1beta1 is the version whose empty selector matches no pods; in policy/v1 it matches all
// pods of the namespace. Conversion to the other version uses a requirement on a label that no pod has.
var PodDisruptionBudgetsV1beta1 = api.Retired[*policyv1beta1.PodDisruptionBudget, *policyv1.PodDisruptionBudget]{
	ToStored: func(from *policyv1beta1.PodDisruptionBudget, to *policyv1.PodDisruptionBudget) {
		switch s := from.Spec.Selector; {
		case isEmptySelector(s):
			to.Spec.Selector = selectNoPods()
		case rules.Equal(s, selectAllPods()):
			to.Spec.Selector = &metav1.LabelSelector{}
		}
	},
	FromStored: func(from *policyv1.PodDisruptionBudget, to *policyv1beta1.PodDisruptionBudget) {
		switch s := from.Spec.Selector; {
		case isEmptySelector(s):
			to.Spec.Selector = selectAllPods()
		case rules.Equal(s, selectNoPods()):
			to.Spec.Selector = &metav1.LabelSelector{}
		}
	},
}.Version()

func isEmptySelector(s *metav1.LabelSelector) bool {
	return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

func selectNoPods() *metav1.LabelSelector { return selectorOnAbsentLabel(metav1.LabelSelectorOpExists) }

func selectAllPods() *metav1.LabelSelector {
	return selectorOnAbsentLabel(metav1.LabelSelectorOpDoesNotExist)
}

func selectorOnAbsentLabel(op metav1.LabelSelectorOperator) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", Operator: op,
	}}}
}
