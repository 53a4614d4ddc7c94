package main

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
	"time"

	"k8s.io/client-go/rest"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/local"
	"wheelhouse/lab-runner/classroom/clusters"
)

// sealedClusters makes clusters of this machine for learners. It implements clusters.Maker. Beside the record of a cluster, where
// root alone writes, are two files: whose class it is of, from before it is made, and which learner it was given to.
type sealedClusters struct {
	clusterFlags
	nodes int
	class string // the UID of the class's namespace; empty: of any class that home serves
	home  string // the cluster of this machine that serves the class; empty: another
}

// The files of a learner's cluster.
const (
	classFile = "class.json"
	givenFile = "learner"
)

// ofClass is the content of classFile.
type ofClass struct {
	Class   string `json:"class"`
	Cluster string `json:"cluster,omitempty"` // home
}

// mostAnswer bounds, in bytes, one answer of a learner's API server. A workbench needs less than a tenth of it.
const mostAnswer = 1 << 20

func (s sealedClusters) file(name, file string) string { return filepath.Join(s.stateDir, name, file) }

func (s sealedClusters) config(name string) local.Config {
	return local.Config{Name: name, StateDir: s.stateDir, Nodes: s.nodes, Timeout: s.timeout}
}

// Up implements clusters.Maker.
func (s sealedClusters) Up(ctx context.Context, name string) (*rest.Config, error) {
	if err := s.claim(name); err != nil {
		return nil, err
	}
	sealed, cfg := true, s.config(name)
	cfg.Sealed = &sealed
	if err := local.Up(ctx, cfg, io.Discard); err != nil {
		return nil, err
	}
	return s.access(name)
}

// Open implements clusters.Maker.
func (s sealedClusters) Open(name string) (*rest.Config, error) {
	if err := s.ours(name); err != nil {
		return nil, err
	}
	if err := local.Runs(s.config(name)); err != nil {
		return nil, err
	}
	return s.access(name)
}

func (s sealedClusters) access(name string) (*rest.Config, error) {
	rc, err := client.FromKubeconfig(local.KubeconfigPath(name, s.stateDir))
	if err != nil {
		return nil, err
	}
	local.Guard(rc, mostAnswer)
	return rc, nil
}

// claim records, before there is anything else of it, that a cluster is of this class.
func (s sealedClusters) claim(name string) error {
	if !s.named(name) {
		return fmt.Errorf("%s is no name of a learner's cluster", name)
	}
	dir := filepath.Join(s.stateDir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if exists, _, err := local.Sealed(s.config(name)); err != nil || exists {
		return errors.Join(err, s.ours(name))
	}
	text, err := json.Marshal(ofClass{s.class, s.home})
	if err == nil {
		err = writeOnce(s.file(name, classFile), text)
	}
	if err == nil || errors.Is(err, fs.ErrExist) {
		return s.ours(name)
	}
	return err
}

// Give implements clusters.Maker.
func (s sealedClusters) Give(name, learner string) error {
	if err := s.ours(name); err != nil {
		return err
	}
	err := writeOnce(s.file(name, givenFile), []byte(learner))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	to, err := os.ReadFile(s.file(name, givenFile))
	if err == nil && string(to) != learner {
		err = clusters.ErrGiven
	}
	return err
}

// writeOnce writes a file that is not there yet, whole and durably; else the error is fs.ErrExist.
func writeOnce(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Down implements clusters.Maker.
func (s sealedClusters) Down(ctx context.Context, name string) error { return s.down(ctx, name, false) }

func (s sealedClusters) down(ctx context.Context, name string, keep bool) error {
	if err := s.removable(name); err != nil {
		return err
	}
	cfg := s.config(name)
	cfg.KeepData = keep
	return local.Down(ctx, cfg, io.Discard)
}

// removable returns an error for what is no cluster of this class's learners. One that is not there is removed already: of a class's
// processes two may remove it at once, when a learner leaves.
func (s sealedClusters) removable(name string) error {
	if !s.named(name) {
		return fmt.Errorf("%s is no name of a learner's cluster", name)
	}
	exists, _, err := local.Sealed(s.config(name))
	if err != nil {
		return err
	}
	if !exists {
		if _, err := os.Stat(s.file(name, classFile)); errors.Is(err, fs.ErrNotExist) {
			return nil // there is at most an empty directory
		}
	}
	err = s.ours(name)
	if _, there := os.Lstat(filepath.Join(s.stateDir, name)); errors.Is(there, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Names implements clusters.Maker.
func (s sealedClusters) Names() (map[string]string, error) {
	dirs, err := filepath.Glob(filepath.Join(s.stateDir, sealedPrefix(s.name)+"*"))
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, d := range dirs {
		name := filepath.Base(d)
		if s.ours(name) != nil {
			continue
		}
		to, err := os.ReadFile(s.file(name, givenFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		names[name] = string(to)
	}
	return names, nil
}

// named reports whether a name is one of this class's learners' clusters; others can have such a name, too.
func (s sealedClusters) named(name string) bool {
	return regexp.MustCompile("^" + regexp.QuoteMeta(sealedPrefix(s.name)) + "[a-z0-9]{6}$").MatchString(name)
}

// ours returns nil for a cluster of one of this class's learners: its name, that it is sealed if it is made, and its record say so.
func (s sealedClusters) ours(name string) error {
	if !s.named(name) {
		return fmt.Errorf("%s is no cluster of a learner", name)
	}
	exists, sealed, err := local.Sealed(s.config(name))
	if err != nil {
		return err
	}
	if exists && !sealed {
		return fmt.Errorf("%s is no cluster of a learner: it is not sealed", name)
	}
	text, err := os.ReadFile(s.file(name, classFile))
	if err != nil {
		return fmt.Errorf("%s is no cluster of a learner: %w", name, err)
	}
	var of ofClass
	if err := json.Unmarshal(text, &of); err != nil {
		return fmt.Errorf("%s: %w", s.file(name, classFile), err)
	}
	if of.Class != s.class && s.class != "" || s.class == "" && of.Cluster != s.home {
		return fmt.Errorf("%s is a cluster of another class", name)
	}
	return nil
}

// keepSmall shortens the clusters' logs, and goes on with removals that took too long, until ctx is done.
func (s sealedClusters) keepSmall(ctx context.Context) error {
	log := logger("clusters")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
		}
		names, err := s.Names()
		errs := []error{err}
		for name := range names {
			errs = append(errs, local.TrimLogs(ctx, s.config(name)))
		}
		if err := errors.Join(errs...); err != nil {
			log.Warn("shortening logs of learners' clusters; it is tried again", "err", err)
		}
		emptying, cancel := context.WithTimeout(ctx, time.Minute)
		if err := local.EmptyTrash(emptying, s.stateDir, ""); err != nil && ctx.Err() == nil {
			log.Warn("removing what is left of clusters; it is tried again", "err", err)
		}
		cancel()
	}
}
