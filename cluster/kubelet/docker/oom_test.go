//go:build !quick

package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/dockertest"
)

// A container that runs out of memory in its first moments is known to have done so,
// and one that is killed is not taken for such.
func TestOutOfMemory(t *testing.T) {
	dockertest.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rt, err := New(Config{Cluster: "oom-test", Node: fmt.Sprint("n", os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rt.Close() }()
	pod := cri.PodRef{Namespace: "default", Name: "oom", UID: fmt.Sprint("oom-", os.Getpid())}
	defer func() { _ = groups.Remove(context.Background(), "/wheelhouse/oom-test") }()
	ended := func(name string, kill bool, cmd ...string) cri.Container {
		t.Helper()
		id, err := rt.Create(ctx, &cri.Spec{
			Pod: pod, Name: name, Image: dockertest.BusyBox, Entrypoint: cmd, CgroupParent: "/wheelhouse/oom-test/pod",
			Resources: cri.Resources{Memory: 16 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := rt.Remove(context.Background(), id); err != nil {
				t.Error(err)
			}
		}()
		if err := rt.Start(ctx, id); err != nil {
			t.Fatal(err)
		}
		if kill {
			if err := rt.Stop(ctx, id, 0); err != nil {
				t.Fatal(err)
			}
		}
		for {
			c, err := rt.Inspect(ctx, id)
			if err != nil {
				t.Fatalf("%s does not end: %v", name, err)
			}
			if c.State == cri.Exited {
				return c
			}
		}
	}
	for i := range 5 { // at once, which the daemon misses at times
		if c := ended(fmt.Sprint("greedy", i), false, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"); !c.OOMKilled || c.ExitCode != 137 {
			t.Errorf("out of memory: %+v", c)
		}
	}
	if c := ended("killed", true, "sh", "-c", "sleep 1000"); c.OOMKilled || c.ExitCode != 137 {
		t.Errorf("killed: %+v", c)
	}
	if c := ended("fine", false, "true"); c.OOMKilled || c.ExitCode != 0 {
		t.Errorf("fine: %+v", c)
	}
}

// With version 2 the pod's group counts.
func TestKillCount(t *testing.T) {
	root := t.TempDir()
	pod := filepath.Join(root, "a.slice", "a-b.slice")
	if err := os.MkdirAll(pod, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(root, "cgroup.controllers"), "memory\n")
	write(filepath.Join(pod, "memory.events"), "oom 3\noom_kill 3\n")
	w, err := watchFor(cgroup.At(root), "a-b.slice", "id")
	if err != nil || w.happened() {
		t.Errorf("at the start: %v, %v", w, err)
	}
	write(filepath.Join(pod, "memory.events"), "oom 4\noom_kill 4\n")
	if !w.happened() {
		t.Error("a kill was not seen")
	}
	w.close()
	if w, err := watchFor(cgroup.At(root), "/plain/pod", "id"); err != nil || w.happened() {
		t.Errorf("a group that is still to be made: %v, %v", w, err)
	}
	if w, err := watchFor(cgroup.At(t.TempDir()), "a-b.slice", "id"); err != nil || w != nil {
		t.Errorf("version 1 with systemd: %v, %v", w, err)
	}
}
