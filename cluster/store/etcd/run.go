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

// revive refuses writes until there is room for etcd to start again.
func (m *Member) revive(ctx context.Context, tick <-chan time.Time) error {
	m.cfg.releaseReserve()
	m.room.Store(&shortage{all: true, err: fmt.Errorf(
		"the cluster's database cannot be written: %w. Reads and watches go on. %s; the server then starts again on its own", m.failure, diskRemedy)})
	m.notify(Notice{Short: true, Reason: "StorageFailed", Message: m.room.Load().err.Error()})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			if free(m.cfg.Dir) > m.cfg.DiskReserve+m.cfg.reserveSize() {
				return ErrRestart
			}
		}
	}
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
