package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrRestart is the end of Run after etcd has given up, once there is room to start again.
var ErrRestart = errors.New("etcd has to start again")

// Run looks after the space until ctx ends: it removes history and unused pages before they
// fill the quota, ends the alarm of etcd when there is room, and decides what Room accepts.
func (m *Member) Run(ctx context.Context) error {
	m.look(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { m.runSnapshots(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.failed:
			return m.revive(ctx, tick.C)
		case <-m.server.StopNotify():
			return ErrRemoved
		case <-tick.C:
			m.look(ctx)
		}
	}
}

// reviveEvery is how long a member that has started again stays, before it does so once more: what is wrong with the
// disk may be where only etcd writes, and a process that serves reads is better than a loop.
const reviveEvery = 5 * time.Minute

// revive refuses writes until etcd can start again.
func (m *Member) revive(ctx context.Context, tick <-chan time.Time) error {
	m.cfg.releaseReserve()
	m.refuse(m.failure)
	m.notify(Notice{Short: true, Reason: "StorageFailed", Message: m.room.Load().err.Error()})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			if m.cfg.Restarted && time.Since(m.started) < reviveEvery {
				continue
			}
			if err := m.cfg.writable(); err != nil {
				m.refuse(errors.Join(m.failure, err))
				continue
			}
			return ErrRestart
		}
	}
}

// refuse refuses every write, with the reason and the remedy.
func (m *Member) refuse(reason error) {
	m.room.Store(&shortage{all: true, err: fmt.Errorf(
		"the cluster's database cannot be written: %w. Reads and watches go on. %s; the server then starts again on its own", reason, remedy(reason))})
}

// runSnapshots keeps snapshots until ctx ends.
func (m *Member) runSnapshots(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := m.keepSnapshots(ctx); err != nil {
			m.warn(ctx, "taking a snapshot of etcd", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
