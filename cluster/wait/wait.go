// Package wait is how tests wait for what other goroutines or processes bring about.
// It polls, since what is waited for has no channel: fast at first, then less often, so
// that a test of minutes costs no processor time. A wait that fails reports what was
// wanted and what was last seen. Only tests and their helpers may import it.
package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Limit is the time for what should happen at once, on a slow and busy machine.
const Limit = time.Minute

// For polls look until it returns nil, and fails the test with its last error after Limit.
// look runs on the test's goroutine and may itself fail the test.
func For(t testing.TB, wanted string, look func() error) {
	t.Helper()
	Within(t, Limit, wanted, look)
}

// Within is For with a limit of its own.
func Within(t testing.TB, limit time.Duration, wanted string, look func() error) {
	t.Helper()
	if err := Until(context.Background(), limit, wanted, look); err != nil {
		t.Fatal(err)
	}
}

// Until polls look until it returns nil. After the limit, or when ctx ends, it returns an
// error that wraps the last one of look.
func Until(ctx context.Context, limit time.Duration, wanted string, look func() error) error {
	for began := time.Now(); ; {
		err := look()
		passed := time.Since(began)
		if err == nil {
			return nil
		}
		if passed > limit || ctx.Err() != nil {
			return fmt.Errorf("wanted %s; last seen after %v: %w", wanted, passed.Round(time.Millisecond), err)
		}
		pause := time.NewTimer(min(max(passed/20, time.Millisecond), 100*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// Seen returns nil if what is waited for holds, and otherwise an error that prints what
// is there instead.
func Seen(holds bool, seen ...any) error {
	if holds {
		return nil
	}
	return errors.New(fmt.Sprint(seen...))
}
