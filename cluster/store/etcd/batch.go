package etcd

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// batchBytes is how much is written before the database is; until then it is in memory, and in the log,
	// which a start reads again.
	batchBytes = 2 << 20
	// batchWrite is what a write counts for beside its value.
	batchWrite = 4 << 10
	// batchRevisions is the same for what other members write, of which the size is not known here.
	batchRevisions = 256
	// batchEvery is the shortest time between two batches.
	batchEvery = time.Second
)

// batch is what has been written to the log and not yet to the database.
type batch struct {
	bytes atomic.Int64
	rev   atomic.Int64 // of the last batch
	due   chan struct{}
	stop  context.CancelFunc // of runBatches, once it runs
	ended chan struct{}      // closed at its end
}

func newBatch() batch {
	return batch{due: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (b *batch) add(value int) {
	if b.bytes.Add(int64(value+batchWrite)) >= batchBytes {
		b.request()
	}
}

// at notes the newest revision.
func (b *batch) at(rev int64) {
	if rev >= b.rev.Load()+batchRevisions {
		b.request()
	}
}

func (b *batch) request() {
	select {
	case b.due <- struct{}{}:
	default:
	}
}

// runBatches writes the database when enough has been written, until ctx ends. etcd itself does so after
// BackendBatchInterval. The first batch has what a start writes: etcd looks there for the version of its schema.
func (m *Member) runBatches(ctx context.Context) {
	defer close(m.batch.ended)
	for {
		m.batch.bytes.Store(0)
		m.batch.rev.Store(m.server.KV().Rev())
		if m.running(func() error { m.server.Backend().ForceCommit(); return nil }) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-m.server.StoppingNotify(): // it was removed from the cluster
			return
		case <-time.After(batchEvery):
		}
		select {
		case <-ctx.Done():
			return
		case <-m.server.StoppingNotify():
			return
		case <-m.batch.due:
		}
	}
}
