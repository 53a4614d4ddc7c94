package store

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// compactEvery is how long etcd keeps a revision at least, as upstream.
	compactEvery = 5 * time.Minute
	// roundBytes is how much history is not worth a round.
	roundBytes = 256 << 10
	// compactKey is where API servers agree on who compacts, as upstream: its version
	// counts the rounds, its value is the revision up to which the next round may compact.
	compactKey = "compact_rev_key"
)

// compact removes revisions older than one to two rounds from etcd. A round is due after
// compactEvery, unless less than roundBytes were written, or when HistoryBytes were.
func (s *source) compact(ctx context.Context) error {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	var round, rev int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !s.rounds.worthwhile() {
				continue
			}
		case <-s.rounds.due:
		}
		var err error
		if round, rev, err = s.compactRound(ctx, round, rev); err != nil && ctx.Err() == nil {
			s.Log.Warn("compacting etcd", "err", err)
		}
	}
}

// compactRound compacts etcd up to rev, if no other server has begun a round since
// ours. It returns the round and the revision for the next time.
func (s *source) compactRound(ctx context.Context, round, rev int64) (int64, int64, error) {
	now, err := s.askRevision(ctx)
	if err != nil {
		return round, rev, err
	}
	resp, err := s.Client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(compactKey), "=", round)).
		Then(clientv3.OpPut(compactKey, strconv.FormatInt(now, 10))).
		Else(clientv3.OpGet(compactKey)).Commit()
	if errors.Is(err, rpctypes.ErrNoSpace) {
		// The history is what takes the space. Other servers are not notified: their reads of it fail.
		return round, now, s.compactTo(ctx, cmp.Or(rev, now))
	}
	if err != nil {
		return round, rev, err
	}
	if !resp.Succeeded {
		if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
			return kvs[0].Version, now, nil
		}
		return 0, now, nil
	}
	if rev > 0 {
		err = s.compactTo(ctx, rev)
	}
	return round + 1, now, err
}

func (s *source) compactTo(ctx context.Context, rev int64) error {
	if _, err := s.Client.Compact(ctx, rev); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	return nil
}
