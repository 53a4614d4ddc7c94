package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

const podUpdateForbidden = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
	"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// validatePodUpdate validates an update. A pod's spec is immutable, except for a few fields that the kubelet
// applies or that matter before scheduling.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, podrules.ValidatePod(pod)...)
	errs = append(errs, validateAnnotationsUpdate(pod, old)...)
	for _, list := range []struct {
		name     string
		now, was []corev1.Container
	}{
		{"containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		p := rules.SpecPath.Child(list.name)
		if len(list.now) != len(list.was) {
			return append(errs, field.Forbidden(p, "pod updates may not add or remove containers"))
		}
		for i := range list.now {
			errs = append(errs, validateImageUpdate(list.now[i].Image, p.Index(i).Child("image"))...)
		}
	}
	deadline, ends := validateDeadlineUpdate(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds)
	if errs = append(errs, deadline...); ends {
		return errs
	}
	errs = append(errs, validateTolerationsUpdate(pod.Spec.Tolerations, old.Spec.Tolerations)...)
	errs = append(errs, validateSchedulingGatesUpdate(pod.Spec.SchedulingGates, old.Spec.SchedulingGates)...)
	if rules.Equal(pod.Spec, old.Spec) {
		return errs
	}

	// Copy the mutable fields of the old spec; the rest must be equal.
	rest := pod.Spec.DeepCopy()
	for i := range rest.Containers {
		rest.Containers[i].Image = old.Spec.Containers[i].Image
	}
	for i := range rest.InitContainers {
		rest.InitContainers[i].Image = old.Spec.InitContainers[i].Image
	}
	rest.ActiveDeadlineSeconds = old.Spec.ActiveDeadlineSeconds
	rest.SchedulingGates = old.Spec.SchedulingGates
	rest.Tolerations = old.Spec.Tolerations
	if g := old.Spec.TerminationGracePeriodSeconds; g != nil && *g < 0 && rest.TerminationGracePeriodSeconds != nil && *rest.TerminationGracePeriodSeconds == 1 {
		rest.TerminationGracePeriodSeconds = g
	}
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, validateGatedPodUpdate(rest, &old.Spec)...)
	}
	if !rules.Equal(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(rules.SpecPath, podUpdateForbidden+"\n"+diff.Diff(&old.Spec, rest)))
	}
	return errs
}

func validateImageUpdate(image string, p *field.Path) field.ErrorList {
	errs := rules.Required(image, p)
	if strings.TrimSpace(image) != image {
		errs = append(errs, field.Invalid(p, image, "must not have leading or trailing whitespace"))
	}
	return errs
}

// validateDeadlineUpdate validates the deadline. With some errors the validation of the update ends.
func validateDeadlineUpdate(v, old *int64) (errs field.ErrorList, ends bool) {
	p := rules.SpecPath.Child("activeDeadlineSeconds")
	switch {
	case v == nil && old != nil:
		return field.ErrorList{field.Invalid(p, v, "must not update from a positive integer to nil value")}, false
	case v == nil:
		return nil, false
	case *v < 0 || *v > math.MaxInt32:
		return field.ErrorList{field.Invalid(p, *v, validation.InclusiveRangeError(0, math.MaxInt32))}, true
	case old != nil && *v > *old:
		return field.ErrorList{field.Invalid(p, *v, "must be less than or equal to previous value")}, true
	}
	return nil, false
}

func validateSchedulingGatesUpdate(gates, old []corev1.PodSchedulingGate) field.ErrorList {
	var errs field.ErrorList
	for i, g := range gates {
		if !slices.Contains(old, g) {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("schedulingGates").Index(i).Child("name"),
				fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

func validateTolerationsUpdate(list, old []corev1.Toleration) field.ErrorList {
	p := rules.SpecPath.Child("tolerations")
	for _, o := range old {
		o.TolerationSeconds = nil
		if !slices.ContainsFunc(list, func(t corev1.Toleration) bool {
			t.TolerationSeconds = nil
			return t == o
		}) {
			return field.ErrorList{field.Forbidden(p, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return podrules.ValidateTolerations(list, p)
}

// validateGatedPodUpdate validates the scheduling directives of a pod with scheduling gates, which an update may
// tighten. It resets valid changes in rest to old's values.
func validateGatedPodUpdate(rest, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for k, v := range old.NodeSelector {
		if got, ok := rest.NodeSelector[k]; !ok || got != v {
			errs = append(errs, field.Invalid(rules.SpecPath.Child("nodeSelector"), rest.NodeSelector,
				"only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	rest.NodeSelector = old.NodeSelector

	// Without node affinity before, any term tightens it.
	if old.Affinity == nil || old.Affinity.NodeAffinity == nil {
		if rest.Affinity != nil {
			rest.Affinity.NodeAffinity = nil
			if rest.Affinity.PodAffinity == nil && rest.Affinity.PodAntiAffinity == nil {
				rest.Affinity = old.Affinity
			}
		}
	} else if rest.Affinity != nil && rest.Affinity.NodeAffinity != nil {
		rest.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = old.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	}
	return errs
}

// validateAnnotationsUpdate reports changes of the annotations that are immutable.
func validateAnnotationsUpdate(pod, old *corev1.Pod) field.ErrorList {
	what := func(key string) string {
		switch {
		case strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix):
			return "AppArmor annotations"
		case key == corev1.MirrorPodAnnotationKey:
			return "mirror pod annotation"
		}
		return ""
	}
	var errs field.ErrorList
	p := rules.MetadataPath.Child("annotations")
	for _, k := range slices.Sorted(maps.Keys(old.Annotations)) {
		if v, still := pod.Annotations[k]; what(k) != "" && (!still || v != old.Annotations[k]) {
			errs = append(errs, field.Forbidden(p.Key(k), "may not remove or update "+what(k)))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(pod.Annotations)) {
		if _, had := old.Annotations[k]; what(k) != "" && !had {
			errs = append(errs, field.Forbidden(p.Key(k), "may not add "+what(k)))
		}
	}
	return errs
}

func validatePodStatus(pod, old *corev1.Pod) field.ErrorList {
	errs := append(rules.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta), validateAnnotationsUpdate(pod, old)...)
	s, o, p := &pod.Status, &old.Status, rules.StatusPath
	errs = append(errs, validatePodConditions(s.Conditions, p.Child("conditions"))...)
	if s.NominatedNodeName != "" && s.NominatedNodeName != o.NominatedNodeName {
		errs = append(errs, rules.Invalid(p.Child("nominatedNodeName"), s.NominatedNodeName, validation.IsDNS1123Subdomain(s.NominatedNodeName))...)
		if old.Spec.NodeName != "" {
			errs = append(errs, field.Forbidden(p.Child("nominatedNodeName"), "may not be set on pods that are already bound to a node"))
		}
	}
	if s.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(p.Child("observedGeneration"), s.ObservedGeneration, negativeGeneration))
	}
	if o.QOSClass != "" {
		errs = append(errs, rules.Immutable(s.QOSClass, o.QOSClass, p.Child("qosClass"))...)
	}
	errs = append(errs, validateContainerStateTransition(s.ContainerStatuses, o.ContainerStatuses, &old.Spec, p.Child("containerStatuses"))...)
	errs = append(errs, validateContainerStateTransition(s.InitContainerStatuses, o.InitContainerStatuses, &old.Spec, p.Child("initContainerStatuses"))...)
	errs = append(errs, validateEphemeralStateTransition(s.EphemeralContainerStatuses, o.EphemeralContainerStatuses, p.Child("ephemeralContainerStatuses"))...)
	return append(errs, validatePodAddresses(s, o)...)
}

const negativeGeneration = "must be a non-negative integer"

func validatePodConditions(conditions []corev1.PodCondition, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range conditions {
		c := &conditions[i]
		if c.ObservedGeneration < 0 {
			errs = append(errs, field.Invalid(p.Index(i).Child("observedGeneration"), c.ObservedGeneration, negativeGeneration))
		}
		errs = append(errs, rules.Invalid(p.Index(i).Child("Type"), string(c.Type), validation.IsQualifiedName(string(c.Type)))...)
	}
	return errs
}

// validatePodAddresses validates the addresses of the pod and of its node: one of each family.
func validatePodAddresses(s, old *corev1.PodStatus) field.ErrorList {
	var ips, hosts, oldIPs, oldHosts []string
	for i := range s.PodIPs {
		ips = append(ips, s.PodIPs[i].IP)
	}
	for i := range s.HostIPs {
		hosts = append(hosts, s.HostIPs[i].IP)
	}
	for i := range old.PodIPs {
		oldIPs = append(oldIPs, old.PodIPs[i].IP)
	}
	for i := range old.HostIPs {
		oldHosts = append(oldHosts, old.HostIPs[i].IP)
	}
	p := rules.StatusPath.Child("podIPs")
	errs := validateAddresses(ips, oldIPs, s.PodIPs, p)
	if p = rules.StatusPath.Child("hostIPs"); len(hosts) > 0 && s.HostIP != hosts[0] {
		errs = append(errs, field.Invalid(p.Index(0).Child("ip"), hosts[0], "must be equal to `hostIP`"))
	}
	return append(errs, validateAddresses(hosts, oldHosts, s.HostIPs, p)...)
}

func validateAddresses(ips, old []string, shown any, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range ips {
		errs = append(errs, validation.IsValidIPForLegacyField(p.Index(i), ip, true, old)...)
	}
	if len(ips) < 2 {
		return errs
	}
	dual, err := netutils.IsDualStackIPStrings(ips)
	if err != nil {
		errs = append(errs, field.InternalError(p, fmt.Errorf("failed to check for dual stack with error:%w", err)))
	}
	if !dual || len(ips) > 2 {
		errs = append(errs, field.Invalid(p, shown, "may specify no more than one IP for each IP family"))
	}
	return errs
}

const notRunAgain = "may not be transitioned to non-terminated state"

// validateContainerStateTransition reports a terminated container that runs again against its restart policy.
func validateContainerStateTransition(statuses, old []corev1.ContainerStatus, spec *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range old {
		terminated := old[i].State.Terminated
		if terminated == nil || podrules.MayRestart(spec, old[i].Name, terminated.ExitCode) {
			continue
		}
		if k := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == old[i].Name && s.State.Terminated == nil }); k >= 0 {
			errs = append(errs, field.Forbidden(p.Index(i).Child("state"), notRunAgain))
		}
	}
	return errs
}

func validateEphemeralStateTransition(statuses, old []corev1.ContainerStatus, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range old {
		for k := range statuses {
			if old[i].State.Terminated != nil && statuses[k].Name == old[i].Name && statuses[k].State.Terminated == nil {
				errs = append(errs, field.Forbidden(p.Index(i).Child("state"), notRunAgain))
			}
		}
	}
	return errs
}

// prepareEphemeralContainersUpdate takes the ephemeral containers of obj and everything else of old.
func prepareEphemeralContainersUpdate(obj, old *corev1.Pod) {
	added := obj.Spec.EphemeralContainers
	meta := obj.ObjectMeta
	old.DeepCopyInto(obj)
	obj.ResourceVersion = meta.ResourceVersion
	obj.Spec.EphemeralContainers = added
	if !rules.Equal(obj.Spec, old.Spec) {
		obj.Generation = old.Generation + 1
	}
}

// validatePodEphemeralContainersUpdate validates an update, which may only add ephemeral containers.
func validatePodEphemeralContainersUpdate(obj, old *corev1.Pod) field.ErrorList {
	if IsMirrorPod(old) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	errs := rules.ValidateObjectMetaUpdate(&obj.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, podrules.ValidatePod(obj)...)
	errs = append(errs, validateAnnotationsUpdate(obj, old)...)
	p := rules.SpecPath.Child("ephemeralContainers")
	for i := range old.Spec.EphemeralContainers {
		o := &old.Spec.EphemeralContainers[i]
		k := slices.IndexFunc(obj.Spec.EphemeralContainers, func(e corev1.EphemeralContainer) bool { return e.Name == o.Name })
		if k < 0 {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", o.Name)))
		} else if !rules.Equal(obj.Spec.EphemeralContainers[k], *o) {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", o.Name, diff.Diff(*o, obj.Spec.EphemeralContainers[k]))))
		}
	}
	return errs
}
