package main_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// A server whose database is full serves reads and deletions, says so where an operator
// looks, and accepts writes when there is room.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir(), "--quota-backend-bytes", fmt.Sprint(32<<20))
	maps := s.CoreV1().ConfigMaps("default")
	create := func(i int) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}, Data: map[string]string{"x": strings.Repeat("x", 256<<10)}}
		_, err := maps.Create(t.Context(), m, metav1.CreateOptions{})
		return err
	}
	made := 0
	for ; made < 108; made++ {
		if err := create(made); err != nil {
			t.Fatal(err)
		}
	}
	wait.Within(t, 10*time.Second, "an Event before the database is full", func() error {
		events, err := s.CoreV1().Events("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=StorageNearlyFull"})
		return wait.Seen(err == nil && len(events.Items) == 1 && events.Items[0].Type == corev1.EventTypeWarning, events, err)
	})
	var err error
	for ; err == nil && made < 1000; made++ {
		err = create(made)
	}
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Code != http.StatusInsufficientStorage || !strings.Contains(err.Error(), "--quota-backend-bytes") {
		t.Fatalf("create %d: %v; want code 507 with the remedy", made, err)
	}
	if text := s.run(t, "etcd", "status"); !strings.Contains(text, "only deletions are accepted") {
		t.Errorf("etcd status: %s", text)
	}
	metrics := string(must[[]byte](t)(s.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())))
	if !strings.Contains(metrics, "wheelhouse_etcd_refuses_writes 1") || !strings.Contains(metrics, `apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}`) {
		t.Error("/metrics does not say that writes are refused")
	}
	if err := maps.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatalf("deleting: %v", err)
	}
	wait.Within(t, 20*time.Second, "writes are accepted", func() error { return create(0) })
	s.run(t, "etcd", "compact")
	before := s.run(t, "etcd", "status", "-o", "json")
	if after := s.run(t, "etcd", "defrag", "-o", "json"); after == before {
		t.Errorf("defrag has changed nothing: %s", after)
	}
}

// run is what a command of the program prints.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	return string(must[[]byte](t)(exec.Command(binary, append(args, "--kubeconfig", s.kubeconfig)...).CombinedOutput()))
}
