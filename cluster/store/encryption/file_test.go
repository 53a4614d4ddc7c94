package encryption

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/store"
	"wheelhouse/cluster/wait"
)

func write(t *testing.T, path string, c *Configuration) string {
	t.Helper()
	if err := Write(path, c); err != nil {
		t.Fatal(err)
	}
	_, hash, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// replace gives the file other contents at once: half of them would be one more failure.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

// metrics are those of f, by name and value of the one label.
func metrics(t *testing.T, f *File) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			out[family.GetName()+" "+m.Label[0].GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

const failed = "apiserver_encryption_config_controller_automatic_reloads_total failure"

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	first := Default(time.Now())
	hash := write(t, path, first)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	var log strings.Builder // written by Run only, read when it has ended
	f, err := Open(path, time.Millisecond, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if metrics(t, f)[LoadedMetric+" "+hash] != 1 {
		t.Error("the metric does not name the configuration that was opened")
	}
	ctx, cancel := context.WithCancel(t.Context())
	set := make(chan store.Transformers, 10)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func(of store.Transformers) { set <- of }) }()

	replace(t, path, []byte("garbage"))
	wait.For(t, "a configuration that cannot be used is counted", func() error {
		n := metrics(t, f)[failed]
		return wait.Seen(n == 1, n)
	})
	second := Default(time.Now())
	hash = write(t, path, second)
	var of store.Transformers
	select {
	case of = <-set:
	case <-time.After(15 * time.Second):
		t.Fatal("the new configuration is not in force after 15 s")
	}
	wait.For(t, "the metric names it", func() error {
		now := metrics(t, f)
		return wait.Seen(len(now) == 3 && now[LoadedMetric+" "+hash] == 1, now)
	})
	value, err := of(secrets).TransformToStorage(nil, storage)
	if name := second.Resources[0].Providers[0].Secretbox.Keys[0].Name; err != nil || !strings.Contains(string(value), name) {
		t.Errorf("written with %q, %v", value, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := metrics(t, f)[failed]; n != 1 {
		t.Errorf("one failure was counted %v times", n)
	}
	for _, c := range []*Configuration{first, second} {
		if strings.Contains(log.String(), c.Resources[0].Providers[0].Secretbox.Keys[0].Secret) {
			t.Error("a key is in the log")
		}
	}
	if !strings.Contains(log.String(), hash) {
		t.Errorf("the log does not name the configuration in force:\n%s", log.String())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "missing"), 0, slog.Default()); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a file that is not there: %v", err)
	}
	path := filepath.Join(dir, "bad")
	if err := os.WriteFile(path, []byte("kind: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, 0, slog.Default()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file of another kind: %v", err)
	}
}
