package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
)

var began = time.Unix(1_000_000, 0)

// at returns a second after began.
func at(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }

// counters of one that has used so many seconds of processor time.
func counters(start, now int, cpu float64, memory uint64) *Counters {
	return &Counters{Start: at(start), At: at(now), CPU: cpu, Memory: memory, hasCPU: true, hasMemory: true}
}

func pod(containers map[string]*Counters) map[string]*Answer {
	a := &Answer{Containers: map[Container]*Counters{}}
	for name, c := range containers {
		a.Containers[Container{"ns", "a", name}] = c
	}
	return map[string]*Answer{"n": a}
}

type set = map[string]*Counters

// text returns what was found, in one line.
func text(nodes map[string]Node) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		out = append(out, fmt.Sprintf("%s %.3f/%d", name, n.CPU, n.Memory))
		for _, p := range n.Pods {
			for _, c := range slices.Sorted(maps.Keys(p.Containers)) {
				u := p.Containers[c]
				out = append(out, fmt.Sprintf("%s/%s %.3f/%d in %v", p.Name, c, u.CPU, u.Memory, u.Window))
			}
		}
	}
	return strings.Join(out, "; ")
}

func TestRates(t *testing.T) {
	own := pod(set{"c": counters(0, 20, 2, 7)})
	own["n"].Machine = Counters{At: at(20), CPU: 130, Memory: 1 << 30, hasCPU: true, hasMemory: true}
	ownBefore := pod(nil)
	ownBefore["n"].Machine = Counters{At: at(10), CPU: 115, Memory: 1 << 20, hasCPU: true, hasMemory: true}
	noMemory := counters(0, 20, 1, 0)
	noMemory.hasMemory = false
	noStart := counters(0, 20, 1, 5)
	noStart.Start = time.Time{}
	for _, tt := range []struct {
		name        string
		before, now map[string]*Answer
		want        string
	}{
		{"between two answers", pod(set{"c": counters(0, 10, 1, 5)}), pod(set{"c": counters(0, 20, 6, 7)}), "n 0.500/7; a/c 0.500/7 in 10s"},
		{
			"two containers", pod(set{"c": counters(0, 10, 0, 5), "d": counters(0, 10, 0, 5)}),
			pod(set{"c": counters(0, 20, 1, 1), "d": counters(0, 20, 2, 2)}), "n 0.300/3; a/c 0.100/1 in 10s; a/d 0.200/2 in 10s",
		},
		{"began in between", pod(nil), pod(set{"c": counters(16, 20, 1, 7)}), "n 0.250/7; a/c 0.250/7 in 4s"},
		{"began again", pod(set{"c": counters(0, 10, 9, 5)}), pod(set{"c": counters(15, 20, 1, 7)}), "n 0.200/7; a/c 0.200/7 in 5s"},
		{"the counter went back", pod(set{"c": counters(0, 10, 9, 5)}), pod(set{"c": counters(0, 20, 1, 7)}), ""},
		{"half a pod", pod(nil), pod(set{"c": counters(10, 20, 1, 1), "d": counters(20, 20, 0, 1)}), "n 0.100/1"},
		{"without memory", pod(nil), pod(set{"c": noMemory}), ""},
		{"no start time", nil, pod(set{"c": noStart}), ""},
		{"the machine's own", ownBefore, own, "n 1.500/1073741824; a/c 0.100/7 in 20s"},
		{"no pods", pod(nil), pod(nil), "n 0.000/0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := text(rates(tt.before, tt.now)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// The first who asks gets rates; the next one gets the same without a question to the
// kubelets, of which one that is silent hides nobody else.
func TestAsksKubeletsOnlyWhenNeeded(t *testing.T) {
	var asked atomic.Int64
	objects := authztest.New()
	for _, name := range []string{"n", "silent"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		objects.Put("", "nodes", n)
	}
	c := New(Config{
		Objects: objects,
		Kubelet: func(_ context.Context, n *corev1.Node, path string) (*http.Response, error) {
			if n.Name == "silent" || path != "/metrics/resource" {
				return nil, errors.New("no route")
			}
			const labels = `{container="c",namespace="ns",pod="a"}`
			text := fmt.Sprintf("container_cpu_usage_seconds_total%[1]s %[2]d %[3]d\ncontainer_start_time_seconds%[1]s %[4]d\ncontainer_memory_working_set_bytes%[1]s 1 %[3]d\n",
				labels, asked.Add(1), time.Now().UnixMilli(), began.Unix())
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(text))}, nil
		},
		Fresh: time.Hour,
	})
	for range 2 {
		nodes, err := c.Now(t.Context())
		if err != nil || len(nodes) != 1 || len(nodes["n"].Pods) != 1 {
			t.Fatalf("got %+v, %v", nodes, err)
		}
		// A second of processor time in about a second: times are rounded to milliseconds.
		if cpu := nodes["n"].Pods[0].Containers["c"].CPU; cpu > 1.1 || cpu < 0.01 {
			t.Errorf("%f cores", cpu)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("the kubelet was asked %d times, want 2", asked.Load())
	}
}

func TestParse(t *testing.T) {
	a, err := Parse(strings.NewReader(`# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="a"} 12.250000 1700000000123
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="c",namespace="ns",pod="a"} 1699999000.500000
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="c",namespace="ns",pod="a"} 4096 1700000000123
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 5 1700000000001
`))
	if err != nil {
		t.Fatal(err)
	}
	c := a.Containers[Container{"ns", "a", "c"}]
	if c == nil || c.CPU != 12.25 || c.Memory != 4096 || !c.At.Equal(time.UnixMilli(1700000000123)) || !c.Start.Equal(time.UnixMilli(1699999000500)) {
		t.Errorf("container %+v", c)
	}
	if a.Machine.CPU != 5 || !a.Machine.At.Equal(time.UnixMilli(1700000000001)) || a.Machine.hasMemory {
		t.Errorf("machine %+v", a.Machine)
	}
	if _, err := Parse(strings.NewReader("<html>")); err == nil {
		t.Error("a page that is no metrics is taken for some")
	}
}
