package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wheelhouse/cluster/store/etcd"
)

// A restore can be interrupted at any point. What is restored is written beside what is there, into
// restoring/staged. The file restoring/commit decides: without it the cluster is as it was, with it
// settle puts what is staged in its place, as often as it takes.
const (
	restoringDir = "restoring"
	stagedDir    = "staged"
	formerDir    = "former" // what was there, in the same places
	commitFile   = "commit" // the name of the snapshot
	discardedDir = "discarded"
)

// restored are the parts that are replaced, below the cluster's directory.
var restored = []string{filepath.Join("etcd", "member"), filepath.Join("pki", keysFile), nodesDir}

// Restore returns a cluster to a snapshot: its objects and the nodes' disks. The processes that ran are
// started again, with the same arguments; all containers are replaced. It returns when the nodes are
// Ready. It prints to out what it does, and after an interruption the next command of the cluster
// says whether the old or the new state is there.
func Restore(ctx context.Context, cfg Config, name string, out io.Writer) error {
	began := time.Now()
	cfg, rec, unlock, err := exclusively(ctx, cfg, "snapshot restore", out)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := findSnapshot(cfg, name)
	if err != nil {
		return err
	}
	if s.Subnets != rec.Subnets {
		return fmt.Errorf("snapshot %s is of a cluster with other networks", name)
	}
	if s.Nodes != rec.Nodes {
		return fmt.Errorf("snapshot %s has %d minions, and the cluster %d: `wheelhouse up --nodes %d` first", name, s.Nodes, rec.Nodes, s.Nodes)
	}
	before, err := allRunning(cfg.dir())
	if err != nil {
		return err
	}
	if err := replace(ctx, cfg, s); err != nil {
		err = fmt.Errorf("restoring %s: %w", name, err)
		if _, missing := os.Lstat(filepath.Join(cfg.dir(), restoringDir, commitFile)); missing == nil {
			return fmt.Errorf("%w; `wheelhouse up` finishes it", err)
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(cfg.dir(), restoringDir)))
		return errors.Join(err, start(context.WithoutCancel(ctx), cfg, rec, before, out)) // as it was, also for who has interrupted this
	}
	fmt.Fprintf(out, "  %s of %s is in place\n", name, s.Taken.Local().Format(time.DateTime))
	if len(before) == 0 {
		fmt.Fprintln(out, "`wheelhouse up` starts the cluster")
		return nil
	}
	if err := start(ctx, cfg, rec, before, out); err != nil {
		return fmt.Errorf("%s is in place, and not everything runs: `wheelhouse up` starts what is missing: %w", name, err)
	}
	fmt.Fprintf(out, "Cluster %s is as it was at %s, in %.1f s\n", cfg.Name, s.Taken.Local().Format(time.DateTime), time.Since(began).Seconds())
	return nil
}

// replace puts the files of a snapshot in the place of those of the cluster, which is stopped then.
func replace(ctx context.Context, cfg Config, s Snapshot) error {
	if err := stage(ctx, cfg, s); err != nil {
		return err
	}
	if err := halt(ctx, cfg); err != nil {
		return err
	}
	into := filepath.Join(cfg.dir(), restoringDir, stagedDir, "etcd")
	if err := etcd.Prepare(filepath.Join(cfg.dir(), "etcd"), filepath.Join(s.Path, databaseFile), into, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := commit(cfg, s.Name); err != nil {
		return err
	}
	return swap(cfg)
}

// stage copies the disks and the keys of a snapshot, while the cluster still runs.
func stage(ctx context.Context, cfg Config, s Snapshot) error {
	staged := filepath.Join(cfg.dir(), restoringDir, stagedDir)
	if err := os.MkdirAll(filepath.Join(staged, "pki"), 0o700); err != nil {
		return err
	}
	keys, err := readIfAny(filepath.Join(s.Path, keysFile))
	if err == nil && keys != nil {
		err = os.WriteFile(filepath.Join(staged, "pki", keysFile), keys, 0o600)
	}
	if err != nil {
		return err
	}
	to := filepath.Join(staged, nodesDir)
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return copyTree(ctx, filepath.Join(s.Path, nodesDir), to)
}

// halt stops everything of a cluster that could write to what is replaced.
func halt(ctx context.Context, cfg Config) error {
	if err := errors.Join(thaw(cfg.Name), stopAll(ctx, cfg)); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.dir(), nodesDir)); err == nil {
		if err := removeContainers(ctx, cfg, ""); err != nil {
			return err
		}
	}
	return unmountBelow(cfg.dir())
}

// commit makes the restore one that settle finishes.
func commit(cfg Config, name string) error {
	dir := filepath.Join(cfg.dir(), restoringDir)
	if err := syncDisk(dir); err != nil {
		return err
	}
	part := filepath.Join(dir, commitFile+".tmp")
	if err := os.WriteFile(part, []byte(name), 0o600); err != nil {
		return err
	}
	return errors.Join(os.Rename(part, filepath.Join(dir, commitFile)), syncDisk(dir))
}

// swap puts what is staged in its place. It can be interrupted and called again.
func swap(cfg Config) error {
	dir := filepath.Join(cfg.dir(), restoringDir)
	for _, part := range restored {
		staged, place, former := filepath.Join(dir, stagedDir, part), filepath.Join(cfg.dir(), part), filepath.Join(dir, formerDir, part)
		if _, err := os.Lstat(staged); errors.Is(err, fs.ErrNotExist) {
			continue // it was not in the snapshot, or it is in its place
		} else if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(former), 0o700); err != nil {
			return err
		}
		if err := os.Rename(place, former); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(staged, place); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(place)); err != nil {
			return err
		}
	}
	discarded := filepath.Join(cfg.dir(), discardedDir)
	return errors.Join(os.RemoveAll(discarded), os.Rename(dir, discarded), os.RemoveAll(discarded))
}

// settle finishes or takes back what a killed process has begun: a restore, a save, a removal.
func settle(ctx context.Context, cfg Config, out io.Writer) error {
	if err := thaw(cfg.Name); err != nil {
		return err
	}
	saved := filepath.Join(cfg.dir(), savedDir)
	for _, dir := range []string{filepath.Join(saved, ".part"), filepath.Join(saved, ".old"), filepath.Join(cfg.dir(), discardedDir)} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	dir := filepath.Join(cfg.dir(), restoringDir)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name, err := readIfAny(filepath.Join(dir, commitFile))
	if err != nil {
		return err
	}
	if name == nil {
		fmt.Fprintln(out, "  a restore of a snapshot was interrupted before anything was replaced: the cluster is as it was before that")
		return os.RemoveAll(dir)
	}
	if err := halt(ctx, cfg); err != nil {
		return fmt.Errorf("finishing the restore of snapshot %s: %w", name, err)
	}
	if err := swap(cfg); err != nil {
		return fmt.Errorf("finishing the restore of snapshot %s: %w", name, err)
	}
	fmt.Fprintf(out, "  the restore of snapshot %s was interrupted, and is finished now: the cluster is as the snapshot\n", strings.TrimSpace(string(name)))
	return nil
}

// start starts processes that ran before, with the same arguments, and waits until the nodes
// among them are Ready.
func start(ctx context.Context, cfg Config, rec record, before []running, out io.Writer) error {
	u := &up{cfg: cfg, rec: rec, progress: &progress{out: out, every: cfg.Progress}}
	program, err := stamp(cfg.Binary)
	if err != nil {
		return err
	}
	var watch []startedProcess
	_, err = u.step(ctx, "start", cfg.Timeout, func(ctx context.Context) (string, error) {
		for _, role := range []string{"server", "node"} {
			for _, r := range before {
				if r.Role != role {
					continue
				}
				n, ok := rec.find(r.Node)
				if !ok {
					continue
				}
				began := time.Now()
				p, ended, err := ensure(ctx, cfg, daemon{ID: r.ID, Role: r.Role, Node: r.Node, Address: r.Address, Args: r.Args, ns: rec.nodeNS(n), program: program, sealed: rec.Sealed})
				if err == nil && role == "server" {
					err = u.waitServer(ctx, p, ended)
				} else if err == nil {
					watch = append(watch, startedProcess{running: p, ended: ended, since: began})
				}
				if err != nil {
					return "", err
				}
			}
		}
		if len(watch) == 0 {
			return "", nil
		}
		_, err := u.waitNodes(ctx, watch)
		return "", err
	})
	return err
}
