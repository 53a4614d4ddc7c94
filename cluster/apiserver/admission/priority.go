package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/authz"
)

var priorityClasses = schedulingv1.Resource("priorityclasses")

// systemClasses exist without an object.
var systemClasses = map[string]int32{
	"system-cluster-critical": 2_000_000_000,
	"system-node-critical":    2_000_001_000,
}

// Priority sets the priority of pods by their class, and keeps the default class unique.
type Priority struct{ objects authz.Objects }

// Admit sets the priority of a new pod; an update keeps it.
func (p *Priority) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !r.is("pods", "") {
		return nil
	}
	if r.Verb == Update {
		if old, ok := r.Old.(*corev1.Pod); ok && pod.Spec.Priority == nil {
			pod.Spec.Priority = old.Spec.Priority
		}
		return nil
	}
	if r.Verb != Create {
		return nil
	}
	class, err := p.classOf(ctx, r, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	if have := pod.Spec.Priority; have != nil && *have != class.Value {
		return r.forbidden("the integer value of priority (%d) must not be provided in pod spec; "+
			"priority admission controller computed %d from the given PriorityClass name", *have, class.Value)
	}
	preempt := corev1.PreemptLowerPriority
	if class.PreemptionPolicy != nil {
		preempt = *class.PreemptionPolicy
	}
	if have := pod.Spec.PreemptionPolicy; have != nil && *have != preempt {
		return r.forbidden("the string value of PreemptionPolicy (%s) must not be provided in pod spec; "+
			"priority admission controller computed %s from the given PriorityClass name", *have, preempt)
	}
	r.changed("Priority")
	pod.Spec.PriorityClassName, pod.Spec.Priority, pod.Spec.PreemptionPolicy = class.Name, &class.Value, &preempt
	return nil
}

// classOf returns the class of a name; without a name the cluster's default, or zero.
func (p *Priority) classOf(ctx context.Context, r *Request, name string) (*schedulingv1.PriorityClass, error) {
	class := &schedulingv1.PriorityClass{}
	if name == "" {
		found, err := p.globalDefault(ctx)
		if err != nil {
			return nil, err
		}
		if found != nil {
			found.DeepCopyInto(class) // shared: the pod takes pointers into it
		}
		return class, nil
	}
	if v, ok := systemClasses[name]; ok {
		class.Name, class.Value = name, v
		return class, nil
	}
	found, err := find[*schedulingv1.PriorityClass](ctx, p.objects, priorityClasses, "", name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, r.forbidden("no PriorityClass with name %v was found", name)
	case err != nil:
		return nil, fmt.Errorf("reading the priority class: %w", err)
	}
	found.DeepCopyInto(class)
	return class, nil
}

// globalDefault returns the default class, nil if there is none.
func (p *Priority) globalDefault(ctx context.Context) (*schedulingv1.PriorityClass, error) {
	classes, err := list[*schedulingv1.PriorityClass](ctx, p.objects, priorityClasses, "", false)
	if err != nil {
		return nil, fmt.Errorf("looking for the default priority class: %w", err)
	}
	var lowest *schedulingv1.PriorityClass
	for _, c := range classes {
		if c.GlobalDefault && (lowest == nil || c.Value < lowest.Value) {
			lowest = c
		}
	}
	return lowest, nil
}

// Validate refuses a second default class.
func (p *Priority) Validate(ctx context.Context, r *Request) error {
	class, ok := r.Object.(*schedulingv1.PriorityClass)
	if !ok || (r.Verb != Create && r.Verb != Update) || !class.GlobalDefault {
		return nil
	}
	have, err := p.globalDefault(ctx)
	if err != nil {
		return err
	}
	if have != nil && have.Name != class.Name {
		return r.forbidden("PriorityClass %v is already marked as default. Only one default can exist", have.Name)
	}
	return nil
}
