package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// tolerationSeconds is how long a pod stays on a node that fails.
const tolerationSeconds = 300

// tolerations lets pods stay for a while on a node that is not ready or cannot
// be reached, unless they say otherwise.
func (c *Chain) tolerations(_ context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !r.is("", "pods", "") || (r.Verb != Create && r.Verb != Update) {
		return nil
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if toleratesEviction(pod, key) {
			continue
		}
		seconds := int64(tolerationSeconds)
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
	return nil
}

func toleratesEviction(pod *corev1.Pod, key string) bool {
	for _, t := range pod.Spec.Tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}

var priorityClasses = schedulingv1.Resource("priorityclasses")

// systemClasses exist whether or not somebody has made them.
var systemClasses = map[string]int32{
	"system-cluster-critical": 2_000_000_000,
	"system-node-critical":    2_000_001_000,
}

// priority turns a new pod's class into its number; an update keeps it.
func (c *Chain) priority(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !r.is("", "pods", "") {
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
	class, err := c.classOf(ctx, r, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	if p := pod.Spec.Priority; p != nil && *p != class.Value {
		return r.forbidden("the integer value of priority (%d) must not be provided in pod spec; "+
			"priority admission controller computed %d from the given PriorityClass name", *p, class.Value)
	}
	preempt := corev1.PreemptLowerPriority
	if class.PreemptionPolicy != nil {
		preempt = *class.PreemptionPolicy
	}
	if p := pod.Spec.PreemptionPolicy; p != nil && *p != preempt {
		return r.forbidden("the string value of PreemptionPolicy (%s) must not be provided in pod spec; "+
			"priority admission controller computed %s from the given PriorityClass name", *p, preempt)
	}
	pod.Spec.PriorityClassName, pod.Spec.Priority, pod.Spec.PreemptionPolicy = class.Name, &class.Value, &preempt
	return nil
}

// classOf is the class of a name; without one, the cluster's default, or zero.
func (c *Chain) classOf(ctx context.Context, r *Request, name string) (*schedulingv1.PriorityClass, error) {
	class := &schedulingv1.PriorityClass{}
	if name == "" {
		found, err := c.globalDefault(ctx)
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
	for _, fresh := range []bool{false, true} {
		o, err := c.objects.Get(ctx, priorityClasses, "", name, fresh)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the priority class: %w", err)
		}
		if found, ok := o.(*schedulingv1.PriorityClass); ok {
			found.DeepCopyInto(class)
			return class, nil
		}
	}
	return nil, r.forbidden("no PriorityClass with name %v was found", name)
}

// globalDefault is the class of pods that name none, nil if there is no such.
func (c *Chain) globalDefault(ctx context.Context) (*schedulingv1.PriorityClass, error) {
	list, _, err := c.objects.List(ctx, priorityClasses, "", false)
	if err != nil {
		return nil, fmt.Errorf("looking for the default priority class: %w", err)
	}
	var lowest *schedulingv1.PriorityClass
	for _, o := range list {
		if p, ok := o.(*schedulingv1.PriorityClass); ok && p.GlobalDefault && (lowest == nil || p.Value < lowest.Value) {
			lowest = p
		}
	}
	return lowest, nil
}

// defaultPriorityClass keeps the default class the only one.
func (c *Chain) defaultPriorityClass(ctx context.Context, r *Request) error {
	class, ok := r.Object.(*schedulingv1.PriorityClass)
	if !ok || (r.Verb != Create && r.Verb != Update) || !class.GlobalDefault {
		return nil
	}
	have, err := c.globalDefault(ctx)
	if err != nil {
		return err
	}
	if have != nil && have.Name != class.Name {
		return r.forbidden("PriorityClass %v is already marked as default. Only one default can exist", have.Name)
	}
	return nil
}
