package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// preparePodResize takes the resources and resize policies of obj and everything else of old. A spec with other
// containers is kept for validatePodResize.
func preparePodResize(obj, old *corev1.Pod) {
	asked := obj.Spec
	meta := obj.ObjectMeta
	old.DeepCopyInto(obj)
	obj.ResourceVersion, obj.ManagedFields = meta.ResourceVersion, meta.ManagedFields
	if sameContainerNames(asked.Containers, old.Spec.Containers) && sameContainerNames(asked.InitContainers, old.Spec.InitContainers) {
		copyContainerResources(obj.Spec.Containers, asked.Containers)
		copyContainerResources(obj.Spec.InitContainers, asked.InitContainers)
		obj.Spec.Resources = asked.Resources
	} else {
		obj.Spec = asked
	}
	if !rules.Equal(obj.Spec, old.Spec) {
		obj.Generation = old.Generation + 1
	}
}

func sameContainerNames(a, b []corev1.Container) bool {
	return slices.EqualFunc(a, b, func(a, b corev1.Container) bool { return a.Name == b.Name })
}

func copyContainerResources(to, from []corev1.Container) {
	for i := range to {
		to[i].Resources, to[i].ResizePolicy = from[i].Resources, from[i].ResizePolicy
	}
}

// validatePodResize validates a resize, which may change cpu and memory of containers but not the QoS class.
func validatePodResize(pod, old *corev1.Pod) field.ErrorList {
	if IsMirrorPod(old) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	errs := rules.ValidateObjectMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, podrules.ValidatePod(pod)...)
	errs = append(errs, validateAnnotationsUpdate(pod, old)...)
	if class := podfacts.ComputeQOSClass(&pod.Spec); class != podfacts.QOSClass(old) {
		errs = append(errs, field.Invalid(rules.SpecPath, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !isPodResizeRequestSupported(old) {
		errs = append(errs, field.Forbidden(rules.SpecPath, "Pod running on node without support for resize"))
	}
	if !rules.Equal(pod.Spec.Resources, old.Spec.Resources) {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("resources"), "resources of the pod as a whole cannot be resized, only those of its containers"))
	}
	if others := validateSameContainers(&pod.Spec, &old.Spec); len(others) > 0 {
		return append(errs, others...)
	}
	errs = append(errs, validateResourcesNotRemoved(pod.Spec.InitContainers, old.Spec.InitContainers, rules.SpecPath.Child("initContainers"))...)
	errs = append(errs, validateResourcesNotRemoved(pod.Spec.Containers, old.Spec.Containers, rules.SpecPath.Child("containers"))...)
	return append(errs, validateOnlyResourcesChanged(pod, old)...)
}

// isPodResizeRequestSupported reports whether the pod's node reports the resources of running containers. A node
// that does not cannot resize them.
func isPodResizeRequestSupported(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

func validateSameContainers(s, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for _, l := range []struct {
		name     string
		now, old []corev1.Container
	}{{"containers", s.Containers, old.Containers}, {"initContainers", s.InitContainers, old.InitContainers}} {
		p := rules.SpecPath.Child(l.name)
		if len(l.now) != len(l.old) {
			errs = append(errs, field.Forbidden(p, l.name+" may not be added or removed on resize"))
			continue
		}
		for i := range l.old {
			if l.now[i].Name != l.old[i].Name {
				errs = append(errs, field.Forbidden(p.Index(i).Child("name"), l.name+" may not be renamed or reordered on resize"))
			}
		}
	}
	return errs
}

// validateResourcesNotRemoved reports requests and limits that are removed.
func validateResourcesNotRemoved(list, old []corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		at := p.Index(i).Child("resources")
		if resourcesRemoved(list[i].Resources.Requests, old[i].Resources.Requests) {
			errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
		}
		if resourcesRemoved(list[i].Resources.Limits, old[i].Resources.Limits) {
			errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
		}
	}
	return errs
}

func resourcesRemoved(l, old corev1.ResourceList) bool {
	for n := range old {
		if _, ok := l[n]; !ok {
			return true
		}
	}
	return false
}

// validateOnlyResourcesChanged reports changes of other fields than cpu and memory.
func validateOnlyResourcesChanged(pod, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	s := pod.Spec.DeepCopy()
	s.Resources = old.Spec.Resources
	for i := range s.Containers {
		restoreResizableResources(&s.Containers[i], &old.Spec.Containers[i])
	}
	for i := range s.InitContainers {
		c, before, p := &s.InitContainers[i], &old.Spec.InitContainers[i], rules.SpecPath.Child("initContainers").Index(i)
		changed := !rules.Equal(*c, *before)
		restoreResizableResources(c, before)
		if !rules.Equal(*c, *before) {
			errs = append(errs, field.Forbidden(p, "only cpu and memory resources for init or sidecar containers are mutable"))
		} else if changed && !podfacts.Sidecar(c) && slices.ContainsFunc(c.ResizePolicy, podrules.RestartsOnResize) {
			errs = append(errs, field.Forbidden(p, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	s.InitContainers = old.Spec.InitContainers
	if !rules.Equal(*s, old.Spec) {
		errs = append(errs, field.Forbidden(rules.SpecPath, "only cpu and memory resources are mutable"))
	}
	return errs
}

// restoreResizableResources sets cpu and memory of c to those of old.
func restoreResizableResources(c, old *corev1.Container) {
	for _, l := range []struct {
		list *corev1.ResourceList
		old  corev1.ResourceList
	}{{&c.Resources.Limits, old.Resources.Limits}, {&c.Resources.Requests, old.Resources.Requests}} {
		for _, n := range podrules.Resizable {
			q, ok := l.old[n]
			if !ok {
				delete(*l.list, n)
				continue
			}
			if *l.list == nil {
				*l.list = corev1.ResourceList{}
			}
			(*l.list)[n] = q
		}
	}
}
