package etcd

import "testing"

func (b *batch) isDue() bool {
	select {
	case <-b.due:
		return true
	default:
		return false
	}
}

// TestBatchIsDue: leases that are renewed make no batch, a burst of small writes and a few large ones do.
func TestBatchIsDue(t *testing.T) {
	lease := 1 << 10
	for _, c := range []struct {
		name          string
		writes, value int
		due           bool
	}{
		{"no write", 0, 0, false},
		{"leases of two nodes for half an hour", 2 * 6 * 30, lease, false},
		{"a burst", 1000, lease, true},
		{"a large object", 1, 1 << 20, false},
		{"large objects", 2, 1 << 20, true},
	} {
		b := newBatch()
		for range c.writes {
			b.add(c.value)
		}
		if due := b.isDue(); due != c.due {
			t.Errorf("%s: due %v, want %v", c.name, due, c.due)
		}
	}
}

// TestBatchOfRevisions: what other members write makes a batch, too.
func TestBatchOfRevisions(t *testing.T) {
	b := newBatch()
	b.rev.Store(1000)
	if b.at(1000 + batchRevisions - 1); b.isDue() {
		t.Error("a batch is due too early")
	}
	if b.at(1000 + batchRevisions); !b.isDue() {
		t.Error("no batch is due")
	}
}
