package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// tree makes a mount point with the files, as a kernel would show them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOf(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"version 1", "9:name=systemd:/a\n5:memory:/pods/x\n2:cpu,cpuacct:/b\n", "/pods/x"},
		{"version 2", "0::/pods/y\n", "/pods/y"},
		{"both", "4:pids,memory:/pods/z\n0::/\n", "/pods/z"},
	} {
		if got, err := parseOf(c.text); err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
	}
	if _, err := parseOf(""); err == nil {
		t.Error("a process in no group is no error")
	}
}

func TestUsage(t *testing.T) {
	one := tree(t, map[string]string{
		"cpuacct/p/cpuacct.usage": "5000\n", "memory/p/memory.usage_in_bytes": "1000\n", "pids/p/pids.current": "3\n",
		"memory/p/memory.stat":        "cache 1\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgfault 7\ntotal_pgmajfault 2\n",
		"memory/p/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
	})
	two := tree(t, map[string]string{
		"cgroup.controllers": "cpu memory pids\n", "p/cpu.stat": "usage_usec 5\nuser_usec 3\n", "p/memory.current": "1000\n", "p/pids.current": "3\n",
		"p/memory.stat": "anon 600\ninactive_file 300\npgfault 7\npgmajfault 2\n", "p/memory.events": "low 0\noom 5\noom_kill 4\n",
	})
	for version, root := range map[string]string{"1": one, "2": two} {
		g := At(root)
		u, err := g.Usage("/p")
		if err != nil {
			t.Errorf("version %s: %v", version, err)
		}
		u.Time = u.Time.Truncate(0)
		want := Usage{Time: u.Time, CPUNanoseconds: 5000, Memory: 1000, WorkingSet: 700, RSS: 600, PageFaults: 7, MajorFaults: 2, Processes: 3}
		if u != want {
			t.Errorf("version %s: %+v, want %+v", version, u, want)
		}
		if n, err := g.Kills("/p"); err != nil || n != 4 {
			t.Errorf("version %s: %d kills, %v; want 4", version, n, err)
		}
		if _, err := g.Usage("/gone"); err == nil {
			t.Errorf("version %s: a group that is gone has a usage", version)
		}
	}
}

func TestLimit(t *testing.T) {
	one := tree(t, map[string]string{
		"cpu/p/cpu.shares": "1024\n", "cpu/p/cpu.cfs_period_us": "100000\n", "cpu/p/cpu.cfs_quota_us": "-1\n",
		"memory/p/memory.limit_in_bytes": "9223372036854771712\n", "pids/p/pids.max": "max\n",
	})
	two := tree(t, map[string]string{
		"cgroup.controllers": "cpu memory pids\n", "p/cpu.weight": "100\n", "p/cpu.max": "max 100000\n", "p/memory.max": "max\n", "p/pids.max": "max\n",
		"p/memory.swap.max": "max\n",
	})
	limits := Limits{CPUShares: 512, CPUQuota: 50_000, CPUPeriod: 100_000, Memory: 1 << 27, Pids: 9}
	for _, c := range []struct {
		root   string
		limits Limits
		want   map[string]string
	}{
		{one, limits, map[string]string{"cpu/p/cpu.shares": "512", "cpu/p/cpu.cfs_quota_us": "50000", "memory/p/memory.limit_in_bytes": "134217728", "pids/p/pids.max": "9"}},
		{one, Limits{}, map[string]string{"cpu/p/cpu.shares": "2", "cpu/p/cpu.cfs_quota_us": "-1", "memory/p/memory.limit_in_bytes": "-1", "pids/p/pids.max": "max"}},
		{two, limits, map[string]string{"p/cpu.weight": "20", "p/cpu.max": "50000 100000", "p/memory.max": "134217728", "p/pids.max": "9"}},
		{two, Limits{}, map[string]string{"p/cpu.weight": "1", "p/cpu.max": "max 100000", "p/memory.max": "max", "p/pids.max": "max", "p/memory.swap.max": "max\n"}},
		{two, Limits{NoSwap: true}, map[string]string{"p/cpu.weight": "1", "p/memory.max": "max", "p/memory.swap.max": "0"}},
	} {
		for _, first := range []bool{true, false} { // what is so already is not changed
			if changed, err := At(c.root).Limit(t.Context(), "/p", c.limits); err != nil || changed != first {
				t.Errorf("%+v: changed: %v, want %v; %v", c.limits, changed, first, err)
			}
		}
		for name, want := range c.want {
			if got, err := os.ReadFile(filepath.Join(c.root, name)); err != nil || string(got) != want {
				t.Errorf("%+v: %s is %q, want %q (%v)", c.limits, name, got, want, err)
			}
		}
	}
	// The kernel counts pages.
	odd, none := tree(t, map[string]string{
		"cgroup.controllers": "cpu memory pids\n", "p/cpu.weight": "1\n", "p/cpu.max": "max 100000\n", "p/memory.max": "99999744\n", "p/pids.max": "max\n",
	}), tree(t, map[string]string{
		"cpu/p/cpu.shares": "2\n", "cpu/p/cpu.cfs_quota_us": "-1\n", "memory/p/memory.limit_in_bytes": "9223372036854771712\n", "pids/p/pids.max": "max\n",
	})
	for root, l := range map[string]Limits{odd: {Memory: 100_000_000, NoSwap: true}, none: {NoSwap: true}} { // and may be unable to limit swap
		if changed, err := At(root).Limit(t.Context(), "/p", l); err != nil || changed {
			t.Errorf("%+v: changed: %v; %v", l, changed, err)
		}
	}
	if _, err := At(one).Limit(t.Context(), "/gone", limits); err == nil {
		t.Error("a group that is gone can be limited")
	}
}

func TestRemove(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"cpu/a/b/c", "memory/a/b", "pids/other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := At(root).Remove(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
	for dir, want := range map[string]bool{"cpu/a": false, "memory/a": false, "pids/other": true} {
		if _, err := os.Stat(filepath.Join(root, dir)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", dir, err == nil, want)
		}
	}
	if err := At(root).Remove(t.Context(), "/"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "pids")); err != nil {
		t.Error("the root was removed")
	}
}
