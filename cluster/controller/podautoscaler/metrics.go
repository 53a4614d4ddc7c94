package podautoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// measured is the result of one metric.
type measured struct {
	name     string
	replicas int32
	status   autoscaling.MetricStatus
}

// failure is why a metric cannot be read; the reason is that of condition and event.
type failure struct {
	reason string
	error
}

// measure returns the replicas by one metric.
func (c *Controller) measure(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, m *autoscaling.MetricSpec, replicas int32, s labels.Selector) (measured, error) {
	switch {
	case m.Type == autoscaling.ResourceMetricSourceType && m.Resource != nil:
		out, err := c.measureResource(ctx, h, m.Resource.Name, "", m.Resource.Target, replicas, s)
		if err != nil {
			return out, &failure{"FailedGetResourceMetric", err}
		}
		return out, nil
	case m.Type == autoscaling.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		r := m.ContainerResource
		out, err := c.measureResource(ctx, h, r.Name, r.Container, r.Target, replicas, s)
		if err != nil {
			return out, &failure{"FailedGetContainerResourceMetric", err}
		}
		return out, nil
	case m.Type == autoscaling.PodsMetricSourceType:
		return measured{}, &failure{"FailedGetPodsMetric", errNotServed("custom")}
	case m.Type == autoscaling.ObjectMetricSourceType:
		return measured{}, &failure{"FailedGetObjectMetric", errNotServed("custom")}
	case m.Type == autoscaling.ExternalMetricSourceType:
		return measured{}, &failure{"FailedGetExternalMetric", errNotServed("external")}
	}
	return measured{}, &failure{"InvalidMetricSourceType", fmt.Errorf("unknown metric source type %q", m.Type)}
}

func errNotServed(what string) error {
	return fmt.Errorf("unable to fetch metrics from %s metrics API: no %s metrics API registered", what, what)
}

func (c *Controller) measureResource(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, name v1.ResourceName, container string, target autoscaling.MetricTarget, replicas int32, s labels.Selector) (measured, error) {
	used, err := c.used(ctx, h.Namespace, name, container, s)
	if err != nil {
		return measured{}, fmt.Errorf("failed to get %s %s: %w", name, usageName(target), err)
	}
	pods, err := c.pods.Pods(h.Namespace).List(s)
	if err != nil {
		return measured{}, fmt.Errorf("unable to get pods while calculating replica count: %w", err)
	}
	q := &calculation{
		pods: pods, used: used, resource: name, container: container, replicas: replicas,
		tolerance: c.tolerances(h), startup: c.startup, now: c.now(),
	}
	var a result
	var current autoscaling.MetricValueStatus
	kind := "resource"
	if container != "" {
		kind = "container resource"
	}
	out := measured{name: fmt.Sprintf("%s %s", name, kind)}
	switch {
	case target.AverageValue != nil:
		a, err = q.byValue(target.AverageValue.MilliValue())
	case target.AverageUtilization != nil:
		out.name += " utilization (percentage of request)"
		a, err = q.byUtilization(*target.AverageUtilization)
		current.AverageUtilization = &a.utilization
	default:
		err = errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	}
	if err != nil {
		return measured{}, fmt.Errorf("failed to get %s %s: %w", name, usageName(target), err)
	}
	current.AverageValue = quantity(name, a.average)
	out.replicas, out.status = a.replicas, statusOf(name, container, current)
	return out, nil
}

func usageName(t autoscaling.MetricTarget) string {
	if t.AverageValue != nil {
		return "usage"
	}
	return "utilization"
}

// quantity returns a usage for the status: memory in bytes, CPU in thousandths.
func quantity(name v1.ResourceName, thousandths int64) *resource.Quantity {
	if name == v1.ResourceMemory {
		return resource.NewQuantity(thousandths/1000, resource.BinarySI)
	}
	return resource.NewMilliQuantity(thousandths, resource.DecimalSI)
}

func statusOf(name v1.ResourceName, container string, current autoscaling.MetricValueStatus) autoscaling.MetricStatus {
	if container == "" {
		return autoscaling.MetricStatus{Type: autoscaling.ResourceMetricSourceType, Resource: &autoscaling.ResourceMetricStatus{Name: name, Current: current}}
	}
	return autoscaling.MetricStatus{
		Type:              autoscaling.ContainerResourceMetricSourceType,
		ContainerResource: &autoscaling.ContainerResourceMetricStatus{Name: name, Container: container, Current: current},
	}
}

// used reads the usage of the pods from the metrics API.
func (c *Controller) used(ctx context.Context, namespace string, name v1.ResourceName, container string, s labels.Selector) (map[string]usage, error) {
	failed := func(err error) error { return fmt.Errorf("unable to get metrics for resource %s: %w", name, err) }
	body, err := c.Client.Discovery().RESTClient().Get().
		AbsPath("/apis/metrics.k8s.io/v1beta1/namespaces/"+namespace+"/pods").
		Param("labelSelector", s.String()).SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
	if err != nil {
		return nil, failed(fmt.Errorf("unable to fetch metrics from resource metrics API: %w", err))
	}
	list := &metricsv1beta1.PodMetricsList{}
	if err := json.Unmarshal(body, list); err != nil {
		return nil, failed(fmt.Errorf("decode metrics: %w", err))
	}
	if len(list.Items) == 0 {
		return nil, failed(errors.New("no metrics returned from resource metrics API"))
	}
	used := map[string]usage{}
	for i := range list.Items {
		if sum, ok := sumOf(&list.Items[i], name, container); ok {
			used[list.Items[i].Name] = usage{value: sum, at: list.Items[i].Timestamp.Time, window: list.Items[i].Window.Duration}
		}
	}
	return used, nil
}

// sumOf returns the usage of all containers of a pod, or of the one of a name.
func sumOf(m *metricsv1beta1.PodMetrics, name v1.ResourceName, container string) (sum int64, ok bool) {
	for i := range m.Containers {
		c := &m.Containers[i]
		if container != "" && c.Name != container {
			continue
		}
		q, has := c.Usage[name]
		if !has {
			return 0, false
		}
		sum, ok = sum+q.MilliValue(), true
	}
	return sum, ok
}
