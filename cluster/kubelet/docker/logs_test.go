//go:build !quick

package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/dockertest"
)

// numbered counts lines that begin with their number and have a length, and keeps the first
// that is not the next one.
type numbered struct {
	lines int
	bad   string
	rest  []byte
}

func (n *numbered) Write(p []byte) (int, error) {
	n.rest = append(n.rest, p...)
	for {
		line, rest, ok := bytes.Cut(n.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if want := fmt.Sprint(n.lines, " "); n.bad == "" && (!strings.HasPrefix(string(line), want) || len(line) != len(want)+900) {
			n.bad = fmt.Sprintf("line %d: %.30q of %d bytes", n.lines, line, len(line))
		}
		n.lines, n.rest = n.lines+1, rest
	}
}

// 36 MB of 40,000 lines, for which the engine rotates a log three times, come to each of
// several readers once and in order; their end is the container's. A long line has one
// timestamp.
func TestLogsThatAreRotated(t *testing.T) {
	rt := testRuntime(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	pod := cri.PodRef{Namespace: "default", Name: "logs", UID: fmt.Sprint("logs-", os.Getpid())}
	create := func(name, sandbox string, cmd ...string) string {
		t.Helper()
		spec := &cri.Spec{Pod: pod, Name: name, Sandbox: sandbox, Entrypoint: cmd}
		if sandbox != "" {
			spec.Image = dockertest.BusyBox
		}
		id, err := rt.Create(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = rt.Remove(context.Background(), id) })
		if err := rt.Start(ctx, id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	sandbox := create(cri.SandboxName, "")
	id := create("chatter", sandbox, "sh", "-c", `read -t 2 x; p=$(head -c 900 /dev/zero | tr '\0' y); n=0; while [ $n -lt 40000 ]; do echo $n $p; n=$((n+1)); done`)
	readers := make([]numbered, 2)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			if err := rt.Logs(ctx, id, cri.LogOptions{Follow: true, Tail: -1}, &readers[i], &readers[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var after numbered
	if err := rt.Logs(ctx, id, cri.LogOptions{Tail: -1}, &after, &after); err != nil {
		t.Error(err)
	}
	for i, n := range append(readers, after) {
		if n.lines != 40000 || n.bad != "" {
			t.Errorf("reader %d: %d lines; %s", i, n.lines, n.bad)
		}
	}
	long := create("long", sandbox, "sh", "-c", `head -c 40000 /dev/zero | tr '\0' z; echo; echo next`)
	var out bytes.Buffer
	if err := rt.Logs(ctx, long, cri.LogOptions{Follow: true, Timestamps: true, Tail: -1}, &out, &out); err != nil {
		t.Error(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || len(lines[0]) != 40031 || len(lines[1]) != 35 {
		t.Errorf("%d lines of %d and %d bytes", len(lines)-1, len(lines[0]), len(lines[min(1, len(lines)-1)]))
	}
}
