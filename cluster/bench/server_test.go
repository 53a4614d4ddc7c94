package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

const (
	pods     = 1000
	nodes    = 20
	writers  = 16
	watchers = 100
	space    = "default"
)

func binary(b *testing.B) string {
	b.Helper()
	path := os.Getenv("WHEELHOUSE_TEST_PROGRAM")
	if path == "" {
		path = "../../bin/wheelhouse"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkServerStart is the time from starting the process until /readyz says ok:
// on an empty directory (it makes its CA, its etcd and the default roles), and again
// on the state the first start left.
func BenchmarkServerStart(b *testing.B) {
	for range b.N {
		dir := b.TempDir()
		for _, state := range []string{"first", "again"} {
			s, err := StartServer(b.Context(), binary(b), dir)
			if err != nil {
				b.Fatal(err)
			}
			s.Stop()
			b.ReportMetric(s.Startup.Seconds()*1000, state+"-ms")
		}
	}
}

// BenchmarkControlPlane runs the measures one after the other on one server with 20
// simulated nodes, as someone would use it; memory is read before and after.
func BenchmarkControlPlane(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	s, err := StartServer(ctx, binary(b), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	if err := SimulateNodes(ctx, s.Client, nodes); err != nil {
		b.Fatal(err)
	}
	memory := func(b *testing.B) {
		b.Helper()
		mb, err := s.ResidentMB()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(mb, "MB-resident")
	}
	b.Run("MemoryIdle", memory)
	b.Run("Create1000", func(b *testing.B) { createAndBind(b, s) })
	b.Run("Get1", func(b *testing.B) { get(b, s, 1) })
	b.Run("Get16", func(b *testing.B) { get(b, s, 16) })
	b.Run("List1000", func(b *testing.B) { list(b, s) })
	b.Run("Delete1000", func(b *testing.B) { deleteAll(b, s, "app=created", pods) })
	b.Run("Fanout100", func(b *testing.B) { fanOut(b, s) })
	b.Run("ReplicationController1000", func(b *testing.B) { replicate(b, s) })
	b.Run("MemoryAfter", memory)
}

func createAndBind(b *testing.B, s *Server) {
	b.Helper()
	seen, err := follow(b.Context(), s.Client, "app=created")
	if err != nil {
		b.Fatal(err)
	}
	defer seen.stop()
	before := s.spent(b)
	began := time.Now()
	each := spread(b, pods, writers, func(i int) error {
		_, err := s.Client.CoreV1().Pods(space).Create(b.Context(), podNamed(fmt.Sprintf("created-%04d", i), "created"), metav1.CreateOptions{})
		return err
	})
	b.ReportMetric(pods/time.Since(began).Seconds(), "creates/s")
	b.ReportMetric(millis(each, 50), "p50-ms")
	b.ReportMetric(millis(each, 99), "p99-ms")
	if err := seen.await(func() bool { return seen.bound == pods }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(pods/seen.lastBound.Sub(began).Seconds(), "bound/s")
	// Beside the time, what it costs: others may use the machine too.
	after := s.spent(b)
	b.ReportMetric((after.cpu-before.cpu).Seconds()*1000/pods, "server-cpu-ms/create")
	b.ReportMetric((after.allocations-before.allocations)/pods, "server-allocs/create")
	b.ReportMetric((after.bytes-before.bytes)/pods, "server-B/create")
}

// spent is what the server has used since its start.
type spent struct {
	cpu                time.Duration
	allocations, bytes float64
}

func (s *Server) spent(b *testing.B) spent {
	b.Helper()
	text, err := s.Client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(b.Context()).Raw()
	if err != nil {
		b.Fatal(err)
	}
	out := spent{cpu: look(b, s.cmd.Process.Pid).cpu}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			out.allocations, err = strconv.ParseFloat(strings.TrimSpace(n), 64)
		} else if n, ok := strings.CutPrefix(line, "go_memstats_alloc_bytes_total "); ok {
			out.bytes, err = strconv.ParseFloat(strings.TrimSpace(n), 64)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return out
}

func get(b *testing.B, s *Server, readers int) {
	b.Helper()
	began := time.Now()
	const gets = 4000
	each := spread(b, gets, readers, func(i int) error {
		_, err := s.Client.CoreV1().Pods(space).Get(b.Context(), fmt.Sprintf("created-%04d", i%pods), metav1.GetOptions{})
		return err
	})
	b.ReportMetric(gets/time.Since(began).Seconds(), "gets/s")
	b.ReportMetric(millis(each, 50), "p50-ms")
}

func list(b *testing.B, s *Server) {
	b.Helper()
	hc, err := rest.HTTPClientFor(s.Config)
	if err != nil {
		b.Fatal(err)
	}
	var size int64
	each := spread(b, 20, 1, func(int) error {
		resp, err := hc.Get(s.Config.Host + "/api/v1/namespaces/" + space + "/pods?labelSelector=app%3Dcreated")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		size, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	b.ReportMetric(millis(each, 50), "p50-ms")
	b.ReportMetric(float64(size)/1e6, "MB")
}

func deleteAll(b *testing.B, s *Server, selector string, n int) {
	b.Helper()
	seen, err := follow(b.Context(), s.Client, selector)
	if err != nil {
		b.Fatal(err)
	}
	defer seen.stop()
	began := time.Now()
	err = s.Client.CoreV1().Pods(space).DeleteCollection(b.Context(), metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		b.Fatal(err)
	}
	if err := seen.await(func() bool { return len(seen.exist) == 0 }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "deletes/s")
}

// fanOut opens 100 watches, each on a connection of its own, and creates 200 pods at
// 20/s; the latency is from the start of the create to the arrival at each watcher.
func fanOut(b *testing.B, s *Server) {
	b.Helper()
	const events = 200
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var began [events]atomic.Int64
	var mu sync.Mutex
	var latencies []time.Duration
	var open, all sync.WaitGroup
	for range watchers {
		open.Add(1)
		all.Go(func() {
			body, err := openWatch(ctx, s.Config)
			open.Done()
			if err != nil {
				b.Error(err)
				return
			}
			defer body.Close()
			mine := make([]time.Duration, 0, events)
			for lines := bufio.NewReaderSize(body, 64<<10); len(mine) < events; {
				line, err := lines.ReadBytes('\n')
				if err != nil {
					b.Errorf("a watch ended after %d of %d events: %v", len(mine), events, err)
					return
				}
				if i, ok := bytesBetween(line, `"name":"fan-`, `"`); ok && bytes.Contains(line[:20], []byte("ADDED")) {
					mine = append(mine, time.Duration(time.Now().UnixNano()-began[i].Load()))
				}
			}
			mu.Lock()
			latencies = append(latencies, mine...)
			mu.Unlock()
		})
	}
	open.Wait()
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	for i := range events {
		<-tick.C
		began[i].Store(time.Now().UnixNano())
		if _, err := s.Client.CoreV1().Pods(space).Create(ctx, podNamed(fmt.Sprintf("fan-%d", i), "fan"), metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		b.Fatalf("not every watcher saw every event within 30 s")
	}
	b.ReportMetric(millis(latencies, 50), "p50-ms")
	b.ReportMetric(millis(latencies, 99), "p99-ms")
	deleteAll(b, s, "app=fan", events)
}

func openWatch(ctx context.Context, cfg *rest.Config) (io.ReadCloser, error) {
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Host+"/api/v1/namespaces/"+space+"/pods?watch=true&labelSelector=app%3Dfan", nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("watch: %s", resp.Status)
	}
	return resp.Body, nil
}

func bytesBetween(line []byte, before, after string) (int, bool) {
	_, rest, ok := bytes.Cut(line, []byte(before))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(after))
	var n int
	_, err := fmt.Sscan(string(digits), &n)
	return n, ok && err == nil
}

func replicate(b *testing.B, s *Server) {
	b.Helper()
	seen, err := follow(b.Context(), s.Client, "app=replicated")
	if err != nil {
		b.Fatal(err)
	}
	defer seen.stop()
	rc := &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "replicated"},
		Spec: corev1.ReplicationControllerSpec{
			Replicas: ptr.To[int32](pods), Selector: map[string]string{"app": "replicated"},
			Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "replicated"}}, Spec: podNamed("", "").Spec},
		},
	}
	began := time.Now()
	if _, err := s.Client.CoreV1().ReplicationControllers(space).Create(b.Context(), rc, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	if err := seen.await(func() bool { return seen.bound == pods }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(seen.lastNew.Sub(began).Seconds(), "exist-s")
	b.ReportMetric(seen.lastBound.Sub(began).Seconds(), "bound-s")
}

// tally is what one watch on the pods of a label has seen so far.
type tally struct {
	mu                 sync.Mutex
	changed            chan struct{}
	exist              map[string]bool // name -> is bound
	bound              int
	lastNew, lastBound time.Time
	stop               func()
}

func follow(ctx context.Context, client kubernetes.Interface, selector string) (*tally, error) {
	l, err := client.CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	w, err := client.CoreV1().Pods(space).Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: l.ResourceVersion})
	if err != nil {
		return nil, err
	}
	t := &tally{changed: make(chan struct{}, 1), exist: map[string]bool{}, stop: w.Stop}
	for i := range l.Items {
		t.see(&l.Items[i], false)
	}
	go func() {
		for ev := range w.ResultChan() {
			if p, ok := ev.Object.(*corev1.Pod); ok {
				t.see(p, ev.Type == "DELETED")
			}
		}
	}()
	return t, nil
}

func (t *tally) see(p *corev1.Pod, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wasBound, known := t.exist[p.Name]
	switch {
	case gone:
		delete(t.exist, p.Name)
	default:
		if !known {
			t.lastNew = time.Now()
		}
		t.exist[p.Name] = p.Spec.NodeName != ""
		if !wasBound && p.Spec.NodeName != "" {
			t.bound++
			t.lastBound = time.Now()
		}
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// await waits, at most two minutes, until done says so (called with the lock held).
func (t *tally) await(done func() bool) error {
	limit := time.After(2 * time.Minute)
	for {
		t.mu.Lock()
		ok, have, bound := done(), len(t.exist), t.bound
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-t.changed:
		case <-limit:
			return fmt.Errorf("two minutes on, %d pods exist and %d are bound", have, bound)
		}
	}
}

// spread runs f for 0..n-1 on so many goroutines and returns how long each call took.
func spread(b *testing.B, n, parallel int, f func(i int) error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				began := time.Now()
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	return took
}

func millis(d []time.Duration, percentile int) float64 {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return float64(sorted[(len(sorted)-1)*percentile/100].Microseconds()) / 1000
}

func podNamed(name, app string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "wheelhouse/pause:1",
			Ports: []corev1.ContainerPort{{ContainerPort: 80}}, Env: []corev1.EnvVar{{Name: "ROLE", Value: "bench"}},
		}}},
	}
}
