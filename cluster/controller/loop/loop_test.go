package loop

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/wait"
)

func run(t *testing.T, period time.Duration, f func(ctx context.Context, key string) error) (*Loop[string], *records) {
	t.Helper()
	logged := &records{}
	l := New(Config[string]{Name: "test", Workers: 2, Reconcile: f, Log: slog.New(logged), Period: period})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l, logged
}

// records counts what is logged.
type records struct{ n atomic.Int32 }

func (*records) Enabled(context.Context, slog.Level) bool    { return true }
func (r *records) Handle(context.Context, slog.Record) error { r.n.Add(1); return nil }
func (r *records) WithAttrs([]slog.Attr) slog.Handler        { return r }
func (r *records) WithGroup(string) slog.Handler             { return r }

func TestErrorsComeBack(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "things"}, "x", errors.New("changed"))
	tests := []struct {
		name string
		fail func() error
		logs int32
	}{
		{"an error is logged once each time", func() error { return errors.New("no") }, 2},
		{"a conflict is silent", func() error { return conflict }, 0},
		{"a panic is an error", func() error { panic("bad object") }, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			l, logged := run(t, 0, func(context.Context, string) error {
				if calls.Add(1) <= 2 {
					return tt.fail()
				}
				return nil
			})
			l.Add("k")
			wait.For(t, "three calls", func() error { return wait.Seen(calls.Load() == 3, calls.Load()) })
			if n := logged.n.Load(); n != tt.logs {
				t.Errorf("%d lines logged, want %d", n, tt.logs)
			}
			if err := l.Healthy(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStormsBecomeFewCalls(t *testing.T) {
	var calls atomic.Int32
	l, _ := run(t, 100*time.Millisecond, func(context.Context, string) error { calls.Add(1); return nil })
	began := time.Now()
	l.AddSoon("k")
	wait.For(t, "the first call", func() error { return wait.Seen(calls.Load() == 1, calls.Load()) })
	for time.Since(began) < 300*time.Millisecond {
		l.AddSoon("k")
	}
	wait.For(t, "a call after the last change", func() error { return wait.Seen(calls.Load() >= 3, calls.Load()) })
	if n := calls.Load(); n > 10 {
		t.Errorf("%d calls in 300 ms", n)
	}
}

func TestUnhealthyBeforeRun(t *testing.T) {
	l := New(Config[string]{Name: "test", Reconcile: func(context.Context, string) error { return nil }})
	if l.Healthy() == nil {
		t.Error("a loop that does not run is not healthy")
	}
}
