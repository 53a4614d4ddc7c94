//go:build !quick

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/server"
	"wheelhouse/lab-runner/classroom/workbench"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/slides"
)

// TestPagesWithServer drives the pages against the server of the class, with its roster on a real API server, by TLS.
// Workbenches are shells of this machine, and their desks are the stub's.
func TestPagesWithServer(t *testing.T) {
	steps := make([]catalog.Step, len(titles))
	for i, title := range titles {
		steps[i] = catalog.Step{Step: script.Step{Title: title}}
	}
	lab := &catalog.Lab{Track: "workshop", Name: "notes", Title: "Notes that stay", About: "A file is written.", Minutes: 10, Steps: steps}
	first := func() roster.Class {
		return roster.Class{Title: "Kubernetes in a day", Labs: []string{lab.ID()}}
	}
	class, err := roster.Open(t.Context(), roster.Config{Client: kubernetes.NewForConfigOrDie(apitest.Start(t)), Namespace: "class", Limit: 2}, first)
	if err != nil {
		t.Fatal(err)
	}
	benches := &benches{dir: t.TempDir(), class: class, all: map[string]*learner{}}
	var s *server.Server
	s, err = server.New(server.Config{
		Roster: class, Benches: benches, Streams: benches, Labs: []*catalog.Lab{lab}, Assets: os.DirFS("dist"), Policy: ContentSecurityPolicy, Prefix: prefix,
		Slides: slides.Handler(slides.Config{Files: os.DirFS("../../../slides"), Live: func(r *http.Request) slides.Live {
			if !s.Instructor(r) {
				return nil
			}
			return stage{}
		}}),
		Takings: server.Takings{
			Files:    http.NotFoundHandler(),
			Programs: []server.Program{{System: "linux", Arch: "arm64", Path: "bundle/files/lab/lab-linux-arm64", Bytes: 12e6}, {System: "windows", Arch: "amd64", Path: "bundle/files/lab/lab-windows-amd64.exe", Bytes: 12e6}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	served := httptest.NewTLSServer(s.Handler())
	defer func() {
		cancel()
		running.Wait()
		served.CloseClientConnections()
		served.Close()
	}()
	code, err := class.Code(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	password, err := class.NewPassword(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	drive(t, "test/server.test.mjs", "PAGE="+served.URL+prefix, "CODE="+code, "PASSWORD="+password)
}

// stage stands for the cluster on which the slides' commands run.
type stage struct{}

func (stage) Run(_ context.Context, lab, command string, out io.Writer) error {
	_, err := io.WriteString(out, "ran "+command+" of "+lab)
	return err
}

func (stage) Map(context.Context, string) ([]slides.Row, error) {
	return []slides.Row{{Text: "influxdb on minion-1", Mark: "well"}}, nil
}

func (stage) Journey(context.Context, string, string) (string, error) { return "scheduled", nil }

// benches are the learners' workbenches: a home directory each.
type benches struct {
	dir   string
	class *roster.Roster

	lock sync.Mutex
	all  map[string]*learner
}

func (b *benches) of(id string) *learner {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.all[id] == nil {
		who, _ := b.class.Learner(id) // without a name the prompt is shorter
		b.all[id] = newLearner(b.dir, id, who.Name)
	}
	return b.all[id]
}

func (b *benches) Ensure(context.Context, workbench.Learner) error { return nil }
func (b *benches) Remove(context.Context, workbench.Learner) error { return nil }

func (b *benches) Terminal(ctx context.Context, l workbench.Learner, term workbench.Terminal) error {
	cmd := b.of(l.ID).shell(ctx)
	tty, err := pty.Start(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = tty.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if !term.ReadOnly {
		go func() { _, _ = io.Copy(tty, term.In) }()
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case size := <-term.Resize:
				_ = pty.Setsize(tty, &pty.Winsize{Cols: size.Columns, Rows: size.Rows})
			}
		}
	}()
	end := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer end()
	_, err = io.Copy(term.Out, tty)
	return err
}

// Desk answers requests, and reports the state whenever it has changed.
func (b *benches) Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error {
	who, lines, last := b.of(l.ID), make(chan map[string]any), map[string]string{}
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			o := map[string]any{}
			if json.Unmarshal(scanner.Bytes(), &o) == nil {
				lines <- o
			}
		}
	}()
	write := func(v any) { _ = json.NewEncoder(out).Encode(v) }
	looks := time.NewTicker(50 * time.Millisecond)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case o, more := <-lines:
			if !more {
				return nil
			}
			if o["do"] == "open" {
				break
			}
			b.lock.Lock()
			says, result := who.do(o)
			b.lock.Unlock()
			write(map[string]any{"id": o["id"], "ok": says == "", "error": says, "result": result})
		case <-looks.C:
		}
		b.lock.Lock()
		view, drawn, output := who.view(), who.clusterMap(), who.output
		who.output = ""
		b.lock.Unlock()
		if output != "" {
			write(map[string]any{"event": "output", "text": output})
		}
		for event, v := range map[string]any{"view": view, "map": drawn} {
			if text, _ := json.Marshal(v); last[event] != string(text) && who.lab != "" {
				last[event] = string(text)
				write(map[string]any{"event": event, event: v})
			}
		}
	}
}
