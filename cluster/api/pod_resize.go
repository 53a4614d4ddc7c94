package api

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// resizable are the resources of a container that may change while it runs.
var resizable = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// prepareResize: the pod stays as it is, with the resources and resize policies that obj
// has for its containers. Where obj has other containers it is left for checkResize.
func prepareResize(obj, old *corev1.Pod) {
	asked := obj.Spec
	meta := obj.ObjectMeta
	old.DeepCopyInto(obj)
	obj.ResourceVersion, obj.ManagedFields = meta.ResourceVersion, meta.ManagedFields
	if sameNames(asked.Containers, old.Spec.Containers) && sameNames(asked.InitContainers, old.Spec.InitContainers) {
		takeSizes(obj.Spec.Containers, asked.Containers)
		takeSizes(obj.Spec.InitContainers, asked.InitContainers)
		obj.Spec.Resources = asked.Resources
	} else {
		obj.Spec = asked
	}
	if !same(obj.Spec, old.Spec) {
		obj.Generation = old.Generation + 1
	}
}

func sameNames(a, b []corev1.Container) bool {
	return slices.EqualFunc(a, b, func(a, b corev1.Container) bool { return a.Name == b.Name })
}

func takeSizes(to, from []corev1.Container) {
	for i := range to {
		to[i].Resources, to[i].ResizePolicy = from[i].Resources, from[i].ResizePolicy
	}
}

// checkResize: cpu and memory of containers can change, and nothing else of the pod; its
// class of service stays.
func checkResize(pod, old *corev1.Pod) field.ErrorList {
	if IsMirrorPod(old) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	errs := append(checkMetaUpdate(&pod.ObjectMeta, &old.ObjectMeta), checkMirrorUpdate(pod, old)...)
	var c podChecker
	errs = append(errs, c.podSpec(&pod.Spec, specPath)...)
	if class := qosClass(&pod.Spec); class != classOf(old) {
		errs = append(errs, field.Invalid(specPath, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !showsSizes(old) {
		errs = append(errs, field.Forbidden(specPath, "Pod running on node without support for resize"))
	}
	if !same(pod.Spec.Resources, old.Spec.Resources) {
		errs = append(errs, field.Forbidden(specPath.Child("resources"), "resources of the pod as a whole cannot be resized, only those of its containers"))
	}
	if others := checkSameContainers(&pod.Spec, &old.Spec); len(others) > 0 {
		return append(errs, others...)
	}
	errs = append(errs, checkNotTaken(pod.Spec.InitContainers, old.Spec.InitContainers, specPath.Child("initContainers"))...)
	errs = append(errs, checkNotTaken(pod.Spec.Containers, old.Spec.Containers, specPath.Child("containers"))...)
	return append(errs, checkOnlySizes(pod, old)...)
}

func classOf(p *corev1.Pod) corev1.PodQOSClass {
	if p.Status.QOSClass != "" {
		return p.Status.QOSClass
	}
	return qosClass(&p.Spec)
}

// showsSizes: the node of a pod that runs tells what its containers really have; one that
// does not could not resize them either.
func showsSizes(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

func checkSameContainers(s, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for _, l := range []struct {
		name     string
		now, old []corev1.Container
	}{{"containers", s.Containers, old.Containers}, {"initContainers", s.InitContainers, old.InitContainers}} {
		p := specPath.Child(l.name)
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

// checkNotTaken: what a container asked for, or was limited to, can change but not go.
func checkNotTaken(list, old []corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		at := p.Index(i).Child("resources")
		if taken(list[i].Resources.Requests, old[i].Resources.Requests) {
			errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
		}
		if taken(list[i].Resources.Limits, old[i].Resources.Limits) {
			errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
		}
	}
	return errs
}

func taken(l, old corev1.ResourceList) bool {
	for n := range old {
		if _, ok := l[n]; !ok {
			return true
		}
	}
	return false
}

// checkOnlySizes: with the old cpu and memory of its containers the pod is the old one.
func checkOnlySizes(pod, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	s := pod.Spec.DeepCopy()
	s.Resources = old.Spec.Resources
	for i := range s.Containers {
		takeBackSizes(&s.Containers[i], &old.Spec.Containers[i])
	}
	for i := range s.InitContainers {
		c, before, p := &s.InitContainers[i], &old.Spec.InitContainers[i], specPath.Child("initContainers").Index(i)
		changed := !same(*c, *before)
		takeBackSizes(c, before)
		if !same(*c, *before) {
			errs = append(errs, field.Forbidden(p, "only cpu and memory resources for init or sidecar containers are mutable"))
		} else if changed && !isSidecar(c) && slices.ContainsFunc(c.ResizePolicy, restartsOnResize) {
			errs = append(errs, field.Forbidden(p, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	s.InitContainers = old.Spec.InitContainers
	if !same(*s, old.Spec) {
		errs = append(errs, field.Forbidden(specPath, "only cpu and memory resources are mutable"))
	}
	return errs
}

// takeBackSizes gives c the old one's cpu and memory.
func takeBackSizes(c, old *corev1.Container) {
	for _, l := range []struct {
		list *corev1.ResourceList
		old  corev1.ResourceList
	}{{&c.Resources.Limits, old.Resources.Limits}, {&c.Resources.Requests, old.Resources.Requests}} {
		for _, n := range resizable {
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

func restartsOnResize(p corev1.ContainerResizePolicy) bool {
	return p.RestartPolicy == corev1.RestartContainer
}

// checkResizePolicy checks what is to happen to a container when its resources change. An
// absent one counts as NotRequired.
func checkResizePolicy(list []corev1.ContainerResizePolicy, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceName]bool{}
	for i, r := range list {
		if seen[r.ResourceName] {
			errs = append(errs, field.Duplicate(p.Index(i), r.ResourceName))
		}
		seen[r.ResourceName] = true
		errs = append(errs, requiredOneOf(r.ResourceName, p, resizable...)...)
		errs = append(errs, requiredOneOf(r.RestartPolicy, p, corev1.NotRequired, corev1.RestartContainer)...)
		if s.RestartPolicy == corev1.RestartPolicyNever && r.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(p, r.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// checkInitResizePolicy: an init container is not started twice for its resources.
func checkInitResizePolicy(list []corev1.ContainerResizePolicy, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, r := range list {
		if restartsOnResize(r) {
			errs = append(errs, field.Invalid(p.Index(i).Child("restartPolicy"), r.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"))
		}
	}
	return errs
}
