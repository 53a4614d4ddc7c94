// Package core has the kinds of the core group, one file each. The rules of a pod's spec, which kinds of other
// groups share, are in podrules.
package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/fields"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// Pods is the kind Pod. pod_update.go and pod_resize.go have the rules of its updates; podrules has those of its
// spec, which all kinds with a pod template share.
var Pods = api.Of[corev1.Pod, corev1.PodList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Pod"),
	Plural:           "pods", Singular: "pod", Short: []string{"po"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Connect: []api.Subresource{
		{Name: "attach", Kind: api.GVK("", "v1", "PodAttachOptions"), Verbs: []string{"create", "get"}},
		{Name: "binding", Kind: api.GVK("", "v1", "Binding"), Verbs: []string{"create"}},
		{
			Name: "ephemeralcontainers", Kind: api.GVK("", "v1", "Pod"), Verbs: []string{"get", "patch", "update"},
			Prepare: rules.MutateUpdate(prepareEphemeralContainersUpdate), Validate: rules.TypedUpdate(validatePodEphemeralContainersUpdate),
		},
		{Name: "eviction", Kind: api.GVK(policyv1.GroupName, "v1", "Eviction"), Verbs: []string{"create"}},
		{Name: "exec", Kind: api.GVK("", "v1", "PodExecOptions"), Verbs: []string{"create", "get"}},
		{Name: "log", Kind: api.GVK("", "v1", "Pod"), Verbs: []string{"get"}},
		{Name: "portforward", Kind: api.GVK("", "v1", "PodPortForwardOptions"), Verbs: []string{"create", "get"}},
		{Name: "proxy", Kind: api.GVK("", "v1", "PodProxyOptions"), Verbs: proxyVerbs},
		{
			Name: "resize", Kind: api.GVK("", "v1", "Pod"), Verbs: []string{"get", "patch", "update"},
			Prepare: rules.MutateUpdate(preparePodResize), Validate: rules.TypedUpdate(validatePodResize),
		},
	},

	Default:       rules.Mutate(podrules.DefaultPod),
	PrepareCreate: rules.Mutate(preparePodCreate),
	PrepareUpdate: rules.MutateUpdate(func(p, old *corev1.Pod) {
		p.Status = old.Status
		p.Generation = old.Generation
		if !rules.Equal(p.Spec, old.Spec) {
			p.Generation++
		}
	}),
	PrepareStatus: rules.MutateUpdate(func(p, old *corev1.Pod) {
		p.Spec = old.Spec
		// The older field counts where they differ.
		if ip := p.Status.PodIP; ip != "" && (len(p.Status.PodIPs) == 0 || p.Status.PodIPs[0].IP != ip) {
			p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
		} else if ip == "" && len(p.Status.PodIPs) > 0 {
			p.Status.PodIP = p.Status.PodIPs[0].IP
		}
		p.Generation = old.Generation
		p.OwnerReferences = old.OwnerReferences
		p.DeletionTimestamp = old.DeletionTimestamp
		p.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
		if p.Status.QOSClass == "" {
			p.Status.QOSClass = old.Status.QOSClass
		}
	}),

	Validate:       rules.Typed(podrules.ValidateNewPod),
	ValidateUpdate: rules.TypedUpdate(validatePodUpdate),
	ValidateStatus: rules.TypedUpdate(validatePodStatus),

	Warn: rules.Typed(podrules.WarningsForPod),

	Reduced: &api.Reduced{Name: "addresses", Of: func(o api.Object) api.Object { return podAddresses(o.(*corev1.Pod)) }},

	Columns: podColumns,
	Row:     rules.Typed(podRow),
	Fields: rules.Typed(func(p *corev1.Pod) fields.Set {
		// The capacity is for these and for metadata.name and metadata.namespace, which the server adds.
		set := make(fields.Set, 12)
		set["spec.nodeName"] = p.Spec.NodeName
		set["spec.restartPolicy"] = string(p.Spec.RestartPolicy)
		set["spec.schedulerName"] = p.Spec.SchedulerName
		set["spec.serviceAccountName"] = p.Spec.ServiceAccountName
		set["spec.hostNetwork"] = strconv.FormatBool(p.Spec.HostNetwork)
		set["status.phase"] = string(p.Status.Phase)
		set["status.podIP"] = podIP(p)
		set["status.podIPs"] = podIP(p)
		set["status.nominatedNodeName"] = p.Status.NominatedNodeName
		return set
	}),
})

func preparePodCreate(p *corev1.Pod) {
	p.Generation = 1
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: podfacts.ComputeQOSClass(&p.Spec)}
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type:    corev1.PodScheduled,
			Status:  corev1.ConditionFalse,
			Reason:  corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",

			ObservedGeneration: p.Generation,
		}}
	}
}

func podIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return p.Status.PodIPs[0].IP
	}
	return p.Status.PodIP
}

// podCondition returns a condition, nil if the pod does not have it.
func podCondition(s *corev1.PodStatus, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}

func isConditionTrue(s *corev1.PodStatus, t corev1.PodConditionType) bool {
	c := podCondition(s, t)
	return c != nil && c.Status == corev1.ConditionTrue
}
