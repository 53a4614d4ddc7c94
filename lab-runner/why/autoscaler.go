package why

import (
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/near"
)

func hpaCondition(h *autoscalingv2.HorizontalPodAutoscaler, kind autoscalingv2.HorizontalPodAutoscalerConditionType) autoscalingv2.HorizontalPodAutoscalerCondition {
	for _, cond := range h.Status.Conditions {
		if cond.Type == kind {
			return cond
		}
	}
	return autoscalingv2.HorizontalPodAutoscalerCondition{}
}

// targets returns the names of the kind that an autoscaler scales, and the template of the one that it names.
func (c *chain) targets(kind, name string) (have []string, template *corev1.PodTemplateSpec) {
	switch kind {
	case "Deployment":
		if d := find(c.f.Deployments, name); d != nil {
			template = &d.Spec.Template
		}
		return names(c.f.Deployments), template
	case "StatefulSet":
		if s := find(c.f.StatefulSets, name); s != nil {
			template = &s.Spec.Template
		}
		return names(c.f.StatefulSets), template
	case "ReplicaSet":
		if r := find(c.f.ReplicaSets, name); r != nil {
			template = &r.Spec.Template
		}
		return names(c.f.ReplicaSets), template
	case "ReplicationController":
		if r := find(c.f.Controllers, name); r != nil {
			template = r.Spec.Template
		}
		return names(c.f.Controllers), template
	}
	return nil, nil
}

func (c *chain) autoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	c.of("horizontalpodautoscaler/"+h.Name, func() {
		ref := h.Spec.ScaleTargetRef
		edit := c.kubectl("edit hpa %s", h.Name)
		c.fine("object", "HorizontalPodAutoscaler %s scales %s %s between %d and %d", h.Name, ref.Kind, ref.Name, number(h.Spec.MinReplicas, 1), h.Spec.MaxReplicas)
		c.deletion(nil, "HorizontalPodAutoscaler", &h.ObjectMeta)
		have, template := c.targets(ref.Kind, ref.Name)
		able, active := hpaCondition(h, autoscalingv2.AbleToScale), hpaCondition(h, autoscalingv2.ScalingActive)
		switch {
		case c.over():
			return
		case template == nil && (able.Status == corev1.ConditionFalse || slices.Contains([]string{"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"}, ref.Kind)):
			w := cause{hop: "target", reason: "TargetMissing", text: fmt.Sprintf("scaleTargetRef names %s %s, which does not exist", ref.Kind, ref.Name), do: "Correct scaleTargetRef: " + edit, details: []string{short(able.Message, 300)}}
			if other := near.Name(ref.Name, have); other != "" {
				w.text += "; there is a " + ref.Kind + " " + other
			}
			c.broken(w)
			return
		}
		c.fine("target", "%s %s exists", ref.Kind, ref.Name)
		c.metrics(h, template, active)
		switch limited := hpaCondition(h, autoscalingv2.ScalingLimited); {
		case c.over():
		case active.Status == "":
			c.waiting(cause{hop: "metrics", reason: "NotSeenYet", text: "the controller has not yet looked at the autoscaler", do: "Wait 15 seconds and ask again."})
		case limited.Status == corev1.ConditionTrue && limited.Reason == "TooManyReplicas":
			c.broken(cause{hop: "limits", reason: "AtMaximum", text: fmt.Sprintf("the metrics ask for more pods than maxReplicas, %d", h.Spec.MaxReplicas), do: "Raise maxReplicas: " + edit, details: []string{short(limited.Message, 300)}})
		default:
			c.fine("scale", "%d replicas, %d wanted", h.Status.CurrentReplicas, h.Status.DesiredReplicas)
		}
	})
}

// metrics is the hop of what the autoscaler computes with.
func (c *chain) metrics(h *autoscalingv2.HorizontalPodAutoscaler, template *corev1.PodTemplateSpec, active autoscalingv2.HorizontalPodAutoscalerCondition) {
	if c.over() || active.Status != corev1.ConditionFalse {
		return
	}
	if active.Reason == "ScalingDisabled" {
		c.broken(cause{
			hop: "replicas", reason: "ScaledToZero", text: "the target has 0 replicas, which turns the autoscaler off",
			do: "Start a pod: " + c.kubectl("scale %s %s --replicas=1", strings.ToLower(h.Spec.ScaleTargetRef.Kind), h.Spec.ScaleTargetRef.Name),
		})
		return
	}
	w := cause{hop: "metrics", reason: "NoMetrics", text: "the autoscaler gets no metrics", do: "See whether the metrics API answers: " + c.kubectl("top pods"), details: []string{"the controller: " + short(active.Message, 300)}}
	for _, m := range h.Spec.Metrics {
		if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Target.Type != autoscalingv2.UtilizationMetricType || template == nil {
			continue
		}
		for _, ct := range template.Spec.Containers {
			if _, has := ct.Resources.Requests[m.Resource.Name]; !has {
				w.reason = "NoRequest"
				w.text = fmt.Sprintf("utilization is a percentage of the request, and container %s requests no %s", ct.Name, m.Resource.Name)
				w.do = fmt.Sprintf("Set resources.requests.%s: %s", m.Resource.Name, c.kubectl("edit %s %s", strings.ToLower(h.Spec.ScaleTargetRef.Kind), h.Spec.ScaleTargetRef.Name))
				c.broken(w)
				return
			}
		}
	}
	if c.f.age(h.CreationTimestamp).Seconds() < 60 {
		w.reason, w.do = "MetricsNotYet", "Wait: metrics of a new pod come after about a minute."
		c.waiting(w)
		return
	}
	c.broken(w)
}
