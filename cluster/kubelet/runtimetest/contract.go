package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/cri"
)

// Contract checks what a kubelet relies on. The runtime must have the image,
// whose commands echo, cat, false and sleep work, and nothing of the pod.
func Contract(t *testing.T, rt kubelet.Runtime, image string, pod cri.PodRef) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must := func(doing string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
	}

	events := make(chan cri.Event, 100)
	watchCtx, stopWatch := context.WithCancel(ctx)
	watchDone := make(chan error, 1)
	go func() { watchDone <- rt.Watch(watchCtx, func(e cri.Event) { events <- e }) }()
	if e := <-events; e != (cri.Event{}) {
		t.Errorf("first event %+v, want the empty one", e)
	}
	heard := func(id string) {
		t.Helper()
		for {
			select {
			case e := <-events:
				if e.ContainerID == id && e.PodUID == pod.UID {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no event about container %s", id)
			}
		}
	}

	discard := func(id string) { _ = rt.Remove(context.Background(), id) } // what a failed step has left

	sandbox, err := rt.Create(ctx, &cri.Spec{Pod: pod, Name: cri.SandboxName, Hostname: "contract"})
	must("create the sandbox", err)
	defer discard(sandbox)
	must("start the sandbox", rt.Start(ctx, sandbox))
	heard(sandbox)

	spec := &cri.Spec{
		Pod: pod, Name: "main", Attempt: 3, Image: image, Sandbox: sandbox, Labels: map[string]string{"x": "y"},
		Entrypoint: []string{"sleep"}, Cmd: []string{"300"},
	}
	main, err := rt.Create(ctx, spec)
	must("create", err)
	if c, err := rt.Inspect(ctx, main); err != nil || c.State != cri.Created {
		t.Errorf("after create: %+v, %v", c, err)
	}
	again, err := rt.Create(ctx, spec)
	must("create over what an earlier kubelet left", err)
	main = again
	defer discard(main)
	must("start", rt.Start(ctx, main))
	heard(main)
	c, err := rt.Inspect(ctx, main)
	must("inspect", err)
	if c.State != cri.Running || c.Pid == 0 || c.StartedAt.IsZero() || c.Name != "main" || c.Attempt != 3 || c.Pod != pod || c.Labels["x"] != "y" {
		t.Errorf("running container: %+v", c)
	}
	list, err := rt.List(ctx, pod.UID)
	must("list", err)
	if len(list) != 2 || list[0].ID != sandbox || list[1].ID != main {
		t.Errorf("list: %+v, want the sandbox and the container", list)
	}
	glance, err := rt.Glance(ctx)
	must("glance", err)
	seen := map[string]bool{}
	for _, c := range glance {
		seen[c.ID] = c.State == cri.Running && c.Pod == pod && (c.Name == "main" || c.Name == cri.SandboxName)
	}
	if !seen[sandbox] || !seen[main] {
		t.Errorf("glance: %+v, want the sandbox and the container, running", glance)
	}
	if err := rt.RemoveImage(ctx, image); !errors.Is(err, cri.ErrInUse) {
		t.Errorf("remove an image that is in use: %v", err)
	}
	must("remove an image that is not there", rt.RemoveImage(ctx, "wheelhouse/no-such-image:1"))
	if dir, err := rt.ImageDir(ctx); err != nil || dir == "" {
		t.Errorf("directory of images: %q, %v", dir, err)
	}

	var out bytes.Buffer
	code, err := rt.Exec(ctx, main, []string{"echo", "a", "b"}, cri.IO{Stdout: &out})
	if err != nil || code != 0 || out.String() != "a b\n" {
		t.Errorf("exec echo: %d %q %v", code, out.String(), err)
	}
	out.Reset()
	code, err = rt.Exec(ctx, main, []string{"cat"}, cri.IO{Stdin: strings.NewReader("hello"), Stdout: &out})
	if err != nil || code != 0 || out.String() != "hello" {
		t.Errorf("exec cat: %d %q %v", code, out.String(), err)
	}
	if code, err = rt.Exec(ctx, main, []string{"false"}, cri.IO{Stdout: &out}); err != nil || code != 1 {
		t.Errorf("exec false: %d %v, want 1", code, err)
	}

	more := cri.Resources{CPUShares: 153, CPUQuota: 30_000, CPUPeriod: 100_000, Memory: 64 << 20}
	must("give it other resources", rt.Update(ctx, main, more))
	if c, err = rt.Inspect(ctx, main); err != nil || c.Resources != more || c.State != cri.Running {
		t.Errorf("resources: %+v, %v, want %+v", c.Resources, err, more)
	}
	if err := rt.Update(ctx, "no-such-container", more); !cri.IsNotFound(err) {
		t.Errorf("give what is not there resources: %v, want not found", err)
	}

	must("stop", rt.Stop(ctx, main, 0))
	must("stop what has ended", rt.Stop(ctx, main, 0))
	heard(main)
	if c, err = rt.Inspect(ctx, main); err != nil || c.State != cri.Exited || c.ExitCode == 0 || c.Finished.Before(c.StartedAt) {
		t.Errorf("stopped container: %+v, %v", c, err)
	}
	printer, err := rt.Create(ctx, &cri.Spec{Pod: pod, Name: "print", Image: image, Sandbox: sandbox, Entrypoint: []string{"echo", "last", "words"}})
	must("create", err)
	defer discard(printer)
	must("start", rt.Start(ctx, printer))
	must("stop", rt.Stop(ctx, printer, time.Second))
	out.Reset()
	if err := rt.Logs(ctx, printer, cri.LogOptions{Tail: -1, Follow: true}, &out, &out); err != nil || out.String() != "last words\n" {
		t.Errorf("logs: %q %v", out.String(), err)
	}

	for range 2 {
		must("remove", rt.Remove(ctx, main))
	}
	if _, err := rt.Inspect(ctx, main); !cri.IsNotFound(err) {
		t.Errorf("inspect what is removed: %v, want not found", err)
	}
	must("stop what is removed", rt.Stop(ctx, main, 0))
	if _, err := rt.Image(ctx, image); err != nil {
		t.Errorf("image: %v", err)
	}
	if _, err := rt.Image(ctx, "wheelhouse/no-such-image:1"); !cri.IsNotFound(err) {
		t.Errorf("image that is not there: %v, want not found", err)
	}
	stopWatch()
	if err := <-watchDone; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}
