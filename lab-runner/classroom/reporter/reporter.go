package reporter

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"wheelhouse/lab-runner/session"
)

const (
	settle   = 300 * time.Millisecond // after a change, for those that come with it
	pace     = time.Second            // at least, between two requests
	sendTime = 5 * time.Second        // of a request
	retry    = 5 * time.Second        // after a request that has failed; doubled
	retryMax = time.Minute
)

// report is what the class receives.
type report struct {
	Lab       string `json:"lab"`
	Step      int    `json:"step"` // index
	StepTitle string `json:"stepTitle"`
	Steps     int    `json:"steps"`
	Checks    struct {
		Done int `json:"done"`
		Todo int `json:"todo"`
		Lost int `json:"lost"`
	} `json:"checks"`
	Red      string    `json:"red,omitempty"` // a check that was lost, or is not met though something was tried
	RedSince time.Time `json:"redSince,omitzero"`
	Cause    string    `json:"cause,omitempty"` // the newest event about it, else what the lab wants; never what was printed
}

// reportOf reduces a view.
func reportOf(v session.View) report {
	r := report{Lab: line(v.Lab, 100), Step: v.Step, Steps: len(v.Steps)}
	if v.Step >= 0 && v.Step < len(v.Steps) {
		r.StepTitle = line(v.Steps[v.Step].Title, 100)
	}
	for _, c := range v.Checks {
		switch c.State {
		case session.Done:
			r.Checks.Done++
			continue
		case session.Lost:
			r.Checks.Lost++
		default:
			if r.Checks.Todo++; c.Reason == nil {
				continue
			}
		}
		if r.Red != "" {
			continue
		}
		r.Red, r.RedSince = line(c.Name, 150), c.Lost
		if c.Reason != nil {
			if r.Cause = line(c.Reason.Event, 150); r.Cause == "" && c.Reason.Wanted != "" {
				r.Cause = line("wanted: "+c.Reason.Wanted, 150)
			}
		}
	}
	return r
}

// Reporter sends what is noted, in the background: the newest state alone, and at most one request a second. A class that
// cannot be reached is tried again later. Its methods are safe for concurrent use, and for nil: there is no class.
type Reporter struct {
	class *Class
	path  string
	to    *client

	ctx     context.Context
	cancel  context.CancelFunc
	noted   chan struct{} // something is pending
	closing chan struct{}
	ended   chan struct{} // the background is done; it is closed by run

	mu      sync.Mutex
	running bool
	closed  bool
	pending *report
	red     string // the check that was red in the report before, and since when
	since   time.Time
	err     error // of the last request
}

// Open returns the reporter of the class in the file, nil if there is none.
func Open(path string) (*Reporter, error) {
	class, err := Load(path)
	if class == nil {
		return nil, err
	}
	to, err := class.client()
	if err != nil {
		return nil, err
	}
	r := &Reporter{class: class, path: path, to: to, noted: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background()) // Close ends it
	return r, nil
}

// Note takes what is to be reported, and does not wait.
func (r *Reporter) Note(v session.View) {
	if r == nil {
		return
	}
	next := reportOf(v)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || errors.Is(r.err, ErrEnded) {
		return
	}
	if next.Red != r.red {
		r.red, r.since = next.Red, time.Now()
	}
	if next.Red != "" && next.RedSince.IsZero() {
		next.RedSince = r.since
	}
	r.pending = &next
	if !r.running {
		r.running = true
		go r.run()
	}
	select {
	case r.noted <- struct{}{}:
	default: // it is known already
	}
}

// run sends what is pending until Close.
func (r *Reporter) run() {
	defer close(r.ended)
	again := time.Duration(0) // 0: the last request was answered
	for {
		if again > 0 {
			select { // a class that does not answer delays nobody's end
			case <-r.closing:
				return
			case <-time.After(again):
			}
		} else {
			select {
			case <-r.noted:
				r.wait(settle)
			case <-r.closing:
			}
		}
		next := r.take()
		if next == nil {
			select {
			case <-r.closing:
				return
			default:
				continue
			}
		}
		began := time.Now()
		err := r.send(*next)
		switch {
		case errors.Is(err, ErrEnded):
			return
		case err == nil:
			again = 0
		default:
			r.putBack(next)
			again = min(max(retry, 2*again), retryMax)
			continue
		}
		select {
		case <-time.After(time.Until(began.Add(pace))):
		case <-r.ctx.Done():
			return
		case <-r.idle():
			return
		}
	}
}

// wait waits, but not when the end has come.
func (r *Reporter) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.closing:
	}
}

// idle is closing if nothing is pending, else nil: what is pending is sent before the end.
func (r *Reporter) idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		return r.closing
	}
	return nil
}

func (r *Reporter) take() *report {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.pending
	r.pending = nil
	return next
}

// putBack keeps a report for later, unless there is a newer one.
func (r *Reporter) putBack(old *report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = old
	}
}

func (r *Reporter) send(what report) error {
	ctx, cancel := context.WithTimeout(r.ctx, sendTime)
	defer cancel()
	err := r.to.post(ctx, "api/report", what, &struct{}{})
	if errors.Is(err, ErrEnded) {
		if now, loadErr := Load(r.path); loadErr == nil && now != nil && now.Token == r.class.Token { // else another was joined meanwhile
			_ = os.Remove(r.path) // what stays is refused again, and removed then
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	return err
}

// Close waits at most so long for what is pending, and returns why the last report did not arrive, nil if it did.
func (r *Reporter) Close(most time.Duration) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	running, first := r.running, !r.closed
	r.closed = true
	r.mu.Unlock()
	if first {
		close(r.closing)
	}
	if running {
		select {
		case <-r.ended:
		case <-time.After(most):
		}
		r.cancel()
		<-r.ended
	}
	r.cancel()
	r.to.http.CloseIdleConnections()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
