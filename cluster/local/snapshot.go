package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store/etcd"
)

// A snapshot of a cluster is a directory below savedDir with
//
//	snapshot.json     Snapshot: written last, so that what lacks it is not whole
//	etcd.db           the objects
//	encryption.yaml   the keys of what is encrypted in etcd.db, if anything is
//	nodes/            the nodes' disks: the directories of volumes, host paths, static pods
//
// Not in it: what the containers have written outside of volumes, the content of volumes in
// memory, the containers' logs, images, and the authority's keys, which a restore leaves alone.

// The names in the directory of a cluster.
const (
	savedDir     = "saved"
	manifestFile = "snapshot.json"
	databaseFile = "etcd.db"
	keysFile     = "encryption.yaml"
	nodesDir     = "nodes"
)

var snapshotSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// SnapshotName reports whether text can be the name of a snapshot of a cluster.
func SnapshotName(text string) bool { return snapshotSyntax.MatchString(text) }

// Snapshot describes a snapshot of a whole cluster.
type Snapshot struct {
	Name    string    `json:"name"`
	Cluster string    `json:"cluster"`
	Taken   time.Time `json:"taken"`
	Nodes   int       `json:"nodes"` // minions
	Subnets Subnets   `json:"subnets"`
	Bytes   int64     `json:"bytes"`         // of its files
	Stopped float64   `json:"stoppedFor"`    // seconds for which the containers were stopped
	Path    string    `json:"path,omitzero"` // of its directory; not in the file
}

// Snapshots lists the snapshots of a cluster, the newest first. What is not whole is left out.
func Snapshots(cfg Config) (list []Snapshot, err error) {
	cfg, _, err = existing(cfg)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(cfg.dir(), savedDir, "*", manifestFile))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range found {
		if !SnapshotName(filepath.Base(filepath.Dir(path))) {
			continue // one that is being written or removed
		}
		s, err := readSnapshot(filepath.Dir(path))
		errs = append(errs, err)
		if err == nil {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Snapshot) int { return b.Taken.Compare(a.Taken) })
	return list, errors.Join(errs...)
}

func readSnapshot(dir string) (s Snapshot, err error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	s.Path = dir
	return s, nil
}

// findSnapshot returns the snapshot of a name, or an error that lists those there are.
func findSnapshot(cfg Config, name string) (Snapshot, error) {
	s, err := readSnapshot(filepath.Join(cfg.dir(), savedDir, name))
	if !SnapshotName(name) || errors.Is(err, fs.ErrNotExist) {
		list, _ := Snapshots(cfg)
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		have := "it has none"
		if len(names) > 0 {
			have = "it has " + strings.Join(names, ", ")
		}
		return s, fmt.Errorf("cluster %s has no snapshot %q: %s", cfg.Name, name, have)
	}
	return s, err
}

// Save takes a snapshot of a cluster whose server runs. The containers are stopped while the
// nodes' disks are copied, all in the same moment, and continue then, also if this process is
// killed. A snapshot of the same name is an error, unless replace is given: then that one stays
// until the new one is whole.
func Save(ctx context.Context, cfg Config, name string, replace bool, out io.Writer) (s Snapshot, err error) {
	if !SnapshotName(name) {
		return s, fmt.Errorf("snapshot name %q: want at most 63 lower case letters, digits and dashes", name)
	}
	cfg, rec, unlock, err := exclusively(ctx, cfg, "snapshot save", out)
	if err != nil {
		return s, err
	}
	defer unlock()
	final := filepath.Join(cfg.dir(), savedDir, name)
	if _, err := os.Lstat(final); err == nil && !replace {
		return s, fmt.Errorf("cluster %s has a snapshot %s already: give --replace, another name, or remove it with `wheelhouse snapshot delete %s`", cfg.Name, name, name)
	}
	part := filepath.Join(cfg.dir(), savedDir, ".part")
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(filepath.Join(part, nodesDir), 0o700)); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	s = Snapshot{Name: name, Cluster: cfg.Name, Taken: time.Now().UTC().Truncate(time.Millisecond), Nodes: rec.Nodes, Subnets: rec.Subnets}
	if err := saveFiles(ctx, cfg, part); err != nil {
		return s, err
	}
	s.Stopped = time.Since(s.Taken).Seconds()
	if s.Bytes, err = sizeOf(part); err != nil {
		return s, err
	}
	if err := errors.Join(writeJSON(filepath.Join(part, manifestFile), s), syncDisk(part)); err != nil {
		return s, err
	}
	s.Path = final
	return s, replaceDir(part, final)
}

// saveFiles writes the files of a snapshot while neither containers nor kubelets run.
func saveFiles(ctx context.Context, cfg Config, into string) (err error) {
	resume, err := freeze(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resume()) }()
	keys := filepath.Join(cfg.dir(), "pki", keysFile)
	before, err := readIfAny(keys)
	if err != nil {
		return err
	}
	if err := saveDatabase(ctx, cfg, filepath.Join(into, databaseFile)); err != nil {
		return err
	}
	after, err := readIfAny(keys)
	if err != nil {
		return err
	}
	if string(before) != string(after) {
		return errors.New("the keys of encrypted objects have changed meanwhile: save again when `wheelhouse secrets rotate-key` is done")
	}
	if before != nil {
		if err := os.WriteFile(filepath.Join(into, keysFile), before, 0o600); err != nil {
			return err
		}
	}
	from := filepath.Join(cfg.dir(), nodesDir)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil // the control plane alone
	}
	return copyTree(ctx, from, filepath.Join(into, nodesDir))
}

func saveDatabase(ctx context.Context, cfg Config, path string) error {
	rc, err := client.FromKubeconfig(KubeconfigPath(cfg.Name, cfg.StateDir))
	if err != nil {
		return err
	}
	cs, err := kubernetes.NewForConfig(rc) // the database has any size
	if err != nil {
		return err
	}
	from, err := cs.RESTClient().Get().AbsPath(etcd.AdminPath + "snapshot").Stream(ctx)
	if err != nil {
		return fmt.Errorf("the server of cluster %s must run, which `wheelhouse up` brings about: %w", cfg.Name, err)
	}
	defer from.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// DeleteSnapshot removes a snapshot.
func DeleteSnapshot(ctx context.Context, cfg Config, name string, out io.Writer) error {
	cfg, _, unlock, err := exclusively(ctx, cfg, "snapshot delete", out)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := findSnapshot(cfg, name)
	if err != nil {
		return err
	}
	old := filepath.Join(cfg.dir(), savedDir, ".old")
	return errors.Join(os.RemoveAll(old), os.Rename(s.Path, old), os.RemoveAll(old))
}

// exclusively locks an existing cluster, and finishes what a killed process has begun there.
func exclusively(ctx context.Context, cfg Config, what string, out io.Writer) (Config, record, func(), error) {
	if os.Geteuid() != 0 {
		return cfg, record{}, nil, fmt.Errorf("%s reads and writes the disks of nodes and needs root: run it with sudo", what)
	}
	cfg, rec, err := existing(cfg)
	if err != nil {
		return cfg, rec, nil, err
	}
	unlock, err := lock(ctx, cfg.dir(), out)
	if err != nil {
		return cfg, rec, nil, err
	}
	if err := settle(ctx, cfg, out); err != nil {
		unlock()
		return cfg, rec, nil, err
	}
	return cfg, rec, unlock, nil
}

// replaceDir puts a directory in the place of another, or where nothing is, in one step.
func replaceDir(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	}
	return errors.Join(err, syncDir(filepath.Dir(to)))
}

func readIfAny(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func sizeOf(dir string) (n int64, err error) {
	return n, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
}
