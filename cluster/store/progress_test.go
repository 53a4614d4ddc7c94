package store

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestRoundsOfAnIdleCluster: renewed leases are not worth a round of compaction; what a round leaves to the
// next one is, and so is a deletion.
func TestRoundsOfAnIdleCluster(t *testing.T) {
	var r rounds
	r.due = make(chan struct{}, 1)
	rev := 0
	write := func(n, size int) {
		for range n {
			rev++
			r.wrote([]*mvccpb.Event{{Type: mvccpb.Event_PUT, Kv: &mvccpb.KeyValue{Key: []byte("/registry/k"), Value: make([]byte, size)}}}, 1<<30)
		}
	}
	round := func() {
		rev++
		r.note(fmt.Append(nil, rev))
	}
	expect := func(what string, want bool) {
		t.Helper()
		if got := r.worthwhile(); got != want {
			t.Errorf("after %s a round is worthwhile: %v, want %v", what, got, want)
		}
	}
	write(60, 1000)
	expect("five minutes of two leases", false)
	write(1, 1<<20)
	expect("an object", true)
	round()
	expect("the first round, which has removed nothing", true)
	round()
	expect("the second", false)
	r.wrote([]*mvccpb.Event{{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("/registry/k")}}}, 1<<30)
	expect("a deletion", true)
}
