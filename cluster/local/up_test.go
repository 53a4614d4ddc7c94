//go:build !quick

package local_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wheelhouse/cluster/local"
)

// A cluster that serves a class does so until somebody says otherwise.
func TestClassIsKept(t *testing.T) {
	cfg := config(t, "class")
	cfg.Nodes = 0
	class := func() bool {
		line, err := os.ReadFile(filepath.Join("/proc", pids(t, cfg)["server"], "cmdline"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(line), "\x00--class\x00")
	}
	yes, no := true, false
	for _, x := range []struct {
		name  string
		class *bool
		want  bool
	}{{"at first", nil, false}, {"said", &yes, true}, {"not said again", nil, true}, {"taken back", &no, false}} {
		cfg.Class = x.class
		up(t, cfg)
		if got := class(); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}

// Addresses of load balancers stay until others are given, and are on the LAN.
func TestPoolIsKept(t *testing.T) {
	cfg := config(t, "pool")
	cfg.Nodes = 0
	up(t, cfg)
	state, err := local.Status(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lan := strings.TrimSuffix(state.Subnets.LAN.String(), "0/24")
	has := func() bool {
		line, err := os.ReadFile(filepath.Join("/proc", pids(t, cfg)["server"], "cmdline"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(line), "\x00--load-balancer-pool\x00"+lan+"210-"+lan+"212\x00")
	}
	for _, wrong := range []string{"192.0.2.0/28", lan + "0/24", "this"} {
		cfg.Pool = &[]string{wrong}
		if err := local.Up(t.Context(), cfg, io.Discard); err == nil || !strings.Contains(err.Error(), "addresses of load balancers") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	for _, x := range []struct {
		name string
		pool *[]string
		want bool
	}{{"given", &[]string{lan + "210-" + lan + "212"}, true}, {"not given again", nil, true}, {"taken back", &[]string{}, false}} {
		cfg.Pool = x.pool
		up(t, cfg)
		if got := has(); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}
