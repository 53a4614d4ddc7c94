package apiserver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/usage"
	"wheelhouse/cluster/store"
)

// newUsage is what answers metrics.k8s.io.
func (s *Server) newUsage() *usage.Collector {
	return usage.New(usage.Config{Nodes: s.readyNodes, Ask: s.askKubelet, Fresh: s.MetricsFresh, Log: s.Log})
}

// readyNodes are the nodes whose kubelets can be expected to answer.
func (s *Server) readyNodes(ctx context.Context) ([]*corev1.Node, error) {
	page, err := s.core("nodes").collection.List(ctx, "", store.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	var nodes []*corev1.Node
	for _, item := range page.Items {
		n := item.Object().(*corev1.Node)
		if slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// askKubelet gets what a kubelet says that its pods use.
func (s *Server) askKubelet(ctx context.Context, n *corev1.Node) (*usage.Answer, error) {
	to, err := s.kubeletURL(ctx, n)
	if err != nil {
		return nil, err
	}
	to.Path = "/metrics/resource"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.kubelets.of(n.Name).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("the kubelet answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return usage.Parse(resp.Body)
}

// used asks what is used now.
func (r *request) used() (map[string]usage.Node, error) {
	if r.s.KubeletTLS == nil {
		return nil, apierrors.NewServiceUnavailable("this server has no certificate for kubelets; it cannot ask them what is used")
	}
	return r.s.usage.Now(r.Context())
}

// nodeMetrics answers metrics.k8s.io nodes.
func (r *request) nodeMetrics(name string) ([]api.Object, error) {
	used, err := r.used()
	if err != nil {
		return nil, err
	}
	page, err := r.s.core("nodes").collection.List(r.Context(), "", store.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	var all []api.Object
	for _, item := range page.Items {
		n := item.Object()
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

// podMetrics answers metrics.k8s.io pods.
func (r *request) podMetrics(name string) ([]api.Object, error) {
	nodes, err := r.used()
	if err != nil {
		return nil, err
	}
	pods := r.s.core("pods").collection
	var all []api.Object
	for _, node := range nodes {
		for i := range node.Pods {
			p := &node.Pods[i]
			if (r.Namespace != "" && p.Namespace != r.Namespace) || (name != "" && p.Name != name) {
				continue
			}
			item, err := pods.Get(r.Context(), p.Namespace, p.Name, "0")
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, metricsOf(item.Object().(*corev1.Pod), p))
		}
	}
	slices.SortFunc(all, func(a, b api.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all, nil
}

// metricsOf tells of all containers that they were measured over the shortest window.
func metricsOf(pod *corev1.Pod, p *usage.Pod) *metricsv1beta1.PodMetrics {
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

func usageOf(u usage.Used) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *apiresource.NewScaledQuantity(int64(u.CPU*1e9), apiresource.Nano),
		corev1.ResourceMemory: *apiresource.NewQuantity(int64(u.Memory>>10<<10), apiresource.BinarySI),
	}
}
