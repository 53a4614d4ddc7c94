package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

const (
	// SnapshotEvery is how often Run takes a snapshot.
	SnapshotEvery = time.Hour
	// SnapshotsKept is how many stay.
	SnapshotsKept = 5
	// afterRestore is added to the revision of a snapshot: no client may take a new revision
	// for one that it has seen before, of what is lost.
	afterRestore = 1_000_000_000
)

// keepSnapshots takes a snapshot when the newest is older than SnapshotEvery, unless the
// disk has no room for it, and removes the oldest.
func (m *Member) keepSnapshots(ctx context.Context) error {
	if m.cfg.Snapshots == "" {
		return nil
	}
	list, err := Snapshots(m.cfg.Snapshots)
	if err != nil || len(list) > 0 && time.Since(list[0].Time) < SnapshotEvery {
		return err
	}
	if s := m.Status(); s.DiskFree < s.Size+2*s.Reserve {
		return fmt.Errorf("%s are free on the disk, too few for one of %s beside the reserve", size(s.DiskFree), size(s.Size))
	}
	if err := m.Save(ctx, filepath.Join(m.cfg.Snapshots, time.Now().UTC().Format(snapshotName))); err != nil {
		return err
	}
	for _, old := range list[min(len(list), SnapshotsKept-1):] {
		err = errors.Join(err, os.Remove(old.Path))
	}
	return err
}

// Save writes a snapshot to a file, which is whole or not there.
func (m *Member) Save(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = m.Snapshot(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, path)
}

// Snapshot writes the present state, with a checksum at its end.
func (m *Member) Snapshot(ctx context.Context, w io.Writer) error {
	return m.running(func() error {
		r, err := m.client.Snapshot(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
		return err
	})
}

// Restore makes the state of a snapshot that of a member which does not run. What was there
// is renamed; its new name is returned, "" if there was nothing. Every revision is larger
// after that than any before, so that clients begin again.
func Restore(dir, path string, log *slog.Logger) (former string, err error) {
	restored := filepath.Join(dir, "restored")
	if err := os.RemoveAll(restored); err != nil {
		return "", err
	}
	if err := Prepare(dir, path, restored, log); err != nil {
		return "", err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(restored))
	}
	defer unlock()
	member := filepath.Join(dir, "member")
	if exists(member) {
		former = member + ".before-" + strings.TrimSuffix(strings.TrimPrefix(time.Now().UTC().Format(snapshotName), "etcd-"), ".db")
		for n, first := 2, former; exists(former); n++ { // the second restore in a second
			former = fmt.Sprintf("%s-%d", first, n)
		}
		if err := os.Rename(member, former); err != nil {
			return "", err
		}
	}
	if err := os.Rename(filepath.Join(restored, "member"), member); err != nil {
		return former, err
	}
	return former, os.RemoveAll(restored)
}

// Prepare writes the files of a member with the state of a snapshot to into, which does not
// exist yet: into/member is to take the place of dir/member, and must do so before the member of
// dir runs again. Its revisions are larger than those of both.
func Prepare(dir, path, into string, log *slog.Logger) error {
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	err = snapshot.NewV3(zapTo(log, nil)).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, Name: memberName, OutputDataDir: into, PeerURLs: []string{peerURL},
		InitialCluster: memberName + "=" + peerURL, InitialClusterToken: memberName,
		RevisionBump: bump(path, filepath.Join(dir, "member", "snap", "db")), MarkCompacted: true,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("restoring %s: %w", path, err), os.RemoveAll(into))
	}
	return nil
}

// bump is what is added to the revision of a snapshot so that it is beyond all that clients have
// seen: the database that it replaces may itself come from a snapshot, even from the same. Where
// that cannot be read, the clock gives a number that grows faster than revisions.
func bump(snapshot, replaced string) uint64 {
	if !exists(replaced) {
		return afterRestore
	}
	from, err1 := lastRevision(snapshot)
	seen, err2 := lastRevision(replaced)
	if err1 != nil || err2 != nil {
		return uint64(max(afterRestore, time.Now().UnixMilli()))
	}
	return uint64(afterRestore + max(0, seen-from))
}

// lastRevision is that of the last change which a database file has.
func lastRevision(path string) (revision int64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil { // bbolt panics about pages that make no sense
			err = fmt.Errorf("%s: %v", path, p)
		}
	}()
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // nothing was written
	return revision, db.View(func(tx *bolt.Tx) error {
		keys := tx.Bucket([]byte("key"))
		if keys == nil {
			return fmt.Errorf("%s has no bucket of keys", path)
		}
		if last, _ := keys.Cursor().Last(); len(last) >= 8 {
			revision = int64(binary.BigEndian.Uint64(last))
		}
		return nil
	})
}
