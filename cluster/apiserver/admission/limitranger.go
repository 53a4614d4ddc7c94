package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	helper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/apiserver/authz"
)

var limitRangesResource = schema.GroupResource{Resource: "limitranges"}

// limitRangerAnnotation is upstream's for what a LimitRange has set.
const limitRangerAnnotation = "kubernetes.io/limit-ranger"

// LimitRanger applies the LimitRanges of a namespace to its pods and claims.
type LimitRanger struct{ objects authz.Objects }

// Admit sets in the containers of a new pod the default requests and limits of its namespace.
func (p *LimitRanger) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Verb != Create || !r.is("pods", "") {
		return nil
	}
	ranges, err := p.limitRanges(ctx, r.Namespace)
	if err != nil || len(ranges) == 0 {
		return err
	}
	if err := limitWork(r, pod, ranges); err != nil {
		return err
	}
	var notes []string
	for _, l := range ranges {
		for i := range l.Spec.Limits {
			if item := &l.Spec.Limits[i]; item.Type == corev1.LimitTypeContainer {
				notes = append(notes, setDefaults(pod, item)...)
			}
		}
	}
	if len(notes) == 0 {
		return nil
	}
	r.changed("LimitRanger")
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[limitRangerAnnotation] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
	if r.Kind.PrepareCreate != nil {
		r.Kind.PrepareCreate(pod) // the QoS class follows from what was set
	}
	return nil
}

// maxLimitWork bounds how many resources are compared for all containers of a pod.
const maxLimitWork = 1_000_000

func limitWork(r *Request, pod *corev1.Pod, ranges []*corev1.LimitRange) error {
	n := 0
	for _, l := range ranges {
		for i := range l.Spec.Limits {
			item := &l.Spec.Limits[i]
			n += 1 + len(item.Min) + len(item.Max) + len(item.Default) + len(item.DefaultRequest) + len(item.MaxLimitRequestRatio)
		}
	}
	if containers := len(pod.Spec.InitContainers) + len(pod.Spec.Containers); n > maxLimitWork/(1+containers) {
		return r.forbidden("the %d limits of the namespace are too many to compare with those of %d containers", n, containers)
	}
	return nil
}

// setDefaults sets the defaults of an item, and returns what it has set where.
func setDefaults(pod *corev1.Pod, item *corev1.LimitRangeItem) []string {
	var notes []string
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"container", pod.Spec.Containers}, {"init container", pod.Spec.InitContainers}} {
		for i := range list.containers {
			one := &list.containers[i]
			if set := fill(&one.Resources.Requests, item.DefaultRequest); set != "" {
				notes = append(notes, fmt.Sprintf("%s request for %s %s", set, list.name, one.Name))
			}
			if set := fill(&one.Resources.Limits, item.Default); set != "" {
				notes = append(notes, fmt.Sprintf("%s limit for %s %s", set, list.name, one.Name))
			}
		}
	}
	return notes
}

// fill sets what is missing, and returns its names.
func fill(to *corev1.ResourceList, defaults corev1.ResourceList) string {
	var set []string
	for _, n := range slices.Sorted(maps.Keys(defaults)) {
		if _, ok := (*to)[n]; ok {
			continue
		}
		if *to == nil {
			*to = corev1.ResourceList{}
		}
		(*to)[n] = defaults[n].DeepCopy()
		set = append(set, string(n))
	}
	return strings.Join(set, ", ")
}

// Validate refuses a pod or claim outside the limits of its namespace.
func (p *LimitRanger) Validate(ctx context.Context, r *Request) error {
	var check func(*corev1.LimitRangeItem) []error
	var pod *corev1.Pod
	switch o := r.Object.(type) {
	case *corev1.Pod:
		if !r.is("pods", "resize") && (!r.is("pods", "") || r.Verb != Create) {
			return nil
		}
		pod = o
		check = func(item *corev1.LimitRangeItem) []error { return podLimits(o, item) }
	case *corev1.PersistentVolumeClaim:
		if !r.is("persistentvolumeclaims", "") {
			return nil
		}
		check = func(item *corev1.LimitRangeItem) []error { return claimLimits(o, item) }
	default:
		return nil
	}
	ranges, err := p.limitRanges(ctx, r.Namespace)
	if err != nil {
		return err
	}
	if pod != nil {
		if err := limitWork(r, pod, ranges); err != nil {
			return err
		}
	}
	for _, l := range ranges {
		var wrong []error
		for i := range l.Spec.Limits {
			wrong = append(wrong, check(&l.Spec.Limits[i])...)
		}
		if len(wrong) > 0 {
			return r.forbidden("%w", utilerrors.NewAggregate(wrong))
		}
	}
	return nil
}

func (p *LimitRanger) limitRanges(ctx context.Context, namespace string) ([]*corev1.LimitRange, error) {
	ranges, err := list[*corev1.LimitRange](ctx, p.objects, limitRangesResource, namespace, false)
	if err != nil {
		return nil, fmt.Errorf("reading the limit ranges of namespace %s: %w", namespace, err)
	}
	return ranges, nil
}

func podLimits(pod *corev1.Pod, item *corev1.LimitRangeItem) []error {
	var wrong []error
	switch item.Type {
	case corev1.LimitTypeContainer:
		for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
			for i := range list {
				wrong = append(wrong, bounds(item, list[i].Resources.Requests, list[i].Resources.Limits)...)
			}
		}
	case corev1.LimitTypePod:
		wrong = bounds(item, helper.PodRequests(pod, helper.PodResourcesOptions{ExcludeOverhead: true}),
			helper.PodLimits(pod, helper.PodResourcesOptions{ExcludeOverhead: true}))
	}
	return wrong
}

// claimLimits returns the violations of a claim, which has requests only.
func claimLimits(claim *corev1.PersistentVolumeClaim, item *corev1.LimitRangeItem) []error {
	if item.Type != corev1.LimitTypePersistentVolumeClaim {
		return nil
	}
	var wrong []error
	asked := claim.Spec.Resources.Requests
	each(item.Min, func(n corev1.ResourceName, min resource.Quantity) {
		wrong = append(wrong, atLeast(item.Type, n, min, asked, nil))
	})
	each(item.Max, func(n corev1.ResourceName, max resource.Quantity) {
		have, ok := asked[n]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", n, item.Type, max.String()))
		case have.Cmp(max) > 0:
			wrong = append(wrong, fmt.Errorf("maximum %s usage per %s is %s, but request is %s", n, item.Type, max.String(), have.String()))
		}
	})
	return slices.DeleteFunc(wrong, func(err error) bool { return err == nil })
}

func bounds(item *corev1.LimitRangeItem, requests, limits corev1.ResourceList) []error {
	var wrong []error
	each(item.Min, func(n corev1.ResourceName, min resource.Quantity) {
		wrong = append(wrong, atLeast(item.Type, n, min, requests, limits))
	})
	each(item.Max, func(n corev1.ResourceName, max resource.Quantity) {
		wrong = append(wrong, atMost(item.Type, n, max, requests, limits))
	})
	each(item.MaxLimitRequestRatio, func(n corev1.ResourceName, ratio resource.Quantity) {
		wrong = append(wrong, inProportion(item.Type, n, ratio, requests, limits))
	})
	return slices.DeleteFunc(wrong, func(err error) bool { return err == nil })
}

func each(l corev1.ResourceList, f func(corev1.ResourceName, resource.Quantity)) {
	for _, n := range slices.Sorted(maps.Keys(l)) {
		f(n, l[n])
	}
}

func atLeast(what corev1.LimitType, n corev1.ResourceName, min resource.Quantity, requests, limits corev1.ResourceList) error {
	request, requested := requests[n]
	limit, limited := limits[n]
	switch {
	case !requested:
		return fmt.Errorf("minimum %s usage per %s is %s.  No request is specified", n, what, min.String())
	case request.Cmp(min) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but request is %s", n, what, min.String(), request.String())
	case limited && limit.Cmp(min) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but limit is %s", n, what, min.String(), limit.String())
	}
	return nil
}

func atMost(what corev1.LimitType, n corev1.ResourceName, max resource.Quantity, requests, limits corev1.ResourceList) error {
	request, requested := requests[n]
	limit, limited := limits[n]
	switch {
	case !limited:
		return fmt.Errorf("maximum %s usage per %s is %s.  No limit is specified", n, what, max.String())
	case limit.Cmp(max) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but limit is %s", n, what, max.String(), limit.String())
	case requested && request.Cmp(max) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", n, what, max.String(), request.String())
	}
	return nil
}

func inProportion(what corev1.LimitType, n corev1.ResourceName, most resource.Quantity, requests, limits corev1.ResourceList) error {
	request, limit := requests[n], limits[n]
	switch {
	case request.IsZero():
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", n, what, most.String())
	case limit.IsZero():
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", n, what, most.String())
	}
	if ratio := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); ratio > most.AsApproximateFloat64() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but provided ratio is %f", n, what, most.String(), ratio)
	}
	return nil
}
