package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/classroom/workbench"
)

// A desk that writes without end is read no faster than its rate.
func TestLinesOfADesk(t *testing.T) {
	for name, k := range map[string]*keeper{
		"lines": {lines: rate.NewLimiter(rate.Every(time.Hour), 20), bytes: rate.NewLimiter(rate.Inf, 0)},
		"bytes": {lines: rate.NewLimiter(rate.Inf, 0), bytes: rate.NewLimiter(rate.Every(time.Hour), 20*len(`{"event":"output","text":"x"}`))},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		go func() {
			var err error
			for err == nil {
				_, err = io.WriteString(w, `{"event":"output","text":"x"}`+"\n")
			}
		}()
		ended := make(chan error, 1)
		go func() { ended <- k.readAll(ctx, r) }()
		wrote := func() uint64 {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.wrote
		}
		wait.For(t, "what its rate allows at once", func() error { return wait.Seen(wrote() == 20, wrote()) })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || wrote() != 20 {
			t.Errorf("%s: %d were taken: %v", name, wrote(), err)
		}
		_ = r.Close()
	}
}

// A learner without a place reads why, also in the terminal; what else is wrong is not shown.
func TestWhyAWorkbenchIsLost(t *testing.T) {
	why := fmt.Errorf("the cluster: %w", workbench.Refusal("this machine is full"))
	if got := whyLost(why, "it is tried again"); got != "this machine is full" {
		t.Error(got)
	}
	if got := whyLost(io.EOF, "it is tried again"); got != "it is tried again" {
		t.Error(got)
	}
}

// What a learner's workbench says fills no log.
func TestWarningsAreFew(t *testing.T) {
	var log bytes.Buffer
	k := &keeper{s: &Server{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}}
	for range 100 {
		k.warn("a desk has ended", errors.New(strings.Repeat("\x1b[31mlong ", 1<<16)))
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || log.Len() > 600 {
		t.Errorf("%d lines, %d bytes", lines, log.Len())
	}
	k.warnedAt = time.Now().Add(-warned)
	if k.warn("again", io.EOF); !strings.Contains(log.String(), "again") {
		t.Error("nothing is logged later")
	}
}
