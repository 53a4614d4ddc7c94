package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

const podUpdateForbidden = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
	"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// validatePodUpdate validates an update. A pod's spec is immutable, except for a few fields that the kubelet
// applies or that matter before scheduling.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	errs := append(rules.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta), validateMirrorPodUpdate(pod, old)...)
	errs = append(errs, podrules.ValidatePodSpec(&pod.Spec, rules.SpecPath)...)
	if rules.Equal(pod.Spec, old.Spec) {
		return errs
	}
	if len(pod.Spec.Containers) != len(old.Spec.Containers) {
		return append(errs, field.Forbidden(rules.SpecPath.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(pod.Spec.InitContainers) != len(old.Spec.InitContainers) {
		return append(errs, field.Forbidden(rules.SpecPath.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	errs = append(errs, validateDeadlineUpdate(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds)...)
	errs = append(errs, validateSchedulingGatesUpdate(pod.Spec.SchedulingGates, old.Spec.SchedulingGates)...)
	errs = append(errs, validateTolerationsUpdate(pod.Spec.Tolerations, old.Spec.Tolerations)...)
	if len(errs) > 0 {
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

func validateDeadlineUpdate(v, old *int64) field.ErrorList {
	p := rules.SpecPath.Child("activeDeadlineSeconds")
	switch {
	case old == nil:
		return nil
	case v == nil:
		return field.ErrorList{field.Invalid(p, v, "must not update from a positive integer to nil value")}
	case *v > *old:
		return field.ErrorList{field.Invalid(p, *v, "must be less than or equal to previous value")}
	}
	return nil
}

func validateSchedulingGatesUpdate(gates, old []corev1.PodSchedulingGate) field.ErrorList {
	var errs field.ErrorList
	for i, g := range gates {
		if !slices.Contains(old, g) {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("schedulingGates").Index(i),
				fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

func validateTolerationsUpdate(list, old []corev1.Toleration) field.ErrorList {
	for _, o := range old {
		o.TolerationSeconds = nil
		if !slices.ContainsFunc(list, func(t corev1.Toleration) bool {
			t.TolerationSeconds = nil
			return t == o
		}) {
			return field.ErrorList{field.Forbidden(rules.SpecPath.Child("tolerations"), "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
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

var mirrorPath = rules.MetadataPath.Child("annotations").Key(corev1.MirrorPodAnnotationKey)

// validateMirrorPodUpdate reports a change of the mirror annotation, which is immutable.
func validateMirrorPodUpdate(pod, old *corev1.Pod) field.ErrorList {
	was, is := old.Annotations[corev1.MirrorPodAnnotationKey], pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case IsMirrorPod(old) && (!IsMirrorPod(pod) || was != is):
		return field.ErrorList{field.Forbidden(mirrorPath, "may not remove or update mirror pod annotation")}
	case IsMirrorPod(pod) && !IsMirrorPod(old):
		return field.ErrorList{field.Forbidden(mirrorPath, "may not add mirror pod annotation")}
	}
	return nil
}

func validatePodStatus(pod, old *corev1.Pod) field.ErrorList {
	errs := append(rules.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta), validateMirrorPodUpdate(pod, old)...)
	s, o := &pod.Status, &old.Status
	errs = append(errs, rules.OptionalValue(s.NominatedNodeName, rules.StatusPath.Child("nominatedNodeName"), validation.IsDNS1123Subdomain)...)
	if o.QOSClass != "" && s.QOSClass != o.QOSClass {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("qosClass"), s.QOSClass, "field is immutable"))
	}
	errs = append(errs, rules.NonNegative(s.ObservedGeneration, rules.StatusPath.Child("observedGeneration"))...)
	ips := rules.StatusPath.Child("podIPs")
	for i := range s.PodIPs {
		errs = append(errs, validation.IsValidIPForLegacyField(ips.Index(i), s.PodIPs[i].IP, false, nil)...)
	}
	if len(s.PodIPs) > 0 && s.PodIP != s.PodIPs[0].IP {
		errs = append(errs, field.Invalid(ips, s.PodIPs, "must match `podIP` in the first position"))
	}
	if pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return errs
	}
	errs = append(errs, validateContainerStateTransition(s.ContainerStatuses, o.ContainerStatuses, &pod.Spec, rules.StatusPath.Child("containerStatuses"))...)
	return append(errs, validateContainerStateTransition(s.InitContainerStatuses, o.InitContainerStatuses, &pod.Spec, rules.StatusPath.Child("initContainerStatuses"))...)
}

// validateContainerStateTransition reports a terminated container that runs again against its restart policy.
func validateContainerStateTransition(statuses, old []corev1.ContainerStatus, spec *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range old {
		terminated := old[i].State.Terminated
		if terminated == nil || (terminated.ExitCode != 0 && spec.RestartPolicy == corev1.RestartPolicyOnFailure) || hasOwnRestartPolicy(spec, old[i].Name) {
			continue
		}
		for k := range statuses {
			if statuses[k].Name == old[i].Name && statuses[k].State.Terminated == nil {
				errs = append(errs, field.Forbidden(p.Index(k).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

func hasOwnRestartPolicy(spec *corev1.PodSpec, name string) bool {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if list[i].Name == name && list[i].RestartPolicy != nil {
				return true
			}
		}
	}
	return false
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
	errs := append(rules.ValidateObjectMetaUpdate(&obj.ObjectMeta, &old.ObjectMeta), validateMirrorPodUpdate(obj, old)...)
	errs = append(errs, podrules.ValidatePodSpec(&obj.Spec, rules.SpecPath)...)
	p := rules.SpecPath.Child("ephemeralContainers")
	for i := range old.Spec.EphemeralContainers {
		o := &old.Spec.EphemeralContainers[i]
		k := slices.IndexFunc(obj.Spec.EphemeralContainers, func(e corev1.EphemeralContainer) bool { return e.Name == o.Name })
		if k < 0 {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("existing ephemeral containers %q may not be removed", o.Name)))
		} else if !rules.Equal(obj.Spec.EphemeralContainers[k], *o) {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("existing ephemeral containers %q may not be changed", o.Name)))
		}
	}
	return errs
}
