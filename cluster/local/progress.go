package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress prints what a step of Up waits for, each time an interval has passed, until the step
// is done. Its methods may be called concurrently.
type progress struct {
	out   io.Writer
	every time.Duration

	mu   sync.Mutex
	seen string
}

// saw records what a step waits for.
func (p *progress) saw(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = strings.Join(strings.Fields(what), " ")
}

// last returns what a step waits for, "" if it has not been recorded.
func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// step runs one step, with a line on its state in each interval.
func (p *progress) step(ctx context.Context, name string, limit time.Duration, do func(context.Context) (string, error)) (done string, err error) {
	began := time.Now()
	p.saw("")
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		done, err = do(ctx)
	}()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%w (after %s; --timeout gives a slower machine more)", err, limit)
			}
			return done, err
		case <-tick.C:
			if seen := p.last(); seen != "" {
				fmt.Fprintf(p.out, "  %-8s waits for %.0f s of %.0f s: %s\n", name, time.Since(began).Seconds(), limit.Seconds(), seen)
			}
		}
	}
}

// poll calls look until it returns nil; when ctx is done it returns look's last error, not that
// of a look that ctx has ended. What look returns is what the step waits for.
func (p *progress) poll(ctx context.Context, look func() error) error {
	var last error
	for {
		err := look()
		var final permanentError
		if err == nil || errors.As(err, &final) {
			return err
		}
		if last != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = last
		}
		last = err
		p.saw(err.Error())
		select {
		case <-ctx.Done():
			return fmt.Errorf("timed out: %w", err)
		case <-time.After(pollEvery):
		}
	}
}

// permanentError ends a poll.
type permanentError struct{ error }
