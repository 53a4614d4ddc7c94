package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/session"
	"wheelhouse/lab-runner/why"
)

// openLab is the lab that is worked on: the only one, as all labs of a learner share one namespace.
type openLab struct {
	*session.Session
	d    *desk
	end  context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex
	last string // the view that was reported last
}

// Entry is a lab in the answer to labs.
type Entry struct {
	Lab       string   `json:"lab"`
	Title     string   `json:"title"`
	About     string   `json:"about"`
	Minutes   int      `json:"minutes"`
	Track     string   `json:"track"`
	Steps     []string `json:"steps"`
	StepsDone int      `json:"stepsDone"`
	Open      bool     `json:"open"`
	Here      bool     `json:"here"`
	Why       string   `json:"why"` // why it is not done here, and where it is
}

// do carries a request out, and returns the result of its answer.
func (d *desk) do(ctx context.Context, r Request) (any, error) {
	switch r.Do {
	case "labs":
		return d.labs()
	case "start":
		return d.start(ctx, r.Lab)
	}
	d.mu.Lock()
	l := d.current
	d.mu.Unlock()
	if l == nil || r.Lab != "" && r.Lab != l.Lab().ID() {
		return nil, errors.New("this lab is not started: start it first")
	}
	if err := l.act(ctx, r, output{d}); err != nil {
		return nil, err
	}
	switch r.Do {
	case "why":
		return d.explain(ctx, l.Lab().Namespace, r.Object)
	case "stop":
		d.close()
		return struct{}{}, l.Clean(ctx, output{d})
	}
	l.tell()
	return l.view()
}

func (d *desk) labs() ([]Entry, error) {
	p, err := d.cfg.Store.Progress()
	if err != nil {
		return nil, err
	}
	out := []Entry{}
	for _, lab := range d.cfg.Labs {
		e := Entry{Lab: lab.ID(), Title: lab.Title, About: lab.About, Minutes: lab.Minutes, Track: lab.Track, Open: d.open == nil || d.open[lab.ID()]}
		for i := range lab.Steps {
			e.Steps = append(e.Steps, lab.Steps[i].Title)
		}
		e.StepsDone, _ = p.StepsDone(lab)
		e.Why = lab.Elsewhere(d.cfg.Gives)
		e.Here = e.Why == ""
		out = append(out, e)
	}
	return out, nil
}

// start opens a lab. What another one has in the namespace is removed before, and a lab that was begun has the state of
// its step built again.
func (d *desk) start(ctx context.Context, id string) (any, error) {
	lab, _, err := catalog.Find(d.cfg.Labs, id)
	if err != nil {
		return nil, err
	}
	if d.open != nil && !d.open[lab.ID()] {
		return nil, fmt.Errorf("the lab %s is not open yet", lab.ID())
	}
	if text := lab.Elsewhere(d.cfg.Gives); text != "" {
		return nil, errors.New(text)
	}
	holds, err := d.cfg.Cluster.Holds(ctx)
	if err != nil {
		return nil, err
	}
	there := holds == lab.Key()
	if d.cfg.Cluster.Only() == "" {
		if there, err = d.cfg.Cluster.Has(ctx, lab); err != nil {
			return nil, err
		}
	}
	d.close()
	if holds != "" && holds != lab.Key() {
		if err := d.clean(ctx, holds); err != nil {
			return nil, err
		}
	}
	s, err := d.session(lab)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx, output{d}); err != nil {
		s.Close()
		return nil, err
	}
	n, _, err := s.Step()
	if err == nil && n > 0 && !there {
		err = s.Goto(ctx, n, output{d})
	}
	if err == nil {
		err = d.follow(ctx, s)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	l := &openLab{Session: s, d: d}
	l.begin(ctx)
	d.mu.Lock()
	d.current = l
	d.mu.Unlock()
	l.tell()
	return l.view()
}

func (d *desk) session(lab *catalog.Lab) (*session.Session, error) {
	return session.Open(session.Config{Lab: lab, Cluster: d.cfg.Cluster, Store: d.cfg.Store, Program: d.cfg.Program})
}

// clean removes what a lab has in the namespace.
func (d *desk) clean(ctx context.Context, key string) error {
	for _, lab := range d.cfg.Labs {
		if lab.Key() != key {
			continue
		}
		s, err := d.session(lab)
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.Prepare(ctx); err != nil {
			return err
		}
		return s.Clean(ctx, output{d})
	}
	return fmt.Errorf("the namespace holds the lab %s, which is not here: 'lab stop' removes it", key)
}

// follow names the file that the workbench's shell reads before its next command.
func (d *desk) follow(ctx context.Context, s *session.Session) error {
	if d.cfg.Home == "" {
		return nil
	}
	rc, err := s.ShellFile(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.cfg.Home, ".lab"), []byte(rc+"\n"), 0o600)
}

// begin evaluates the checks from now on.
func (l *openLab) begin(ctx context.Context) {
	ctx, l.end = context.WithCancel(ctx)
	maps := newMaps()
	l.done.Go(func() {
		for ctx.Err() == nil {
			err := l.Watch(ctx, func(session.View) { l.d.tellProgress(); l.tell() }, maps.add)
			if err == nil {
				return
			}
			select { // such as an API server that starts again
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	l.done.Go(func() { maps.report(ctx, func(m *Map) { l.d.out.write(Event{Event: "map", Map: m}) }) })
}

func (l *openLab) close() {
	l.end()
	l.done.Wait()
	l.Close()
}

// tell reports the view if it is another than the last one.
func (l *openLab) tell() {
	v, err := l.view()
	if err != nil {
		return // the next request meets it
	}
	text, err := json.Marshal(v)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != string(text) {
		l.last = string(text)
		l.d.out.write(Event{Event: "view", View: v})
	}
}

// act carries out what changes the lab.
func (l *openLab) act(ctx context.Context, r Request, out io.Writer) error {
	switch r.Do {
	case "view", "why", "stop":
		return nil
	case "check":
		_, err := l.Check(ctx, session.Look{Patience: time.Second, Asked: true})
		return err
	case "hint":
		_, ok, err := l.Hint()
		if err == nil && !ok {
			err = errors.New("there is no further hint")
		}
		return err
	case "answer":
		_, _, err := l.Answer(r.Question, r.Answer)
		return err
	case "next":
		if !r.Skip {
			if _, err := l.Check(ctx, session.Look{}); err != nil {
				return err
			}
		}
		var left *session.NotDoneError
		err := l.Next(ctx, r.Skip, out)
		switch {
		case errors.Is(err, io.EOF): // the view says that the lab is done
			return nil
		case errors.As(err, &left):
			return fmt.Errorf("still to do: %s", left.Left)
		}
		return err
	case "back":
		return l.Back()
	case "solve":
		v, err := l.View()
		if err == nil && r.Step != nil && *r.Step != v.Step { // whoever asks has permitted that step
			err = fmt.Errorf("the lab is at another step now, %d", v.Step+1)
		}
		if err != nil {
			return err
		}
		return l.Solve(ctx, out)
	case "reset":
		return l.Reset(ctx, out)
	case "goto":
		if r.Step == nil || *r.Step < 0 || *r.Step >= len(l.Lab().Steps) {
			return fmt.Errorf("there are the steps 0 to %d", len(l.Lab().Steps)-1)
		}
		return l.Goto(ctx, *r.Step, out)
	}
	return fmt.Errorf("a desk cannot do %q", r.Do)
}

// explain is the answer to why: the text as the command prints it, the explanations for programs, and the word for the
// first cause that is broken.
func (d *desk) explain(ctx context.Context, namespace, object string) (any, error) {
	cluster, err := why.New(d.cfg.Cluster.Config)
	if err != nil {
		return nil, err
	}
	all := []*why.Explanation{}
	var text bytes.Buffer
	if object == "" {
		facts, err := cluster.Snapshot(ctx, namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, cluster.SurveyDeep(ctx, facts)...)
		err = why.PrintSurvey(&text, namespace, all, why.Format{})
		if err != nil {
			return nil, err
		}
	} else {
		target, err := why.ParseTarget([]string{object})
		if err != nil {
			return nil, err
		}
		e, _, err := cluster.Ask(ctx, namespace, target)
		if err != nil {
			return nil, err
		}
		all = []*why.Explanation{e}
		if err := why.Print(&text, e, why.Format{}); err != nil {
			return nil, err
		}
	}
	cause := ""
	for _, e := range all {
		if e.State == why.Broken && cause == "" {
			cause = e.Last().Reason
		}
	}
	return map[string]any{"text": text.String(), "explanations": all[:min(len(all), 20)], "cause": cause}, nil
}
