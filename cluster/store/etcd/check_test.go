package etcd_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/wait"
)

// written is a member's directory with 200 keys, and a snapshot of the first hundred.
func written(t *testing.T) etcd.Config {
	t.Helper()
	state := t.TempDir()
	cfg := etcd.Config{Dir: filepath.Join(state, "etcd"), Snapshots: filepath.Join(state, "snapshots"), Log: slog.Default()}
	m, err := etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	for i := range 200 {
		if i == 100 {
			if err := m.Save(t.Context(), filepath.Join(cfg.Snapshots, "etcd-20260102T030405Z.db")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Client().Put(t.Context(), fmt.Sprintf("/k%03d", i), strings.Repeat("v", 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func one(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %v: %v", pattern, err)
	}
	return found[0]
}

// edit changes the content of a file.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0x40; return b }
}

func keys(t *testing.T, m *etcd.Member) int64 {
	t.Helper()
	got, err := m.Client().Get(t.Context(), "/k", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return got.Count
}

// Damage is reported with the file and the remedy, and the remedy works.
func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		file   string              // below the state directory
		damage func([]byte) []byte // nil: it is removed
	}{
		"a flipped bit in the log": {"etcd/member/wal/*.wal", flip(500_000)},
		"a flipped length in the log": {"etcd/member/wal/*.wal", func(b []byte) []byte {
			at := bytes.Index(b[500_000:], []byte("/k")) + 500_000
			clear(b[at-120 : at-20]) // the frame's length is among these
			return b
		}},
		"a cut log":           {"etcd/member/wal/*.wal", func(b []byte) []byte { return b[:500_000] }},
		"no log":              {"etcd/member/wal", nil},
		"a cut database":      {"etcd/member/snap/db", func(b []byte) []byte { return b[:64<<10] }},
		"no database":         {"etcd/member/snap/db", nil},
		"a database of zeros": {"etcd/member/snap/db", func(b []byte) []byte { return make([]byte, len(b)) }},
		"pages of zeros":      {"etcd/member/snap/db", func(b []byte) []byte { clear(b[3*4096 : len(b)/2]); return b }},
		"no member":           {"etcd/member", nil},
		"no directory":        {"etcd", nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := written(t)
			state := filepath.Dir(cfg.Dir)
			path := one(t, state, c.file)
			if c.damage != nil {
				edit(t, path, c.damage)
			} else if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			_, err := etcd.Start(t.Context(), cfg)
			var d *etcd.DamageError
			if !errors.As(err, &d) {
				t.Fatalf("started with %v", err)
			}
			if !strings.HasPrefix(d.File, cfg.Dir) || !strings.HasPrefix(path, strings.TrimSuffix(d.File, "/member")) && d.File != path {
				t.Errorf("it names %s, and %s is damaged", d.File, path)
			}
			for _, want := range []string{"wheelhouse snapshot restore --state-dir " + state, "etcd-20260102T030405Z.db", "2026-01-02T03:04:05Z"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			list, err := etcd.Snapshots(cfg.Snapshots)
			if err != nil || len(list) != 1 {
				t.Fatalf("snapshots %v, %v", list, err)
			}
			if _, err := etcd.Restore(cfg.Dir, list[0].Path, slog.Default()); err != nil {
				t.Fatal(err)
			}
			m, err := etcd.Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			if n := keys(t, m); n != 100 {
				t.Errorf("%d keys were restored", n)
			}
			if s := m.Status(); s.Revision < 1_000_000_000 {
				t.Errorf("revision %d may have been seen", s.Revision)
			}
		})
	}
}

// A mark outside of the directory says that a member has been there: an empty directory is damage, not a first start.
func TestGoneWithItsSnapshots(t *testing.T) {
	state := t.TempDir()
	cfg := etcd.Config{Dir: filepath.Join(state, "etcd"), Mark: filepath.Join(state, "mark"), Log: slog.Default()}
	m, err := etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Stop()
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nor at the second start
		_, err := etcd.Start(t.Context(), cfg)
		var d *etcd.DamageError
		if !errors.As(err, &d) {
			t.Fatalf("started with %v", err)
		}
		for _, want := range []string{cfg.Mark + " says so", "since 20", "wheelhouse snapshot restore FILE", "moving " + cfg.Dir + " and " + cfg.Mark + " away"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
	}
	if err := errors.Join(os.RemoveAll(cfg.Dir), os.Remove(cfg.Mark)); err != nil {
		t.Fatal(err)
	}
	if m, err = etcd.Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	m.Stop()
}

// A record that was not written to its end was not acknowledged: it is no damage.
func TestTornRecord(t *testing.T) {
	cfg := written(t)
	edit(t, one(t, cfg.Dir, "member/wal/*.wal"), func(b []byte) []byte {
		end := len(bytes.TrimRight(b, "\x00"))
		end += 8 - end%8
		copy(b[end:], []byte{0, 0x10, 0, 0, 0, 0, 0, 0, 1, 2, 3}) // a length of 4 KiB, and little of them
		return b
	})
	m, err := etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if n := keys(t, m); n != 200 {
		t.Errorf("%d keys are there", n)
	}
}

// A server keeps a snapshot an hour, the newest few of them.
func TestSnapshotsAreKept(t *testing.T) {
	dir := t.TempDir()
	for i := range 7 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("etcd-20260102T0%d0405Z.db", i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := written(t)
	cfg.Snapshots = dir
	start(t, cfg, 0)
	wait.For(t, "a snapshot, and the old ones removed", func() error {
		list, err := etcd.Snapshots(dir)
		return wait.Seen(err == nil && len(list) == etcd.SnapshotsKept && list[0].Size > 1<<10 && strings.Contains(list[1].Path, "T060405Z"), list, err)
	})
}
