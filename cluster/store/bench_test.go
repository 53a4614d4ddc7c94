package store

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

const writers = 16

// each runs f b.N times on 16 goroutines and reports percentiles.
func each(b *testing.B, f func(i int) error) {
	b.Helper()
	took := make([]time.Duration, b.N)
	var n atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			for i := int(n.Add(1)) - 1; i < b.N; i = int(n.Add(1)) - 1 {
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
	b.StopTimer()
	report(b, took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[(len(took)-1)*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkCreate16(b *testing.B) {
	c := newStore(b).Of(pods)
	run := rand.String(5)
	each(b, func(i int) error {
		_, err := c.Create(b.Context(), pod("default", fmt.Sprintf("%s-%d", run, i)))
		return err
	})
}

// BenchmarkLife16 is a pod's way to Running: created, bound, status written.
func BenchmarkLife16(b *testing.B) {
	c := newStore(b).Of(pods)
	run := rand.String(5)
	each(b, func(i int) error {
		name := fmt.Sprintf("%s-%d", run, i)
		if _, err := c.Create(b.Context(), pod("default", name)); err != nil {
			return err
		}
		if _, err := c.Update(b.Context(), "default", name, edit(func(p *corev1.Pod) { p.Spec.NodeName = "n1" })); err != nil {
			return err
		}
		_, err := c.Update(b.Context(), "default", name, edit(func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }))
		return err
	})
}

func BenchmarkGet(b *testing.B) {
	for _, sole := range []bool{true, false} {
		b.Run(fmt.Sprintf("OnlyWriter=%v", sole), func(b *testing.B) {
			s, _ := open(b, embedded(b, b.TempDir()), sole)
			c := s.Of(pods)
			fill(b, c, 1000)
			each(b, func(i int) error {
				_, err := c.Get(b.Context(), "default", fmt.Sprintf("p-%d", i%1000), "")
				return err
			})
		})
	}
}

func fill(b *testing.B, c *Collection, n int) {
	b.Helper()
	for i := range n {
		if _, err := c.Create(b.Context(), pod("default", fmt.Sprintf("p-%d", i))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList1000 reads 1,000 pods in JSON; the first time they are encoded.
func BenchmarkList1000(b *testing.B) {
	c := newStore(b).Of(pods)
	fill(b, c, 1000)
	list := func() (size int) {
		p, err := c.List(b.Context(), "default", ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, i := range p.Items {
			j, err := i.Encoded(JSON)
			if err != nil {
				b.Fatal(err)
			}
			size += len(j)
		}
		return size
	}
	began := time.Now()
	size := list()
	first := time.Since(began)
	for b.Loop() {
		list()
	}
	b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
	b.ReportMetric(float64(size)/1e6, "MB")
}

// BenchmarkFanout100 is the time from the begin of a create until each of 100 watchers
// has its frame.
func BenchmarkFanout100(b *testing.B) {
	c := newStore(b).Of(pods)
	const n = 100
	var mu sync.Mutex
	var took []time.Duration
	var began atomic.Int64
	var all sync.WaitGroup
	for range n {
		w, err := c.Watch(b.Context(), "default", WatchOptions{ResourceVersion: "0"})
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			for e := range w.Events() {
				if _, err := e.Frame(JSON); err != nil {
					b.Error(err)
				}
				d := time.Duration(time.Now().UnixNano() - began.Load())
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(took) }
	b.ResetTimer()
	for i := range b.N {
		began.Store(time.Now().UnixNano())
		if _, err := c.Create(b.Context(), pod("default", fmt.Sprintf("f-%d", i))); err != nil {
			b.Fatal(err)
		}
		for count() < (i+1)*n {
			runtime.Gosched()
		}
	}
	b.StopTimer()
	mu.Lock()
	report(b, slices.Clone(took))
	mu.Unlock()
}

func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		client, stop, err := etcd.StartEmbedded(b.Context(), etcd.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_, err = client.Put(b.Context(), "x", "y")
		stop()
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkEncodeJSON(b *testing.B) {
	p := pod("default", "x")
	p.SetGroupVersionKind(pods.GroupVersionKind)
	p.ManagedFields = []metav1.ManagedFieldsEntry{}
	for b.Loop() {
		if _, err := encodeJSON(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body, err := encodeBody(pods, pod("default", "x"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := decodeBody(pods, body, 5); err != nil {
			b.Fatal(err)
		}
	}
}
