package usage

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"wheelhouse/cluster/api"
)

// NodeMetrics returns the NodeMetrics of all nodes, or of one.
func (c *Collector) NodeMetrics(ctx context.Context, name string) ([]api.Object, error) {
	used, err := c.Now(ctx)
	if err != nil {
		return nil, err
	}
	list, _, err := c.Objects.List(ctx, nodes, "", false)
	if err != nil {
		return nil, err
	}
	var all []api.Object
	for _, n := range list {
		u, ok := used[n.GetName()]
		if !ok || (name != "" && name != n.GetName()) {
			continue
		}
		all = append(all, &metricsv1beta1.NodeMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: n.GetName(), Labels: n.GetLabels(), CreationTimestamp: metav1.Now().Rfc3339Copy()},
			Timestamp:  metav1.NewTime(u.At).Rfc3339Copy(), Window: metav1.Duration{Duration: u.Window.Round(time.Millisecond)}, Usage: usageOf(u.Used),
		})
	}
	return all, nil
}

// PodMetrics returns the PodMetrics of all pods of a namespace or, with namespace "", of the
// cluster; or of one pod.
func (c *Collector) PodMetrics(ctx context.Context, namespace, name string) ([]api.Object, error) {
	nodes, err := c.Now(ctx)
	if err != nil {
		return nil, err
	}
	var all []api.Object
	for _, node := range nodes {
		for i := range node.Pods {
			p := &node.Pods[i]
			if (namespace != "" && p.Namespace != namespace) || (name != "" && p.Name != name) {
				continue
			}
			o, err := c.Objects.Get(ctx, pods, p.Namespace, p.Name, false)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, metricsOf(o.(*corev1.Pod), p))
		}
	}
	slices.SortFunc(all, func(a, b api.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all, nil
}

// metricsOf has the shortest window of the containers for all of them.
func metricsOf(pod *corev1.Pod, p *Pod) *metricsv1beta1.PodMetrics {
	m := &metricsv1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels, CreationTimestamp: metav1.Now().Rfc3339Copy()},
	}
	for _, name := range p.Names() {
		u := p.Containers[name]
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: name, Usage: usageOf(u)})
		if window := u.Window.Round(time.Millisecond); m.Window.Duration == 0 || window < m.Window.Duration {
			m.Window.Duration = window
		}
		if at := metav1.NewTime(u.At).Rfc3339Copy(); m.Timestamp.Before(&at) {
			m.Timestamp = at
		}
	}
	return m
}

func usageOf(u Used) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *apiresource.NewScaledQuantity(int64(u.CPU*1e9), apiresource.Nano),
		corev1.ResourceMemory: *apiresource.NewQuantity(int64(u.Memory>>10<<10), apiresource.BinarySI),
	}
}
