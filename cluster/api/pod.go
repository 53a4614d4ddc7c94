package api

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pods is containers that share a node, an address and volumes. The rules of a pod's
// spec stand in pod_default.go, pod_validate.go (and the pod_*.go it calls) and
// pod_update.go; all kinds with a pod template use them too.
var Pods = &Kind{
	GroupVersionKind: gvk("", "v1", "Pod"),
	Plural:           "pods", Singular: "pod", Short: []string{"po"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Connect: []Subresource{
		{Name: "attach", Kind: gvk("", "v1", "PodAttachOptions"), Verbs: []string{"create", "get"}},
		{Name: "binding", Kind: gvk("", "v1", "Binding"), Verbs: []string{"create"}},
		{
			Name: "ephemeralcontainers", Kind: gvk("", "v1", "Pod"), Verbs: []string{"get", "patch", "update"},
			Prepare: do2(prepareEphemeral), Validate: as2(checkEphemeralUpdate),
		},
		{Name: "eviction", Kind: gvk(policyv1.GroupName, "v1", "Eviction"), Verbs: []string{"create"}},
		{Name: "exec", Kind: gvk("", "v1", "PodExecOptions"), Verbs: []string{"create", "get"}},
		{Name: "log", Kind: gvk("", "v1", "Pod"), Verbs: []string{"get"}},
		{Name: "portforward", Kind: gvk("", "v1", "PodPortForwardOptions"), Verbs: []string{"create", "get"}},
		{Name: "proxy", Kind: gvk("", "v1", "PodProxyOptions"), Verbs: proxyVerbs},
		{
			Name: "resize", Kind: gvk("", "v1", "Pod"), Verbs: []string{"get", "patch", "update"},
			Prepare: do2(prepareResize), Validate: as2(checkResize),
		},
	},
	New:     func() Object { return &corev1.Pod{} },
	NewList: func() runtime.Object { return &corev1.PodList{} },

	Default:       do(defaultPod),
	PrepareCreate: do(preparePodCreate),
	PrepareUpdate: do2(func(p, old *corev1.Pod) {
		p.Status = old.Status
		p.Generation = old.Generation
		if !same(p.Spec, old.Spec) {
			p.Generation++
		}
	}),
	PrepareStatus: do2(func(p, old *corev1.Pod) {
		p.Spec = old.Spec
		p.Generation = old.Generation
		p.OwnerReferences = old.OwnerReferences
		p.DeletionTimestamp = old.DeletionTimestamp
		p.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
		if p.Status.QOSClass == "" {
			p.Status.QOSClass = old.Status.QOSClass
		}
	}),

	Validate: as(func(p *corev1.Pod) field.ErrorList {
		errs := checkMeta(&p.ObjectMeta, true, dnsSubdomain)
		var c podChecker
		errs = append(errs, c.podSpec(&p.Spec, specPath)...)
		if IsMirrorPod(p) && p.Spec.NodeName == "" {
			errs = append(errs, field.Invalid(mirrorPath, p.Annotations[corev1.MirrorPodAnnotationKey], "must set spec.nodeName if mirror pod annotation is set"))
		}
		if len(p.Spec.EphemeralContainers) > 0 {
			errs = append(errs, field.Forbidden(specPath.Child("ephemeralContainers"), "cannot be set on create"))
		}
		if p.Spec.NodeName != "" && len(p.Spec.SchedulingGates) > 0 {
			errs = append(errs, field.Forbidden(specPath.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
		}
		return errs
	}),
	ValidateUpdate: as2(checkPodUpdate),
	ValidateStatus: as2(checkPodStatus),

	Warn: as(warnOfPod),

	Columns: podColumns,
	Row:     as(podRow),
	Fields: as(func(p *corev1.Pod) fields.Set {
		// Capacity for these, and metadata.name and metadata.namespace that the server adds.
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
}

func preparePodCreate(p *corev1.Pod) {
	p.Generation = 1
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: qosClass(&p.Spec)}
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

// qosClass says which pods go first when a node runs out: those that asked for nothing,
// then those that may use more than they asked for.
func qosClass(s *corev1.PodSpec) corev1.PodQOSClass {
	asked, guaranteed := false, true
	see := func(r *corev1.ResourceRequirements) {
		for _, n := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[n], r.Limits[n]
			asked = asked || !request.IsZero() || !limit.IsZero()
			// A request left out is the limit.
			if limit.IsZero() || (!request.IsZero() && request.Cmp(limit) != 0) {
				guaranteed = false
			}
		}
	}
	if s.Resources != nil {
		see(s.Resources)
	} else {
		for i := range s.InitContainers {
			see(&s.InitContainers[i].Resources)
		}
		for i := range s.Containers {
			see(&s.Containers[i].Resources)
		}
	}
	switch {
	case !asked:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

func podIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return p.Status.PodIPs[0].IP
	}
	return p.Status.PodIP
}

// podCondition finds a condition, nil if the pod does not have it.
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
