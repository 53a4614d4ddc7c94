//go:build !quick

package kubelet

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/fixture"
	"wheelhouse/cluster/kubelet/resize"
)

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// memoryFor is how many bytes f allocates.
func memoryFor(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Containers can make the files that they share with the kubelet as large as they like.
func TestSharedFileThatAContainerHasFilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := errorsOf(os.WriteFile(path, nil, 0o644), os.Truncate(path, 256<<20)); err != nil {
		t.Fatal(err)
	}
	grown := memoryFor(func() {
		if err := writeShared(path, "127.0.0.1\tlocalhost\n"); err != nil {
			t.Error(err)
		}
	})
	if data, err := os.ReadFile(path); err != nil || string(data) != "127.0.0.1\tlocalhost\n" || grown > 1<<20 {
		t.Errorf("%.100q, %v, with %d bytes of memory", data, err, grown)
	}
}

// The files that the kubelet writes for a pod count for its disk usage: containers can write
// to them.
func TestSharedFilesCount(t *testing.T) {
	dir := t.TempDir()
	w := &worker{k: &Kubelet{}, dir: dir, input: newInput(&v1.Pod{})}
	for _, name := range []string{"etc/hosts", "etc/resolv.conf", "containers/main/0"} {
		path := filepath.Join(dir, name)
		if err := errorsOf(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, make([]byte, 1<<20), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.DiskUsage(time.Now()).Total().Bytes; got < 3<<20 {
		t.Errorf("%d bytes, want 3 MiB", got)
	}
}

// The node's logs are those in the directory, whatever a pod has put there.
func TestNodeLogsThatAPodHasReplaced(t *testing.T) {
	disk := t.TempDir()
	logs := filepath.Join(disk, "var/log")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(logs, "sub"), 0o755), os.WriteFile(filepath.Join(logs, "sub/a.log"), []byte("a line"), 0o644),
		os.Symlink("sub/a.log", filepath.Join(logs, "current")), os.Symlink("../../secret", filepath.Join(logs, "out")),
		os.Symlink("/secret", filepath.Join(logs, "absolute")), os.Symlink("/etc/hostname", filepath.Join(logs, "machine")),
		os.WriteFile(filepath.Join(disk, "secret"), []byte("of another pod"), 0o600),
		unix.Mknod(filepath.Join(logs, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), // null: an end to read
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fixture.Pipe(t, filepath.Join(logs, "pipe"))
	files, done, err := served{&Kubelet{config: Config{HostRoot: disk}}}.Logs()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	h := http.StripPrefix("/logs/", http.FileServerFS(files))
	for path, want := range map[string]string{
		"sub/a.log": "200 a line", "current": "200 a line", "sub/": "200 <!doctype html>", "": "200 <!doctype html>",
		"out": "", "absolute": "", "machine": "", "zero": "", "pipe": "", "../../secret": "", "sub/../../../secret": "",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/logs/x", nil)
		r.URL.Path = "/logs/" + path
		h.ServeHTTP(w, r)
		got := fmt.Sprintf("%d %s", w.Code, w.Body)
		if want == "" && (w.Code == http.StatusOK || strings.Contains(got, "another pod")) || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %.200s", path, got)
		}
	}
}

// Names that would lead out of the pod's directory are no pod's.
func TestNamesThatAreNoPartOfAPath(t *testing.T) {
	named := func(uid, volume, container, ephemeral string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "d", UID: types.UID(uid)}, Spec: v1.PodSpec{
			Volumes: []v1.Volume{{Name: volume}}, Containers: []v1.Container{{Name: container}},
			EphemeralContainers: []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: ephemeral}}},
		}}
	}
	for _, pod := range []*v1.Pod{
		named("../../../etc", "v", "c", "e"), named("..", "v", "c", "e"), named("", "v", "c", "e"), named("a/b", "v", "c", "e"),
		named("u", "../../x", "c", "e"), named("u", "v", "../x", "e"), named("u", "v", "c", "."), named("u\x00", "v", "c", "e"),
	} {
		k := &Kubelet{config: Config{RootDir: t.TempDir()}, ctx: t.Context(), log: discard, workers: map[types.UID]*worker{}}
		k.runtime, k.allocations = nil, resize.NewAllocations(resizing{k})
		handler{k}.PodChanged(pod)
		if len(k.workers) != 0 {
			t.Errorf("a pod %q with volume %q, containers %q and %q is run", pod.UID, pod.Spec.Volumes[0].Name, pod.Spec.Containers[0].Name, pod.Spec.EphemeralContainers[0].Name)
		}
	}
	if name, ok := unfitForPath(named("0b9d-1", "data", "main", "debugger-x7k2p")); ok {
		t.Errorf("%q is taken for no part of a path", name)
	}
}

var discard = slog.New(slog.DiscardHandler)
