package features_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"wheelhouse/lab-runner/steps"
)

const (
	classRounds  = 2                      // of each learner: make the objects, remove one
	classKey     = 200 * time.Millisecond // between two keys of a learner
	classPerNode = 100                    // learners for each node, which takes 110 pods
	classLimit   = 10 * time.Minute       // for anything that a learner waits for
)

// BenchmarkClass measures a class whose learners all work at once: each joins, opens the page's event stream and a terminal,
// starts a lab, and types its commands key by key. The learners share the machine with the class. WHEELHOUSE_BENCH_LEARNERS is
// their number (40 without it); each types a command every WHEELHOUSE_BENCH_TIME (30 s without it).
func BenchmarkClass(b *testing.B) {
	learners, period := 40, 30*time.Second
	if given, err := strconv.Atoi(os.Getenv("WHEELHOUSE_BENCH_LEARNERS")); err == nil {
		learners = given
	}
	if given, err := time.ParseDuration(os.Getenv("WHEELHOUSE_BENCH_TIME")); err == nil {
		period = given
	}
	c := bringUp(b, "class", learners/classPerNode+1, "--class")
	p := &platform{World: &steps.World{Patience: classLimit}, cluster: c}
	before := memory(b)
	if err := p.prepareClass("workshop/objects", learners); err != nil {
		b.Fatal(err)
	}
	p.class.args = append(p.class.args, "--shared-address")
	for b.Loop() {
		if err := p.class.start(b.Context(), p); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { // before the cluster is taken down with all that the class has in it
			_ = p.class.cmd.Process.Kill()
			<-p.class.ended
			if b.Failed() {
				b.Logf("the log of the class: %s", &p.class.log)
			}
		})
		m := &classMeasures{period: period, board: newSignal[boardCounts](), took: map[string][]time.Duration{}}
		ctx, end := context.WithCancel(b.Context())
		go m.follow(ctx, p.class, p.class.instructor, "api/board/live", m.boardChanged)
		var all sync.WaitGroup
		for i := range learners {
			all.Go(func() {
				if err := m.learn(ctx, p.class, i, learners); err != nil {
					b.Errorf("learner %d: %v", i, err)
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64(residentOf(b, p.class.cmd.Process.Pid))/1e6, "MB-server")
		b.ReportMetric(float64(memory(b)-before)/float64(learners)/1e6, "MB/learner")
		if err := p.joinRefused(ctx, "", http.StatusServiceUnavailable, 1); err != nil {
			b.Errorf("one learner too many: %v", err)
		}
		end()
		m.report(b)
	}
}

// signal is a value whose changes can be waited for.
type signal[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{}
}

func newSignal[T any]() *signal[T] { return &signal[T]{changed: make(chan struct{})} }

func (s *signal[T]) set(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = v
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits for a value, and returns an error with the last one.
func (s *signal[T]) await(ctx context.Context, what string, ok func(T) bool) error {
	limit := time.NewTimer(classLimit)
	defer limit.Stop()
	for {
		s.mu.Lock()
		v, changed := s.value, s.changed
		s.mu.Unlock()
		if ok(v) {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return fmt.Errorf("%s: last seen: %.500v", what, v)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// boardCounts are the checks that are done, by the learner's name.
type boardCounts map[string]int

// classMeasures collects what the learners see.
type classMeasures struct {
	period time.Duration
	board  *signal[boardCounts]

	mu   sync.Mutex
	took map[string][]time.Duration
}

func (m *classMeasures) add(what string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took[what] = append(m.took[what], d)
}

// report gives the median and the 95th percentile of each measure, in milliseconds.
func (m *classMeasures) report(b *testing.B) {
	b.Helper()
	for what, took := range m.took {
		slices.Sort(took)
		for _, share := range []int{50, 95} {
			d := took[min(len(took)-1, len(took)*share/100)]
			b.ReportMetric(float64(d.Microseconds())/1000, fmt.Sprintf("ms-%s-p%d", what, share))
		}
		b.Logf("%s: %d measured, half of them within %v, 95 %% within %v, the longest %v",
			what, len(took), took[len(took)/2], took[min(len(took)-1, len(took)*95/100)], took[len(took)-1])
	}
}

// follow reads an event stream until ctx ends.
func (m *classMeasures) follow(ctx context.Context, k *classroom, c *http.Client, path string, on func(event string, data []byte)) {
	stream := &http.Client{Jar: c.Jar, Transport: c.Transport} // without a limit of time
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url(path), nil)
		if err != nil {
			return
		}
		res, err := stream.Do(r)
		if err != nil {
			continue // ctx has ended, or the stream begins again, as a page's does
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 8<<20)
		event := ""
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			} else if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
				on(event, data)
			}
		}
		_ = res.Body.Close()
	}
}

func (m *classMeasures) boardChanged(_ string, data []byte) {
	var board struct {
		Learners []struct {
			Name   string
			Checks struct{ Done int }
		}
	}
	if json.Unmarshal(data, &board) != nil {
		return
	}
	done := boardCounts{}
	for _, l := range board.Learners {
		done[l.Name] = l.Checks.Done
	}
	m.board.set(done)
}

// classPage is what a learner's page shows.
type classPage struct {
	Lab    string
	Checks []struct{ State string }
}

func (p classPage) done() int {
	n := 0
	for _, c := range p.Checks {
		if c.State == "done" {
			n++
		}
	}
	return n
}

// learn is one learner from the join to the last command.
func (m *classMeasures) learn(ctx context.Context, k *classroom, i, of int) error {
	// They come within a minute, and type at different times.
	if err := sleep(ctx, time.Minute*time.Duration(i)/time.Duration(of)); err != nil {
		return err
	}
	name := fmt.Sprintf("Learner %03d", i)
	l := &classLearner{client: k.browser(), grown: make(chan struct{}, 1)}
	l.client.Timeout = classLimit
	begun := time.Now()
	var joined struct{ ID string }
	if err := k.post(ctx, l.client, "api/join", map[string]string{"code": k.said["room code"], "name": name}, &joined); err != nil {
		return err
	}
	m.add("join", time.Since(begun))
	page := newSignal[classPage]()
	go m.follow(ctx, k, l.client, "api/live", func(event string, data []byte) {
		var p classPage
		if event == "view" && json.Unmarshal(data, &p) == nil {
			page.set(p)
		}
	})
	if err := k.connect(ctx, l, classLimit); err != nil {
		return err
	}
	m.add("shell", time.Since(begun))
	begun = time.Now()
	err := m.start(ctx, k, l)
	if err == nil {
		err = page.await(ctx, "the lab", func(p classPage) bool { return p.Lab != "" })
	}
	if err != nil {
		return err
	}
	m.add("start", time.Since(begun))
	w := classWorker{m, k, l, page, name, 0}
	return w.work(ctx)
}

// start starts the lab, as soon as the desk is there.
func (m *classMeasures) start(ctx context.Context, k *classroom, l *classLearner) error {
	return until(ctx, classLimit, "the lab to start", func() (string, bool, error) {
		err := k.post(ctx, l.client, "api/desk", map[string]string{"do": "start", "lab": "workshop/objects"}, nil)
		return "", err == nil, err
	})
}

type classWorker struct {
	*classMeasures
	k     *classroom
	l     *classLearner
	page  *signal[classPage]
	name  string
	typed int
}

func (w *classWorker) work(ctx context.Context) error {
	for range classRounds {
		for _, c := range []struct {
			line string
			done int
		}{{"kubectl apply -f pages.yaml", 1}, {"kubectl delete configmap page-2", 0}} {
			if err := sleep(ctx, w.period); err != nil {
				return err
			}
			if err := w.command(ctx, c.line); err != nil {
				return err
			}
			if err := w.seen(ctx, c.done); err != nil {
				return fmt.Errorf("%s: %w", c.line, err)
			}
		}
	}
	return nil
}

// command types a line, and returns when it has ended. A terminal that was closed is opened again, as the page does.
func (w *classWorker) command(ctx context.Context, line string) error {
	for {
		err := w.line(ctx, line)
		if !errors.Is(err, errClosed) {
			return err
		}
		begun := time.Now()
		if err := w.k.connect(ctx, w.l, classLimit); err != nil {
			return err
		}
		w.add("reopened", time.Since(begun))
		line = "\x15" + line // without what was typed of it before
	}
}

var errClosed = errors.New("the terminal was closed")

// line types a line key by key, and waits for its end.
func (w *classWorker) line(ctx context.Context, line string) error {
	w.typed++
	line += fmt.Sprintf("; echo ended-$((%d+1000))", w.typed)
	for _, key := range line {
		begun := time.Now()
		shows := string(key)
		if key < ' ' {
			shows = ""
		}
		if err := w.keys(ctx, string(key), shows); err != nil {
			return err
		}
		took := time.Since(begun)
		w.add("echo", took)
		if err := sleep(ctx, max(0, classKey-took)); err != nil {
			return err
		}
	}
	return w.keys(ctx, "\r", fmt.Sprintf("ended-%d", w.typed+1000))
}

// keys types, and waits for what the terminal shows.
func (w *classWorker) keys(ctx context.Context, keys, want string) error {
	w.l.mu.Lock()
	conn, before := w.l.conn, len(w.l.shown)
	w.l.mu.Unlock()
	if conn == nil || conn.WriteMessage(websocket.BinaryMessage, []byte("d"+keys)) != nil {
		return errClosed
	}
	limit := time.NewTimer(classLimit)
	defer limit.Stop()
	for {
		w.l.mu.Lock()
		shown := w.l.shown[min(before, len(w.l.shown)):]
		ok, closed := bytes.Contains(shown, []byte(want)), w.l.conn == nil
		w.l.mu.Unlock()
		if ok {
			return nil
		}
		if closed {
			return errClosed
		}
		select {
		case <-w.l.grown:
		case <-limit.C:
			return fmt.Errorf("no %q in the terminal: %q", want, shown)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// seen waits until page and board show so many checks done.
func (w *classWorker) seen(ctx context.Context, done int) error {
	begun := time.Now()
	err := w.page.await(ctx, "the check on the page", func(p classPage) bool { return len(p.Checks) == 1 && p.done() == done })
	if err != nil {
		return err
	}
	w.add("check", time.Since(begun))
	err = w.board.await(ctx, "the check on the board", func(b boardCounts) bool { n, ok := b[w.name]; return ok && n == done })
	w.add("board", time.Since(begun))
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// memory returns what the machine uses, in bytes.
func memory(b *testing.B) int64 {
	b.Helper()
	return procField(b, "/proc/meminfo", "MemTotal:") - procField(b, "/proc/meminfo", "MemAvailable:")
}

func residentOf(b *testing.B, pid int) int64 {
	b.Helper()
	return procField(b, fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
}

// procField returns a field of a file below /proc that is given in kB, in bytes.
func procField(b *testing.B, path, field string) int64 {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field {
			n, err := strconv.ParseInt(words[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n * 1024
		}
	}
	b.Fatalf("%s has no %s", path, field)
	return 0
}
