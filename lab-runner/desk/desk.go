// Package desk is a learner's labs as a protocol: a JSON object a line on standard input and output, for a class whose page
// shows them. `lab desk` runs it in the learner's workbench, with the learner's own account: it evaluates the checks of one
// lab at a time, reports what changes, and does what the learner asks for.
//
// The first line is Opening, each further one a Request; each Request has one Answer, with its ID. Events come between
// them. A line has at most MaxLine bytes; one that is longer or no JSON ends the desk. What takes long (start, solve, reset,
// goto, next, back, stop) is done one at a time: until it has ended, another one is refused, while the rest is answered. The
// desk ends with its input or its context, and removes nothing. Who reads its output must bound and check it, as the
// workbench is in the learner's hands.
package desk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/session"
)

// MaxLine is the most bytes that a line may have, in both directions.
const MaxLine = 1 << 20

// Opening is the first line to a desk.
type Opening struct {
	Do       string            `json:"do"` // open
	Progress *session.Progress `json:"progress"`
	Labs     []string          `json:"labs"` // TRACK/NAME of those that are open; empty: all
}

// Request is a further line.
type Request struct {
	ID       int64  `json:"id"`
	Do       string `json:"do"`
	Lab      string `json:"lab,omitempty"`
	Step     *int   `json:"step,omitempty"` // from 0 on
	Question int    `json:"question,omitempty"`
	Answer   int    `json:"answer,omitempty"`
	Object   string `json:"object,omitempty"` // KIND/NAME for why; empty: the namespace
	Skip     bool   `json:"skip,omitempty"`
}

// Answer is what becomes of a Request.
type Answer struct {
	ID     int64  `json:"id"`
	OK     bool   `json:"ok"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Event is what happens without a request, and while one is carried out.
type Event struct {
	Event    string            `json:"event"` // view, map, progress, output
	View     *View             `json:"view,omitempty"`
	Map      *Map              `json:"map,omitempty"`
	Progress *session.Progress `json:"progress,omitempty"`
	Text     string            `json:"text,omitempty"`
}

// Config is what a desk needs.
type Config struct {
	Labs    []*catalog.Lab
	Cluster *environment.Cluster
	Store   *session.Store
	Gives   []string // requirements of labs that are met; nil: those that a namespace of a class meets
	Home    string   // directory of the file .lab, which the workbench's shell follows; empty: there is none
	Program []string // as session.Config has it
}

// desk is one that runs.
type desk struct {
	cfg  Config
	open map[string]bool // labs; nil: all
	out  *lines

	mu      sync.Mutex
	current *openLab
	busy    string // what is being done that takes long
	told    string // the last progress that was reported
}

// Run is the desk. It returns nil when its input ends or ctx is done.
func Run(ctx context.Context, cfg Config, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &desk{cfg: cfg, out: &lines{to: out, failed: cancel}}
	read, failed := make(chan []byte), make(chan error, 1)
	go func() { failed <- d.read(ctx, in, read) }()
	var work sync.WaitGroup
	defer func() {
		cancel()
		work.Wait()
		d.close()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	begun := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-tick.C: // the learner may type 'lab next' in the terminal
			if begun {
				d.tellProgress()
			}
		case line := <-read:
			var err error
			if begun {
				err = d.request(ctx, line, &work)
			} else {
				begun, err = true, d.begin(line)
			}
			if err != nil {
				return err
			}
		}
	}
}

// read passes lines on. It ends with the input: then the error is nil.
func (d *desk) read(ctx context.Context, in io.Reader, to chan<- []byte) error {
	all := bufio.NewScanner(in)
	all.Buffer(make([]byte, 0, 4096), MaxLine)
	for all.Scan() {
		select {
		case to <- append([]byte(nil), all.Bytes()...):
		case <-ctx.Done():
			return nil
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	return nil
}

// lines writes an object a line.
type lines struct {
	mu     sync.Mutex
	to     io.Writer
	failed func()
}

func (l *lines) write(v any) {
	text, err := json.Marshal(v)
	if err != nil || len(text) >= MaxLine {
		text, _ = json.Marshal(Event{Event: "output", Text: "[what there is to show is too large]\n"}) // strings are always encoded
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.to.Write(append(text, '\n')); err != nil {
		l.failed()
	}
}

// begin takes the first line. The progress that the workbench has itself is the newer one.
func (d *desk) begin(line []byte) error {
	var o Opening
	if err := json.Unmarshal(line, &o); err != nil || o.Do != "open" {
		return errors.New("the first line must be {\"do\":\"open\",...}")
	}
	if len(o.Labs) > 0 {
		d.open = map[string]bool{}
		for _, id := range o.Labs {
			d.open[id] = true
		}
	}
	if o.Progress != nil {
		err := d.cfg.Store.Update(func(p *session.Progress) {
			if len(p.Labs) == 0 && o.Progress.Version == p.Version {
				*p = *o.Progress
			}
		})
		if err != nil {
			return err
		}
	}
	d.tellProgress()
	return nil
}

// request carries out one request, or begins what takes long.
func (d *desk) request(ctx context.Context, line []byte, work *sync.WaitGroup) error {
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("a request that is no JSON: %w", err)
	}
	long := map[string]bool{"start": true, "solve": true, "reset": true, "goto": true, "next": true, "back": true, "stop": true, "check": true, "why": true}
	if !long[r.Do] {
		d.answer(ctx, r, func() {})
		return nil
	}
	d.mu.Lock()
	busy := d.busy
	if busy == "" {
		d.busy = r.Do
	}
	d.mu.Unlock()
	if busy != "" {
		d.out.write(Answer{ID: r.ID, Error: fmt.Sprintf("'%s' is still being done: wait until it has ended", busy)})
		return nil
	}
	work.Go(func() {
		d.answer(ctx, r, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.busy = ""
		})
	})
	return nil
}

// answer carries a request out. It calls done before who asked can know of it.
func (d *desk) answer(ctx context.Context, r Request, done func()) {
	result, err := d.do(ctx, r)
	done()
	d.tellProgress()
	if err != nil {
		d.out.write(Answer{ID: r.ID, Error: err.Error()})
		return
	}
	d.out.write(Answer{ID: r.ID, OK: true, Result: result})
}

// tellProgress reports the progress if it is another than the last one, and the view with it.
func (d *desk) tellProgress() {
	p, err := d.cfg.Store.Progress()
	if err != nil {
		return // the next request meets it
	}
	text, err := json.Marshal(p)
	d.mu.Lock()
	same := err != nil || string(text) == d.told
	if !same {
		d.told = string(text)
	}
	current := d.current
	d.mu.Unlock()
	if same {
		return
	}
	d.out.write(Event{Event: "progress", Progress: p})
	if current != nil {
		current.tell()
	}
}

func (d *desk) close() {
	d.mu.Lock()
	current := d.current
	d.current = nil
	d.mu.Unlock()
	if current != nil {
		current.close()
	}
}

// output reports what is printed while something is done. A write is at most a few kilobytes.
type output struct{ *desk }

func (o output) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 32<<10)
		o.out.write(Event{Event: "output", Text: string(rest[:n])})
		rest = rest[n:]
	}
	return len(b), nil
}
