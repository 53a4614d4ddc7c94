package podautoscaler_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podautoscaler"
	"wheelhouse/cluster/wait"
)

// world is an API server whose one kubelet says that every pod uses so many
// thousandths of a core, and a controller of pods that is the test.
type world struct {
	kubernetes.Interface
	t     *testing.T
	load  atomic.Int64
	busy  atomic.Bool // the target changes whenever its pods are measured
	began time.Time
}

func (w *world) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	pods, err := w.CoreV1().Pods("default").List(req.Context(), metav1.ListOptions{})
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	now := time.Now()
	if w.busy.Load() {
		note := fmt.Sprintf(`{"metadata":{"annotations":{"at":"%d"}}}`, now.UnixNano())
		if _, err := w.CoreV1().ReplicationControllers("default").Patch(req.Context(), "web", types.MergePatchType, []byte(note), metav1.PatchOptions{}); err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	for _, p := range pods.Items {
		labels := fmt.Sprintf(`{container="c",namespace="default",pod=%q}`, p.Name)
		// Counters since a start that the answer moves along: the rate is the load at any time.
		fmt.Fprintf(out, "container_cpu_usage_seconds_total%s %f %d\n", labels, 10*float64(w.load.Load())/1000, now.UnixMilli())
		fmt.Fprintf(out, "container_start_time_seconds%s %f\n", labels, float64(now.Add(-10*time.Second).UnixMilli())/1000)
		fmt.Fprintf(out, "container_memory_working_set_bytes%s %d %d\n", labels, 1<<20, now.UnixMilli())
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, began: time.Now()}
	server, _ := apitest.StartServer(t, func(c *apiserver.Config) {
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
		c.MetricsFresh = 10 * time.Millisecond
	})
	w.Interface = kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}}))
	kubelet := httptest.NewTLSServer(w)
	t.Cleanup(kubelet.Close)
	w.node(kubelet.Listener.Addr().String())
	shared := client.Informers(w)
	recorder := client.Recorder(w, "horizontal-pod-autoscaler")
	c, err := podautoscaler.New(podautoscaler.Config{
		Sync: 50 * time.Millisecond, Shared: loop.Shared{
			Controller: "horizontalpodautoscaler", Client: w, Informers: shared, Recorder: recorder,
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	shared.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		shared.Shutdown()
		flush, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		_ = recorder.Flush(flush) // what is under way would speak to a server that is gone
	})
	return w
}

func (w *world) node(addr string) {
	w.t.Helper()
	host, port, err := net.SplitHostPort(addr)
	w.must(err)
	number, err := strconv.Atoi(port)
	w.must(err)
	n, err := w.CoreV1().Nodes().Create(w.t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
	w.must(err)
	n.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: host}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}}
	_, err = w.CoreV1().Nodes().UpdateStatus(w.t.Context(), n, metav1.UpdateOptions{})
	w.must(err)
}

// web makes a ReplicationController of some replicas.
func (w *world) web(replicas int32) {
	w.t.Helper()
	set := map[string]string{"app": "web"}
	_, err := w.CoreV1().ReplicationControllers("default").Create(w.t.Context(), &v1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: v1.ReplicationControllerSpec{Replicas: &replicas, Selector: set, Template: &v1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: podSpec(),
		}},
	}, metav1.CreateOptions{})
	w.must(err)
}

func podSpec() v1.PodSpec {
	return v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "nginx", Resources: v1.ResourceRequirements{
		Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("100m")},
	}}}}
}

// follow makes the pods that the controller wants, ready for long, and says how many.
func (w *world) follow() int32 {
	w.t.Helper()
	ctx := w.t.Context()
	rc, err := w.CoreV1().ReplicationControllers("default").Get(ctx, "web", metav1.GetOptions{})
	w.must(err)
	pods, err := w.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	w.must(err)
	for i := len(pods.Items); i < int(*rc.Spec.Replicas); i++ {
		p, err := w.CoreV1().Pods("default").Create(ctx, &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("web-", i), Labels: map[string]string{"app": "web"}}, Spec: podSpec(),
		}, metav1.CreateOptions{})
		w.must(err)
		old := metav1.NewTime(time.Now().Add(-time.Hour))
		p.Status = v1.PodStatus{Phase: v1.PodRunning, StartTime: &old, QOSClass: p.Status.QOSClass, Conditions: []v1.PodCondition{
			{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: old},
		}}
		_, err = w.CoreV1().Pods("default").UpdateStatus(ctx, p, metav1.UpdateOptions{})
		w.must(err)
	}
	for i := int(*rc.Spec.Replicas); i < len(pods.Items); i++ {
		zero := int64(0)
		w.must(w.CoreV1().Pods("default").Delete(ctx, fmt.Sprint("web-", i), metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	}
	if rc.Status.Replicas != *rc.Spec.Replicas {
		rc.Status.Replicas = *rc.Spec.Replicas
		_, err = w.CoreV1().ReplicationControllers("default").UpdateStatus(ctx, rc, metav1.UpdateOptions{})
		w.must(err)
	}
	return *rc.Spec.Replicas
}

func (w *world) autoscaler(target string, most int32) {
	w.t.Helper()
	w.autoscalerNamed("web", target, most)
}

func (w *world) autoscalerNamed(name, target string, most int32) {
	w.t.Helper()
	now, use := int32(0), int32(50)
	_, err := w.AutoscalingV2().HorizontalPodAutoscalers("default").Create(w.t.Context(), &autoscaling.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscaling.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscaling.CrossVersionObjectReference{APIVersion: "v1", Kind: "ReplicationController", Name: target},
			MaxReplicas:    most,
			Metrics: []autoscaling.MetricSpec{{Type: autoscaling.ResourceMetricSourceType, Resource: &autoscaling.ResourceMetricSource{
				Name: v1.ResourceCPU, Target: autoscaling.MetricTarget{Type: autoscaling.UtilizationMetricType, AverageUtilization: &use},
			}}},
			Behavior: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{StabilizationWindowSeconds: &now}},
		},
	}, metav1.CreateOptions{})
	w.must(err)
}

func (w *world) get() *autoscaling.HorizontalPodAutoscaler {
	w.t.Helper()
	h, err := w.AutoscalingV2().HorizontalPodAutoscalers("default").Get(w.t.Context(), "web", metav1.GetOptions{})
	w.must(err)
	return h
}

func (w *world) says(kind autoscaling.HorizontalPodAutoscalerConditionType, status v1.ConditionStatus, reason string) error {
	for _, c := range w.get().Status.Conditions {
		if c.Type == kind && c.Status == status && c.Reason == reason {
			return nil
		}
	}
	return fmt.Errorf("%+v", w.get().Status.Conditions)
}

func (w *world) event(reason, message string) error {
	w.t.Helper()
	list, err := w.CoreV1().Events("default").List(w.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=web,reason=" + reason})
	w.must(err)
	var seen []string
	for _, e := range list.Items {
		if strings.Contains(e.Message, message) {
			return nil
		}
		seen = append(seen, e.Message)
	}
	return fmt.Errorf("%s: %q", reason, seen)
}

func TestScalesUpAndDown(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.web(1)
	w.load.Store(190) // of 100m requested and 50m wanted: nearly four times too much
	w.follow()
	w.autoscaler("web", 5)
	replicas := func(n int32) func() error {
		return func() error {
			if got := w.follow(); got != n {
				return fmt.Errorf("%d replicas, conditions %+v", got, w.get().Status.Conditions)
			}
			return nil
		}
	}
	// Each pod has the same load however many there are, so that it goes to the limit.
	wait.For(w.t, "up", replicas(5))
	wait.For(w.t, "told", func() error {
		return w.event("SuccessfulRescale", "New size: 4; reason: cpu resource utilization (percentage of request) above target")
	})
	wait.For(w.t, "measured", func() error {
		h := w.get()
		if m := h.Status.CurrentMetrics; len(m) == 1 && *m[0].Resource.Current.AverageUtilization == 190 && m[0].Resource.Current.AverageValue.String() == "190m" &&
			h.Status.CurrentReplicas == 5 && h.Status.LastScaleTime != nil {
			return nil
		}
		return fmt.Errorf("%+v", h.Status)
	})
	wait.For(w.t, "limited", func() error {
		return w.says(autoscaling.ScalingLimited, v1.ConditionTrue, "TooManyReplicas")
	})
	w.load.Store(10)
	wait.For(w.t, "down", replicas(1))
	wait.For(w.t, "told", func() error {
		return w.event("SuccessfulRescale", "New size: 1; reason: All metrics below target")
	})
	wait.For(w.t, "active", func() error {
		return w.says(autoscaling.ScalingActive, v1.ConditionTrue, "ValidMetricFound")
	})
}

func TestScalesWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.web(1)
	w.load.Store(190)
	w.busy.Store(true)
	w.follow()
	w.autoscaler("web", 5)
	wait.For(w.t, "up", func() error {
		if got := w.follow(); got != 5 {
			return fmt.Errorf("%d replicas, conditions %+v", got, w.get().Status.Conditions)
		}
		return nil
	})
	if missing := w.event("FailedRescale", "New size"); missing == nil {
		t.Error("a change of the target's annotations was reported as a failure")
	}
}

// Two autoscalers of the same pods do not scale against each other.
func TestTwoAutoscalersOfOnePod(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.web(1)
	w.load.Store(50)
	w.follow()
	w.autoscaler("web", 5)
	wait.For(w.t, "active", func() error { return w.says(autoscaling.ScalingActive, v1.ConditionTrue, "ValidMetricFound") })
	w.autoscalerNamed("other", "web", 5)
	wait.For(w.t, "ambiguous", func() error { return w.says(autoscaling.ScalingActive, v1.ConditionFalse, "AmbiguousSelector") })
	wait.For(w.t, "told", func() error {
		return w.event("AmbiguousSelector", "pods by selector app=web are controlled by multiple HPAs: [default/other default/web]")
	})
	w.must(w.AutoscalingV2().HorizontalPodAutoscalers("default").Delete(t.Context(), "other", metav1.DeleteOptions{}))
	wait.For(w.t, "alone again", func() error { return w.says(autoscaling.ScalingActive, v1.ConditionTrue, "ValidMetricFound") })
}

func TestSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.autoscaler("web", 5)
	wait.For(w.t, "no target", func() error {
		return w.says(autoscaling.AbleToScale, v1.ConditionFalse, "FailedGetScale")
	})
	wait.For(w.t, "told", func() error {
		return w.event("FailedGetScale", `replicationcontrollers "web" not found`)
	})
	w.web(7)
	wait.For(w.t, "above the most", func() error {
		return w.event("SuccessfulRescale", "New size: 5; reason: Current number of replicas above Spec.MaxReplicas")
	})
	wait.For(w.t, "no pods", func() error {
		return w.says(autoscaling.ScalingActive, v1.ConditionFalse, "FailedGetResourceMetric")
	})
	wait.For(w.t, "told", func() error {
		return w.event("FailedGetResourceMetric", "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API")
	})
	rc, err := w.CoreV1().ReplicationControllers("default").Get(t.Context(), "web", metav1.GetOptions{})
	w.must(err)
	none := int32(0)
	rc.Spec.Replicas = &none
	_, err = w.CoreV1().ReplicationControllers("default").Update(t.Context(), rc, metav1.UpdateOptions{})
	w.must(err)
	wait.For(w.t, "switched off", func() error {
		return w.says(autoscaling.ScalingActive, v1.ConditionFalse, "ScalingDisabled")
	})
}
