//go:build !quick

package main_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/wait"
)

// A server that is killed in the middle of 1,000 creates has them all when it is back,
// and those who watched it go on.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freeURL(t, "https")
	again := []string{"--port", port.Port()}
	s := startServer(t, "server", dir, again...)

	factory := client.Informers(s)
	seen := factory.Core().V1().ConfigMaps()
	seen.Informer()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	acknowledged := createUntilKilled(t, s)
	began := time.Now()
	s = startServer(t, "server", dir, again...)
	t.Logf("killed after %d of 1,000 creates; ready again after %v", len(acknowledged), time.Since(began).Round(time.Millisecond))

	all := must[*corev1.ConfigMapList](t)(s.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}))
	uids := map[string]bool{}
	for i := range all.Items {
		uids[string(all.Items[i].UID)] = true
	}
	for name, uid := range acknowledged {
		if !uids[uid] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	made := must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "after"}}, metav1.CreateOptions{}))
	acknowledged["after"] = string(made.UID)
	wait.Within(t, 15*time.Second, "the informer sees every object", func() error {
		for name, uid := range acknowledged {
			m, err := seen.Lister().ConfigMaps("default").Get(name)
			if err != nil {
				return err
			}
			if string(m.UID) != uid {
				return fmt.Errorf("%s has uid %s, want %s", name, m.UID, uid)
			}
		}
		return nil
	})
}

// createUntilKilled makes 1,000 objects with 16 writers, kills the server when half of
// them are acknowledged, and gives the uid of each that was.
func createUntilKilled(t *testing.T, s *server) map[string]string {
	t.Helper()
	const many, writers = 1000, 16
	names := make(chan string, many)
	for i := range many {
		names <- fmt.Sprint("map-", i)
	}
	close(names)
	var mu sync.Mutex
	acknowledged := map[string]string{}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for name := range names {
				m, err := s.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
				if err != nil {
					return
				}
				mu.Lock()
				acknowledged[name] = string(m.UID)
				if len(acknowledged) == many/2 {
					_ = s.Process.Kill()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	<-s.ended
	if n := len(acknowledged); n < many/2 || n == many {
		t.Fatalf("%d creates were acknowledged: the server was to be killed in their middle", n)
	}
	return acknowledged
}
