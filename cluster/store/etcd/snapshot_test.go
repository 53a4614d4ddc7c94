package etcd_test

import (
	"log/slog"
	"testing"

	"wheelhouse/cluster/store/etcd"
)

// A snapshot can be restored as often as one likes: each time revisions go on beyond all that
// clients have seen.
func TestRestoreTwice(t *testing.T) {
	cfg := written(t)
	list, err := etcd.Snapshots(cfg.Snapshots)
	if err != nil || len(list) != 1 {
		t.Fatalf("snapshots %v, %v", list, err)
	}
	seen := int64(0)
	for range 3 {
		if _, err := etcd.Restore(cfg.Dir, list[0].Path, slog.Default()); err != nil {
			t.Fatal(err)
		}
		m, err := etcd.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if n := keys(t, m); n != 100 {
			t.Errorf("%d keys were restored", n)
		}
		if s := m.Status(); s.Revision <= seen {
			t.Errorf("revision %d, and clients have seen %d", s.Revision, seen)
		}
		put, err := m.Client().Put(t.Context(), "/later", "")
		m.Stop()
		if err != nil {
			t.Fatal(err)
		}
		seen = put.Header.Revision
	}
}
