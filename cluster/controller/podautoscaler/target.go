package podautoscaler

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
)

// condition is one of an autoscaler's conditions.
type condition struct {
	holds          bool
	reason, detail string
}

func (c *Controller) set(h *autoscaling.HorizontalPodAutoscaler, t autoscaling.HorizontalPodAutoscalerConditionType, now condition) {
	status := v1.ConditionFalse
	if now.holds {
		status = v1.ConditionTrue
	}
	next := autoscaling.HorizontalPodAutoscalerCondition{
		Type: t, Status: status, Reason: now.reason, Message: now.detail, LastTransitionTime: metav1.NewTime(c.now()).Rfc3339Copy(),
	}
	for i := range h.Status.Conditions {
		if old := &h.Status.Conditions[i]; old.Type == t {
			if old.Status == status {
				next.LastTransitionTime = old.LastTransitionTime
			}
			*old = next
			return
		}
	}
	h.Status.Conditions = append(h.Status.Conditions, next)
}

// target returns the scale of an autoscaler's target, of any kind, and how to write it.
func (c *Controller) target(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler) (*autoscalingv1.Scale, func(*autoscalingv1.Scale) error, error) {
	ref := h.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, nil, fmt.Errorf("invalid API version in scale target reference: %w", err)
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: ref.Kind}
	mappings, err := c.mapper.RESTMappings(kind)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mappings, err = c.mapper.RESTMappings(kind)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("unable to determine resource for scale target reference: %w", err)
	}
	scales := c.scales.Scales(h.Namespace)
	var first error
	for _, m := range mappings {
		resource := m.Resource.GroupResource()
		found, err := scales.Get(ctx, resource, ref.Name, metav1.GetOptions{})
		if err == nil {
			was := found.Spec.Replicas
			return found, func(s *autoscalingv1.Scale) error {
				return retry.RetryOnConflict(retry.DefaultRetry, func() error {
					_, err := scales.Update(ctx, resource, s, metav1.UpdateOptions{})
					if apierrors.IsConflict(err) {
						// The target's status may have changed while the metrics were read:
						// that is retried. A change of its replicas is not.
						if now, getErr := scales.Get(ctx, resource, ref.Name, metav1.GetOptions{}); getErr == nil && now.Spec.Replicas == was {
							s.ResourceVersion = now.ResourceVersion
						}
					}
					return err
				})
			}, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("unrecognized resource")
	}
	return nil, nil, first
}
