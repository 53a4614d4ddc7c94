package netfilter

import (
	"context"
	"log/slog"
	"time"
)

const (
	debounce   = 3 * time.Millisecond // changes rarely come alone
	checkEvery = 5 * time.Second      // between two looks for rules that another process has removed
)

// Rules are what a Keeper keeps in the kernel; an Applier is one.
type Rules interface {
	Holds() bool    // no other process has removed any; else the next synchronization writes them again
	Damage() string // what the last look found, for the log; may be empty
	Forget()        // the next synchronization writes all
}

// Changes notify a Keeper. Those that come while one is pending are one.
type Changes chan struct{}

// NewChanges returns Changes of which none is pending.
func NewChanges() Changes { return make(Changes, 1) }

// Notify adds a change; it does not wait.
func (c Changes) Notify() {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Keeper keeps the rules of one owner as they should be.
type Keeper struct {
	Name    string // of the rules, for the log: "service rules"
	Rules   Rules
	Changes Changes
	Sync    func(ctx context.Context) error // writes the rules for what is known when it is called
	Ready   chan<- struct{}                 // closed when the rules are in place for the first time

	// Repaired is called when rules are there again that another process had removed or changed; may be nil.
	Repaired func(what string)

	MaxPause time.Duration // between two synchronizations while changes keep coming
	Retry    time.Duration // after a failure
	Resync   time.Duration // between two complete writes
	Log      *slog.Logger

	removed bool // by another process, and not written since
}

// Run synchronizes at once, after changes and failures, when rules were removed, and every Resync, until ctx
// ends; it leaves the rules and returns the error of ctx.
func (k *Keeper) Run(ctx context.Context) error {
	checks, resyncs := time.NewTicker(checkEvery), time.NewTicker(k.Resync)
	defer checks.Stop()
	defer resyncs.Stop()
	for first := true; ; {
		wait := time.Duration(-1) // for the next event
		start := time.Now()
		select { // changes until now are in what Sync reads
		case <-k.Changes:
		default:
		}
		if err := k.Sync(ctx); err != nil {
			k.Log.Error("write "+k.Name, "err", err)
			wait = k.Retry
		} else {
			if first {
				close(k.Ready)
				first = false
			}
			if k.removed && k.Repaired != nil {
				k.Repaired(k.Name)
			}
			k.removed = false
		}
		if len(k.Changes) > 0 {
			// While changes keep coming, at most half of the time is spent on rules.
			sleep(ctx, min(time.Since(start), k.MaxPause))
		}
		if !k.await(ctx, wait, checks.C, resyncs.C) {
			return ctx.Err()
		}
	}
}

// await returns when there is something to do, false when ctx ended.
func (k *Keeper) await(ctx context.Context, wait time.Duration, checks, resyncs <-chan time.Time) bool {
	var again <-chan time.Time
	if wait >= 0 {
		again = time.After(wait)
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-again:
			return true
		case <-k.Changes:
			return sleep(ctx, debounce)
		case <-resyncs:
			k.Rules.Forget()
			return true
		case <-checks:
			if again == nil && !k.Rules.Holds() { // after a failure all are written in any case
				k.Log.Warn(k.Name+" were removed or changed by another process; writing them again", "damage", k.Rules.Damage())
				k.removed = true
				return true
			}
		}
	}
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
