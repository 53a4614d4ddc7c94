package jsonlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/wait"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// engine writes a log as Docker's driver does: it renames its files when one is full, or
// empties the only one.
type engine struct {
	t          *testing.T
	path       string
	max, files int
	f          *os.File
	size       int
}

func newEngine(t *testing.T, limit, files int) *engine {
	t.Helper()
	e := &engine{t: t, path: filepath.Join(t.TempDir(), "c-json.log"), max: limit, files: files}
	e.open()
	t.Cleanup(func() { e.f.Close() })
	return e
}

func (e *engine) open() {
	f, err := os.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		e.t.Error(err)
	}
	e.f, e.size = f, 0
}

func (e *engine) name(i int) string {
	if i == 0 {
		return e.path
	}
	return fmt.Sprintf("%s.%d", e.path, i)
}

// put writes one entry, whole or a part of a line.
func (e *engine) put(stream string, at time.Time, text string) {
	if e.size >= e.max {
		e.f.Close()
		for i := e.files - 1; i > 0; i-- {
			if err := os.Rename(e.name(i-1), e.name(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
				e.t.Error(err)
			}
		}
		e.open()
	}
	data, err := json.Marshal(map[string]any{"log": text, "stream": stream, "time": at})
	if err != nil {
		e.t.Error(err)
	}
	e.raw(append(data, '\n'))
}

func (e *engine) raw(data []byte) {
	if _, err := e.f.Write(data); err != nil {
		e.t.Error(err)
	}
	e.size += len(data)
}

func all() cri.LogOptions { return cri.LogOptions{Tail: -1} }

func read(t *testing.T, e *engine, o cri.LogOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := Read(t.Context(), e.path, Options{LogOptions: o, Stdout: &out, Stderr: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A line that the driver has written in parts has one timestamp, and what another stream
// wrote meanwhile does not come into it.
func TestPartsOfLines(t *testing.T) {
	e := newEngine(t, 1<<20, 5)
	long := strings.Repeat("z", 16384)
	e.put("stdout", noon, long)
	e.put("stderr", noon.Add(time.Second), "meanwhile\n")
	e.put("stdout", noon.Add(2*time.Second), long)
	e.put("stdout", noon.Add(3*time.Second), "end\n")
	e.put("stdout", noon.Add(4*time.Second), "no newline")
	o := all()
	o.Timestamps = true
	want := "2026-01-02T12:00:01.000000000Z meanwhile\n" +
		"2026-01-02T12:00:00.000000000Z " + long + long + "end\n" +
		"2026-01-02T12:00:04.000000000Z no newline"
	if got := read(t, e, o); got != want {
		t.Errorf("got %d bytes, want %d: %.80q", len(got), len(want), got)
	}
	if got := read(t, e, all()); strings.Contains(got, "2026") || len(got) != 2*16384+len("meanwhile\nend\nno newline") {
		t.Errorf("without timestamps: %d bytes", len(got))
	}
	var out bytes.Buffer
	if err := Read(t.Context(), e.path, Options{LogOptions: all(), Stderr: &out}); err != nil || out.String() != "meanwhile\n" {
		t.Errorf("stderr alone: %q, %v", out.String(), err)
	}
}

// A line may be longer than what is kept of it: then its beginning alone has the timestamp.
func TestEndlessLine(t *testing.T) {
	e := newEngine(t, 8<<20, 5)
	for range 200 {
		e.put("stdout", noon, strings.Repeat("z", 16384))
	}
	e.put("stdout", noon, "\n")
	o := all()
	o.Timestamps = true
	if got := read(t, e, o); strings.Count(got, "2026") != 1 || len(got) != 200*16384+len("2026-01-02T12:00:00.000000000Z \n") {
		t.Errorf("%d bytes, %d timestamps", len(got), strings.Count(got, "2026"))
	}
}

// The last lines are counted over the files of the log, as are the lines since a time.
func TestTailAndSince(t *testing.T) {
	e := newEngine(t, 400, 5)
	for i := range 25 {
		e.put("stdout", noon.Add(time.Duration(i)*time.Minute), fmt.Sprintf("line %d ", i))
		e.put("stdout", noon.Add(time.Duration(i)*time.Minute), "ends\n")
	}
	e.raw([]byte(`{"log":"not whole ye`))
	if _, err := os.Stat(e.name(2)); err != nil {
		t.Fatal("the log was not rotated twice: ", err)
	}
	line := func(i int) string { return fmt.Sprintf("line %d ends\n", i) }
	whole := read(t, e, all())
	for n, want := range map[int64]string{0: "", 1: line(24), 3: line(22) + line(23) + line(24), 1000: whole} {
		if got := read(t, e, cri.LogOptions{Tail: n}); got != want {
			t.Errorf("the last %d: %q, want %q", n, got, want)
		}
	}
	if got := read(t, e, cri.LogOptions{Tail: -1, Since: noon.Add(23*time.Minute - time.Second)}); got != line(23)+line(24) {
		t.Errorf("since 12:23: %q", got)
	}
	if got := read(t, e, cri.LogOptions{Tail: 1, Since: noon.Add(25 * time.Minute)}); got != "" {
		t.Errorf("since its end: %q", got)
	}
	if !strings.HasSuffix(whole, line(20)+line(21)+line(22)+line(23)+line(24)) {
		t.Errorf("whole: %q", whole)
	}
}

// Of a file that a loss of power has damaged the other lines are read; a log that is not
// there is empty.
func TestDamage(t *testing.T) {
	e := newEngine(t, 1<<20, 5)
	e.put("stdout", noon, "before\n")
	e.raw(append(make([]byte, 100), `{"log":"cut`+"\n"...))
	e.put("stdout", noon, "after\n")
	if got := read(t, e, all()); got != "before\nafter\n" {
		t.Errorf("%q", got)
	}
	e.path += ".gone"
	if got := read(t, e, all()); got != "" {
		t.Errorf("%q", got)
	}
}

// counter checks that numbered lines come once and in order.
type counter struct {
	next atomic.Int64
	bad  atomic.Pointer[string]
	rest []byte
}

func (c *counter) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		line, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		var n int64
		if _, err := fmt.Sscanf(string(line), "%d ", &n); err != nil || n != c.next.Load() || len(line) < 900 {
			text := fmt.Sprintf("line %d: %.40q, %d bytes", c.next.Load(), line, len(line))
			c.bad.CompareAndSwap(nil, &text)
		}
		c.next.Add(1)
		c.rest = rest
	}
}

// Several readers that follow a log get each line once and in order, over its rotation, until
// the container has ended. The writer is never further ahead than the files of the log.
func TestFollowOverRotation(t *testing.T) {
	const lines, fileSize = 6000, 128 << 10
	for _, files := range []int{5, 2} {
		e := newEngine(t, fileSize, files)
		ended := make(chan struct{})
		readers := make([]counter, 4)
		var wg sync.WaitGroup
		for i := range readers {
			wg.Go(func() {
				o := all()
				o.Follow = true
				if err := Read(t.Context(), e.path, Options{LogOptions: o, Stdout: &readers[i], Stderr: &readers[i], Ended: ended}); err != nil {
					t.Error(err)
				}
			})
		}
		text := strings.Repeat("y", 900)
		ahead := int64((files - 1) * fileSize / 1100)
		for n := range int64(lines) {
			for i := range readers {
				if at := &readers[i].next; at.Load() < n-ahead {
					wait.For(t, "a reader to come near", func() error { return wait.Seen(at.Load() >= n-ahead, at.Load()) })
				}
			}
			e.put([]string{"stdout", "stderr"}[n%2], noon, fmt.Sprintf("%d %s\n", n, text))
		}
		close(ended)
		wg.Wait()
		for i := range readers {
			if bad := readers[i].bad.Load(); bad != nil || readers[i].next.Load() != lines {
				t.Errorf("%d files, reader %d: %d lines; %v", files, i, readers[i].next.Load(), bad)
			}
		}
	}
}

// Two rotations between the opening of one file and of the next put neither out of order.
func TestRotationsWhileFilesAreOpened(t *testing.T) {
	e := newEngine(t, 1, 5) // a line a file
	e.put("stdout", noon, "0\n")
	e.put("stdout", noon, "1\n")
	opened := 0
	files, err := newer(e.path, nil, func(name string) (*os.File, error) {
		f, err := os.Open(name)
		if opened++; opened == 1 {
			e.put("stdout", noon, "2\n")
			e.put("stdout", noon, "3\n")
		}
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(files)
	var got string
	for _, f := range files {
		raw, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		line, _ := parse(raw)
		got += line.Log
	}
	if want := "0\n1\n2\n3\n"; got != want {
		t.Errorf("the files have %q, want %q", got, want)
	}
}

// A log that keeps one file is emptied in place.
func TestFollowOneFile(t *testing.T) {
	e := newEngine(t, 4096, 1)
	ended := make(chan struct{})
	var c counter
	done := make(chan error, 1)
	go func() {
		done <- Read(t.Context(), e.path, Options{LogOptions: cri.LogOptions{Follow: true, Tail: -1}, Stdout: &c, Ended: ended})
	}()
	for n := range int64(30) {
		e.put("stdout", noon, fmt.Sprintf("%d %s\n", n, strings.Repeat("y", 900)))
		wait.For(t, "the line", func() error { return wait.Seen(c.next.Load() == n+1, c.next.Load()) })
	}
	close(ended)
	if err := <-done; err != nil || c.bad.Load() != nil {
		t.Error(err, c.bad.Load())
	}
}

// The error of a writer ends a read, and so does the end of a request.
func TestEarlyEnd(t *testing.T) {
	e := newEngine(t, 1<<20, 5)
	e.put("stdout", noon, "a line\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, e.path, Options{LogOptions: cri.LogOptions{Follow: true, Tail: -1}, Stdout: &bytes.Buffer{}, Ended: make(chan struct{})}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Read(t.Context(), e.path, Options{LogOptions: all(), Stdout: full{}}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
