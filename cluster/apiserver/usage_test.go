package apiserver_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
)

// busyKubelet has pods with one container each, which use a quarter of a core.
type busyKubelet struct {
	began time.Time
	pods  []string
}

func (k *busyKubelet) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/metrics/resource" {
		http.NotFound(w, req)
		return
	}
	now := time.Now().Truncate(time.Millisecond)
	for _, name := range k.pods {
		labels := fmt.Sprintf(`{container="c",namespace="default",pod=%q}`, name)
		fmt.Fprintf(w, "container_cpu_usage_seconds_total%s %f %d\n", labels, now.Sub(k.began).Seconds()/4, now.UnixMilli())
		fmt.Fprintf(w, "container_start_time_seconds%s %f\n", labels, float64(k.began.UnixMilli())/1000)
		fmt.Fprintf(w, "container_memory_working_set_bytes%s %d %d\n", labels, 12<<20, now.UnixMilli())
	}
}

func TestMetricsOfPodsAndNodes(t *testing.T) {
	k := &busyKubelet{began: time.Now().Add(-time.Hour).Truncate(time.Millisecond), pods: []string{"a", "b", "gone"}}
	kubelet := httptest.NewTLSServer(k)
	defer kubelet.Close()
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
	})
	ctx, cs := within(t), clientset(t, cfg)
	nodeAt(ctx, t, cs, "up", kubelet.Listener.Addr().String())
	nodeAt(ctx, t, cs, "down", "127.0.0.1:1")
	for _, name := range []string{"up", "down"} {
		n, err := cs.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if _, err := cs.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		p := testPod(name)
		p.Labels = map[string]string{"app": name}
		if _, err := cs.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	m := metrics.NewForConfigOrDie(cfg).MetricsV1beta1()

	pods, err := m.PodMetricses("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(pods.Items); got != "a c 250m 12Mi; b c 250m 12Mi" {
		t.Errorf("pods: %s", got)
	}
	for what, o := range map[string]metav1.ListOptions{"label": {LabelSelector: "app=b"}, "field": {FieldSelector: "metadata.name=b"}} {
		pods, err := m.PodMetricses("").List(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(pods.Items); got != "b c 250m 12Mi" {
			t.Errorf("by %s: %s", what, got)
		}
	}
	one, err := m.PodMetricses("default").Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := describe([]metricsv1beta1.PodMetrics{*one}); got != "a c 250m 12Mi" || one.Labels["app"] != "a" || one.Window.Duration < time.Second/2 {
		t.Errorf("one pod: %s, %v, %v", got, one.Labels, one.Window)
	}
	if _, err := m.PodMetricses("default").Get(ctx, "gone", metav1.GetOptions{}); err == nil || err.Error() != `pods.metrics.k8s.io "gone" not found` {
		t.Errorf("a pod that is gone: %v", err)
	}
	nodes, err := m.NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 1 || nodes.Items[0].Name != "up" || text(&nodes.Items[0].Usage) != "750m 36Mi" {
		t.Errorf("nodes: %+v", nodes.Items)
	}
	_, body := newRaw(t, cfg).do("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", "", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	if !strings.Contains(body, `"cells":["a","250m","12Mi"`) {
		t.Errorf("table: %s", body)
	}
}

func text(l *corev1.ResourceList) string {
	return fmt.Sprintf("%dm %s", l.Cpu().MilliValue(), l.Memory())
}

func describe(pods []metricsv1beta1.PodMetrics) string {
	var out []string
	for _, p := range pods {
		for _, c := range p.Containers {
			out = append(out, p.Name+" "+c.Name+" "+text(&c.Usage))
		}
	}
	return strings.Join(out, "; ")
}
