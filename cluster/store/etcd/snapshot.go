package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	unlock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	restored := filepath.Join(dir, "restored")
	if err := os.RemoveAll(restored); err != nil {
		return "", err
	}
	err = snapshot.NewV3(zapTo(log, nil)).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, Name: memberName, OutputDataDir: restored, PeerURLs: []string{peerURL},
		InitialCluster: memberName + "=" + peerURL, InitialClusterToken: memberName,
		RevisionBump: afterRestore, MarkCompacted: true,
	})
	if err != nil {
		return "", errors.Join(fmt.Errorf("restoring %s: %w", path, err), os.RemoveAll(restored))
	}
	member := filepath.Join(dir, "member")
	if exists(member) {
		former = member + ".before-" + strings.TrimSuffix(strings.TrimPrefix(time.Now().UTC().Format(snapshotName), "etcd-"), ".db")
		if err := os.Rename(member, former); err != nil {
			return "", err
		}
	}
	if err := os.Rename(filepath.Join(restored, "member"), member); err != nil {
		return former, err
	}
	return former, os.RemoveAll(restored)
}
