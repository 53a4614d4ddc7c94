package encryption

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/store"
)

// DefaultInterval is how often a configuration's file is checked.
const DefaultInterval = time.Second

// File is a configuration on disk.
type File struct {
	path     string
	log      *slog.Logger
	interval time.Duration

	transformers store.Transformers
	hash         string // of what is in force
	seen         os.FileInfo
	rejected     string // the hash of the content that was refused last

	loaded  *prometheus.GaugeVec
	reloads *prometheus.CounterVec
}

// LoadedMetric is the gauge whose label hash names the configuration in force.
const LoadedMetric = "apiserver_encryption_config_controller_last_config_info"

// Open reads a configuration. An interval of 0 is DefaultInterval.
func Open(path string, interval time.Duration, log *slog.Logger) (*File, error) {
	if interval == 0 {
		interval = DefaultInterval
	}
	f := &File{
		path: path, log: log, interval: interval,
		loaded: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: LoadedMetric, Help: "1 for the hash of the encryption configuration that is in force.",
		}, []string{"hash"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_encryption_config_controller_automatic_reloads_total", Help: "Reloads of the encryption configuration, by their result.",
		}, []string{"status"}),
	}
	// The file's state is taken before its content: a later change is seen as one.
	seen, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the encryption configuration: %w", err)
	}
	if seen.Mode().Perm()&0o077 != 0 {
		log.Warn("the encryption configuration can be read by others than its owner", "path", path, "mode", seen.Mode().Perm())
	}
	c, hash, err := Read(path)
	if err != nil {
		return nil, err
	}
	if f.transformers, err = c.Transformers(); err != nil {
		return nil, fmt.Errorf("the encryption configuration %s: %w", path, err)
	}
	f.accept(hash, seen)
	return f, nil
}

func (f *File) accept(hash string, seen os.FileInfo) {
	f.hash, f.seen, f.rejected = hash, seen, ""
	f.loaded.Reset()
	f.loaded.WithLabelValues(hash).Set(1)
}

// Transformers are those of the configuration as it was opened.
func (f *File) Transformers() store.Transformers { return f.transformers }

// Collectors are the metrics.
func (f *File) Collectors() []prometheus.Collector {
	return []prometheus.Collector{f.loaded, f.reloads}
}

// Run applies the file's changes until ctx ends. A change that is not valid is logged,
// and what was in force stays so. set returns when nothing uses the former keys.
func (f *File) Run(ctx context.Context, set func(store.Transformers)) error {
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f.reload(set); err != nil {
			f.reloads.WithLabelValues("failure").Inc()
			f.log.Error("the encryption configuration has changed and cannot be used; what was in force stays so", "path", f.path, "err", err)
		}
	}
}

func (f *File) reload(set func(store.Transformers)) error {
	now, err := os.Stat(f.path)
	if err == nil && f.seen != nil && os.SameFile(now, f.seen) && now.ModTime().Equal(f.seen.ModTime()) && now.Size() == f.seen.Size() {
		return nil
	}
	c, hash, err := Read(f.path)
	if hash == f.hash && err == nil {
		f.seen = now
		return nil
	}
	if err == nil {
		var next store.Transformers
		if next, err = c.Transformers(); err == nil {
			set(next)
			f.accept(hash, now)
			f.reloads.WithLabelValues("success").Inc()
			f.log.Info("the encryption configuration has changed and is in force", "path", f.path, "hash", hash)
			return nil
		}
	}
	if why := hash + err.Error(); why != f.rejected { // it is reported once, and tried again
		f.rejected = why
		return err
	}
	return nil
}

// Read reads and validates the file. The hash is the label of LoadedMetric.
func Read(path string) (c *Configuration, hash string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("the encryption configuration: %w", err)
	}
	hash = fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	if c, err = Parse(data); err != nil {
		return nil, hash, fmt.Errorf("the encryption configuration %s: %w", path, err)
	}
	return c, hash, nil
}

// Write replaces the file in one step, 0600, and returns when it would survive the loss
// of power.
func Write(path string, c *Configuration) error {
	data, err := c.YAML()
	if err != nil {
		return fmt.Errorf("encoding the encryption configuration: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the encryption configuration: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the encryption configuration: %w", err), os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("writing the encryption configuration: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("writing the encryption configuration: %w", err)
	}
	return nil
}
