//go:build !quick

package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

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
		if apierrors.IsTimeout(err) { // etcd on a slow disk: the write may have been done, as the error says
			if _, err = maps.Create(t.Context(), m, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
				err = nil
			}
		}
		return err
	}
	made := 0
	for ; made < 108; made++ {
		if err := create(made); err != nil {
			t.Fatal(err)
		}
	}
	wait.Within(t, time.Minute, "an Event before the database is full", func() error {
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
	s.recorded(t, "StorageFull", corev1.EventTypeWarning)
	if text := s.run(t, "etcd", "status"); !strings.Contains(text, "only deletions are accepted") {
		t.Errorf("etcd status: %s", text)
	}
	metrics := string(must[[]byte](t)(s.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())))
	if !strings.Contains(metrics, "wheelhouse_etcd_refuses_writes 1") || !strings.Contains(metrics, `apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}`) {
		t.Error("/metrics does not say that writes are refused")
	}
	err = maps.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	for apierrors.IsTimeout(err) { // as of create: what is left is deleted by the next one
		err = maps.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	}
	if err != nil {
		t.Fatalf("deleting: %v", err)
	}
	wait.Within(t, time.Minute, "writes are accepted", func() error { return create(0) })
	s.recorded(t, "StorageHasRoom", corev1.EventTypeNormal)
	s.run(t, "etcd", "compact")
	before := s.run(t, "etcd", "status", "-o", "json")
	if after := s.run(t, "etcd", "defrag", "-o", "json"); after == before {
		t.Errorf("defrag has changed nothing: %s", after)
	}
}

// recorded waits for an Event of the server about its database.
func (s *server) recorded(t *testing.T, reason, kind string) {
	t.Helper()
	wait.Within(t, time.Minute, "an Event "+reason, func() error {
		events, err := s.CoreV1().Events("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason})
		return wait.Seen(err == nil && len(events.Items) == 1 && events.Items[0].Type == kind, events, err)
	})
}

// The controllers of a server whose database is full keep their Lease, and delete a namespace with all that is in it:
// objects with finalizers, dependents of owners. Then writes are accepted again.
func TestControllersOfAFullDatabase(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir(), "--quota-backend-bytes", fmt.Sprint(32<<20))
	namespace := func(name string) error {
		_, err := s.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	}
	if err := namespace("full"); err != nil {
		t.Fatal(err)
	}
	one := int32(1)
	labels := map[string]string{"app": "x"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}}}
	deployments := s.AppsV1().Deployments("full")
	must[*appsv1.Deployment](t)(deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{}))
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
	}}
	must[*corev1.PersistentVolumeClaim](t)(s.CoreV1().PersistentVolumeClaims("full").Create(t.Context(), claim, metav1.CreateOptions{}))
	pods := func(want int) func() error {
		return func() error {
			list, err := s.CoreV1().Pods("full").List(t.Context(), metav1.ListOptions{})
			return wait.Seen(err == nil && len(list.Items) == want, list, err)
		}
	}
	wait.Within(t, time.Minute, "the Deployment's pod", pods(1))
	exhausted := func(err error) bool {
		status, ok := err.(apierrors.APIStatus)
		return ok && status.Status().Code == http.StatusInsufficientStorage
	}
	var err error
	for i := 0; !exhausted(err) && i < 1000; i++ { // on a slow disk some time out
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}, Data: map[string]string{"x": strings.Repeat("x", 256<<10)}}
		_, err = s.CoreV1().ConfigMaps("full").Create(t.Context(), m, metav1.CreateOptions{})
	}
	if !exhausted(err) {
		t.Fatalf("the database is filled: %v", err)
	}
	renewed := func() time.Time {
		l := must[*coordinationv1.Lease](t)(s.CoordinationV1().Leases("kube-system").Get(t.Context(), "kube-controller-manager", metav1.GetOptions{}))
		if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
			t.Error("nobody holds the Lease")
		}
		return l.Spec.RenewTime.Time
	}
	full := time.Now()
	wait.Within(t, time.Minute, "the Lease is renewed for longer than it lasts", func() error {
		at := renewed()
		return wait.Seen(at.Sub(full) > 20*time.Second, at)
	})
	if strings.Contains(s.log.String(), "the components restart") {
		t.Error("the components have lost their Lease")
	}
	if err := namespace("another"); err == nil {
		t.Error("a namespace was created in a full database")
	}
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "its pod is deleted", pods(0))
	if err := s.CoreV1().Namespaces().Delete(t.Context(), "full", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, 2*time.Minute, "the namespace is gone", func() error {
		ns, err := s.CoreV1().Namespaces().Get(t.Context(), "full", metav1.GetOptions{})
		return wait.Seen(apierrors.IsNotFound(err), ns, err)
	})
	wait.Within(t, time.Minute, "writes are accepted", func() error { return namespace("another") })
}

// run is what a command of the program prints.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	return string(must[[]byte](t)(exec.Command(binary, append(args, "--kubeconfig", s.kubeconfig)...).CombinedOutput()))
}

// smallDisk is a directory on a disk of its own, and the rest of that disk in one file.
func smallDisk(t *testing.T, bytes int64) (dir string, fill func(leave int64), empty func()) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Fatalf("a disk for the test (it needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	fill = func(leave int64) {
		t.Helper()
		f := must[*os.File](t)(os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600))
		defer f.Close()
		piece := make([]byte, 1<<20)
		for {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if int64(st.Bavail)*st.Bsize <= leave {
				return
			}
			if _, err := f.Write(piece); err != nil {
				return
			}
		}
	}
	return dir, fill, func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// A server whose disk is filled by others serves reads, watches and deletions, and accepts
// writes again when there is room, in the same process.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, fill, empty := smallDisk(t, 700<<20)
	s := startServer(t, "server", dir)
	maps := s.CoreV1().ConfigMaps("default")
	write := func(name string) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"x": strings.Repeat("x", 64<<10)}}
		_, err := maps.Create(t.Context(), m, metav1.CreateOptions{})
		return err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := write(name); err != nil {
			t.Fatal(err)
		}
	}
	w := must[watch.Interface](t)(maps.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=a"}))
	defer w.Stop()
	if e := <-w.ResultChan(); e.Type != watch.Added {
		t.Fatalf("the watch begins with %v", e.Type)
	}

	fill(100 << 20)
	refused := func() error {
		err := write("refused")
		status, ok := err.(apierrors.APIStatus)
		return wait.Seen(ok && status.Status().Code == http.StatusInsufficientStorage && strings.Contains(err.Error(), "--state-dir"), err)
	}
	wait.Within(t, time.Minute, "writes are refused with the remedy", refused)
	s.recorded(t, "StorageDiskFull", corev1.EventTypeWarning)
	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if e := <-w.ResultChan(); e.Type != watch.Deleted {
		t.Errorf("the watch brings %v", e.Type)
	}

	fill(0)
	for range 20 { // the file of the reserve is given up and filled too
		_ = write("refused") // whatever it answers, the server must survive it
		fill(0)
	}
	if _, err := maps.Get(t.Context(), "b", metav1.GetOptions{}); err != nil {
		t.Errorf("reading: %v", err)
	}
	empty()
	wait.Within(t, time.Minute, "writes are accepted", func() error {
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.log.String())
		default:
		}
		if err := s.connect(); err != nil {
			return err
		}
		maps = s.CoreV1().ConfigMaps("default")
		return write("later")
	})
	if _, err := maps.Get(t.Context(), "c", metav1.GetOptions{}); err != nil {
		t.Errorf("reading: %v", err)
	}
}

// A server whose disk has no inodes serves on like one whose disk is full, and accepts writes again in the same
// process.
func TestFullDiskOfInodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1500m,nr_inodes=400"); err != nil {
		t.Fatalf("a disk for the test (it needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s := startServer(t, "server", dir)
	write := func(name string) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := s.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{})
		return err
	}
	for _, name := range []string{"a", "b"} {
		if err := write(name); err != nil {
			t.Fatal(err)
		}
	}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, err := 0, error(nil); err == nil; i++ {
		err = os.WriteFile(filepath.Join(files, fmt.Sprint(i)), nil, 0o600)
	}
	wait.Within(t, time.Minute, "writes are refused with the remedy", func() error {
		err := write("refused")
		status, ok := err.(apierrors.APIStatus)
		return wait.Seen(ok && status.Status().Code == http.StatusInsufficientStorage && strings.Contains(err.Error(), "inodes"), err)
	})
	s.recorded(t, "StorageDiskFull", corev1.EventTypeWarning)
	maps := s.CoreV1().ConfigMaps("default")
	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if _, err := maps.Get(t.Context(), "b", metav1.GetOptions{}); err != nil {
		t.Errorf("reading: %v", err)
	}
	if err := os.RemoveAll(files); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "writes are accepted", func() error {
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.log.String())
		default:
		}
		return write("later")
	})
}

// A server whose keys are gone names the file and what can be done, and goes on with the copy. It makes no new ones, and
// no empty cluster beside old keys.
func TestKeysThatAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"x": "y"}}
	must[*corev1.Secret](t)(s.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}))
	s.kill()
	kept := t.TempDir()
	for _, c := range []struct{ gone, names, remedy string }{
		{"pki/encryption.yaml", "pki/encryption.yaml", "Put back a copy"},
		{"pki/ca.key", "pki/ca.key", "Put back a copy"},
		{"pki/sa.key", "pki/sa.key", "Put back a copy"},
		{"pki", "pki/ca.key", "Put back a copy"},
		{"etcd", "etcd/member", "wheelhouse snapshot restore"},
	} {
		at, to := filepath.Join(dir, c.gone), filepath.Join(kept, filepath.Base(c.gone))
		if err := os.Rename(at, to); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			out, err := exec.Command(binary, "apiserver", "--state-dir", dir, "--port", "0").CombinedOutput()
			if err == nil || !strings.Contains(string(out), filepath.Join(dir, c.names)) || !strings.Contains(string(out), c.remedy) {
				t.Fatalf("without %s it ended with %v: %s", c.gone, err, out)
			}
		}
		if err := errors.Join(os.RemoveAll(at), os.Rename(to, at)); err != nil {
			t.Fatal(err)
		}
	}
	s = startServer(t, "apiserver", dir)
	if got := must[*corev1.Secret](t)(s.CoreV1().Secrets("default").Get(t.Context(), "s", metav1.GetOptions{})); string(got.Data["x"]) != "y" {
		t.Errorf("the Secret is %v", got.Data)
	}
}

// A server with damaged files says which, and what can be done, and does it.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "server", dir)
	create := func(name string) {
		t.Helper()
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{}))
	}
	create("before")
	saved := filepath.Join(t.TempDir(), "saved.db")
	s.run(t, "snapshot", "save", saved)
	create("after")
	seen := must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("default").Get(t.Context(), "after", metav1.GetOptions{}))
	wait.Within(t, time.Minute, "a snapshot that the server keeps", func() error {
		out, err := exec.Command(binary, "snapshot", "list", "--state-dir", dir).CombinedOutput()
		return wait.Seen(err == nil && strings.Contains(string(out), filepath.Join(dir, "snapshots", "etcd-")), string(out), err)
	})
	if out, err := exec.Command(binary, "snapshot", "restore", saved, "--state-dir", dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") {
		t.Errorf("restoring beneath a server: %v: %s", err, out)
	}
	s.kill()
	database := filepath.Join(dir, "etcd/member/snap/db")
	if err := os.Truncate(database, 64<<10); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "server", "--state-dir", dir, "--port", "0", "--dns-port", "0").CombinedOutput()
	if err == nil || strings.Contains(string(out), "goroutine ") {
		t.Errorf("the server ended with %v: %s", err, out)
	}
	for _, want := range []string{database, "wheelhouse snapshot restore --state-dir " + dir, filepath.Join(dir, "snapshots", "etcd-")} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out, err := exec.Command(binary, "snapshot", "restore", saved, "--state-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("restoring: %v: %s", err, out)
	}
	s = startServer(t, "server", dir)
	if _, err := s.CoreV1().ConfigMaps("default").Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.CoreV1().ConfigMaps("default").Get(t.Context(), "after", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was written after the snapshot: %v", err)
	}
	w, err := s.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: seen.ResourceVersion})
	if err == nil {
		e := <-w.ResultChan()
		err = apierrors.FromObject(e.Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("a watch from what is lost: %v", err)
	}
}
