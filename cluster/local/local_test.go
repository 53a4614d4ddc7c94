//go:build !quick

package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/local"
	"wheelhouse/cluster/wait"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "node") {
		os.Exit(stub(os.Args[1:]))
	}
	os.Exit(nettest.Main(m))
}

// config is a cluster that only this test has; everything of it is gone at the end.
func config(t *testing.T, suffix string) local.Config {
	t.Helper()
	cfg := local.Config{
		Name:     fmt.Sprintf("t%d-%s", os.Getpid(), suffix),
		StateDir: filepath.Join(t.TempDir(), "state"), Nodes: 2, Binary: "/proc/self/exe", Timeout: 20 * time.Second,
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Binary = exe
	t.Cleanup(func() {
		if err := local.Down(context.Background(), cfg, t.Output()); err != nil {
			t.Error(err)
		}
	})
	return cfg
}

func up(t *testing.T, cfg local.Config) string {
	t.Helper()
	var out bytes.Buffer
	if err := local.Up(t.Context(), cfg, &out); err != nil {
		t.Fatalf("up: %v\n%s", err, out.String())
	}
	return out.String()
}

func down(t *testing.T, cfg local.Config) {
	t.Helper()
	var out bytes.Buffer
	if err := local.Down(t.Context(), cfg, &out); err != nil {
		t.Fatalf("down: %v\n%s", err, out.String())
	}
}

// pids gives the running processes by id, and the states of the others.
func pids(t *testing.T, cfg local.Config) map[string]string {
	t.Helper()
	s, err := local.Status(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, p := range s.Processes {
		m[p.ID] = p.State
		if p.State == "running" {
			m[p.ID] = fmt.Sprint(p.PID)
		}
	}
	return m
}

func run(t *testing.T, cfg local.Config, node string, command ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code, err := local.SSH(cfg, node, command, local.Streams{In: strings.NewReader("typed\n"), Out: &out, Err: &out})
	if err != nil {
		t.Fatalf("ssh %s %q: %v", node, command, err)
	}
	return strings.TrimSpace(out.String()), code
}

// traces are what a cluster could leave behind.
func traces(t *testing.T, cfg local.Config) string {
	t.Helper()
	left := sh(t, `ip -o link | grep -v ' lo:' || true; ip route; iptables-save | grep '^-A' || true; ls /run/netns 2>/dev/null || true; ls -d `+cfg.StateDir+` 2>/dev/null || true
		grep -F `+cfg.StateDir+` /proc/self/mountinfo || true; env -u DOCKER_HOST docker ps -aq --filter label=wheelhouse.cluster=`+cfg.Name+`; ls -d /sys/fs/cgroup/wheelhouse/`+cfg.Name+` /sys/fs/cgroup/*/wheelhouse/`+cfg.Name+` 2>/dev/null || true`)
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if line, err := os.ReadFile(p); err == nil && strings.Contains(string(line), cfg.StateDir) {
			left += "\n" + p + ": " + strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return left
}

// A namespace that somebody else adds is mounted beside the cluster's, not over them: names
// that are hidden cannot be removed.
func TestNamespaceOfSomebodyElse(t *testing.T) {
	// The machine's own directory, which is no mount point before the first name. Nothing else runs in this process.
	if err := unix.Unmount("/run/netns", unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sh(t, "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && touch /run/netns/.kept")
	})
	cfg := config(t, "others")
	before := traces(t, cfg)
	up(t, cfg)
	other := cfg.Name + "-other"
	sh(t, "ip netns add "+other)
	t.Cleanup(func() { sh(t, "! test -e /run/netns/"+other+" || ip netns delete "+other) })
	down(t, cfg)
	if out := sh(t, "ip netns exec "+other+" ip -o link"); !strings.Contains(out, "lo:") {
		t.Errorf("the other namespace: %s", out)
	}
	sh(t, "ip netns delete "+other)
	if after := traces(t, cfg); after != before {
		t.Errorf("left: %s\nbefore: %s", after, before)
	}
}

func TestLifeOfACluster(t *testing.T) {
	cfg := config(t, "life")
	began := time.Now()
	printed := up(t, cfg)
	t.Logf("up in %s:\n%s", time.Since(began), printed)
	_, next, _ := strings.Cut(printed, "Next:")
	if got := strings.Count(next, "\n  "); got != 4 || !strings.Contains(next, "\n  wheelhouse lab ") {
		t.Errorf("%d next commands: %s", got, next)
	}
	for _, line := range regexp.MustCompile(`(?m)^(  \w+ .*) [0-9.]+ s$`).FindAllStringSubmatch(printed, -1) {
		if len(line[1]) > len("  network ")+64 {
			t.Errorf("wider than a terminal: %q", line[0])
		}
	}
	first := pids(t, cfg)
	if len(first) != 4 {
		t.Fatalf("processes: %v", first)
	}
	conn, err := net.DialTimeout("tcp", "10.245.1.2:443", time.Second)
	if err != nil {
		t.Errorf("the API is not reached from the machine: %v", err)
	} else {
		conn.Close()
	}

	t.Run("nothing of the caller's is held", func(t *testing.T) {
		// Such as the pipe or the lock that a script has open around `wheelhouse up`.
		var p [2]int
		if err := syscall.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		pid := pids(t, cfg)["node/minion-2"]
		kill(t, pid, syscall.SIGKILL)
		wait.Within(t, time.Minute, "the node to be dead", func() error {
			if s := pids(t, cfg)["node/minion-2"]; s != "dead" {
				return fmt.Errorf("state %s, want dead", s)
			}
			return nil
		})
		up(t, cfg)
		first = pids(t, cfg)
		link, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", p[0]))
		held := sh(t, "ls -l /proc/"+first["node/minion-2"]+"/fd")
		if link == "" || strings.Contains(held, link) {
			t.Errorf("the daemon holds %q:\n%s", link, held)
		}
		_, _ = syscall.Close(p[0]), syscall.Close(p[1])
	})
	t.Run("up again changes nothing", func(t *testing.T) {
		began := time.Now()
		// Built again, and the same.
		if err := os.Chtimes(cfg.Binary, began, began); err != nil {
			t.Fatal(err)
		}
		up(t, cfg)
		t.Logf("in %s", time.Since(began))
		if again := pids(t, cfg); fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("processes were %v, are %v", first, again)
		}
	})
	t.Run("ssh", func(t *testing.T) {
		for _, test := range []struct {
			command []string
			want    string
			code    int
		}{
			{[]string{"hostname; echo $WHEELHOUSE_NODE"}, "minion-2\nminion-2", 0},
			{[]string{"ip -o -4 addr show eth0 | tr -s ' ' | cut -d' ' -f4"}, "10.245.1.4/24", 0},
			{[]string{"sh", "-c", `echo "$0"; exit 7`, "a  b"}, "a  b", 7},
			{[]string{"cat"}, "typed", 0},
			{[]string{"kill -9 $$"}, "", 137},
		} {
			if out, code := run(t, cfg, "minion-2", test.command...); out != test.want || code != test.code {
				t.Errorf("%q: %q, status %d; want %q, %d", test.command, out, code, test.want, test.code)
			}
		}
		if _, err := local.SSH(cfg, "minion-9", nil, local.Streams{}); err == nil || !strings.Contains(err.Error(), "minion-2") {
			t.Errorf("unknown node: %v", err)
		}
		if out, err := exec.Command("ip", "netns", "exec", "wh-"+cfg.Name+"-minion-1", "true").CombinedOutput(); err != nil {
			t.Errorf("ip netns exec: %v: %s", err, out)
		}
	})
	t.Run("a dead process is seen and replaced", func(t *testing.T) {
		kill(t, first["node/minion-1"], syscall.SIGKILL)
		wait.Within(t, time.Minute, "the node to be dead", func() error {
			if s := pids(t, cfg)["node/minion-1"]; s != "dead" {
				return fmt.Errorf("state %s, want dead", s)
			}
			return nil
		})
		if s, _ := local.Status(cfg); s.Healthy() {
			t.Error("healthy with a dead process")
		}
		up(t, cfg)
		now := pids(t, cfg)
		if now["server"] != first["server"] || now["node/minion-2"] != first["node/minion-2"] || now["node/minion-1"] == "dead" {
			t.Errorf("processes were %v, are %v", first, now)
		}
	})
	t.Run("a held process is seen", func(t *testing.T) {
		pid := pids(t, cfg)["node/minion-1"]
		kill(t, pid, syscall.SIGSTOP)
		defer kill(t, pid, syscall.SIGCONT)
		wait.Within(t, time.Minute, "the node to be stopped", func() error {
			if s := pids(t, cfg)["node/minion-1"]; s != "stopped" {
				return fmt.Errorf("state %s, want stopped", s)
			}
			return nil
		})
		names := "pid " + pid + ") is stopped by a signal or a debugger: `kill -CONT " + pid
		if err := local.Up(t.Context(), cfg, io.Discard); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("up: %v; want %q at once", err, names)
		}
		s, err := local.Status(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := s.Print(&text); err != nil || !strings.Contains(text.String(), "stopped (by a signal or a debugger: kill -CONT "+pid) {
			t.Errorf("status: %v:\n%s", err, text.String())
		}
	})
	t.Run("what waits for a held server is seen", func(t *testing.T) {
		pid := pids(t, cfg)["server"]
		kill(t, pid, syscall.SIGSTOP)
		defer kill(t, pid, syscall.SIGCONT)
		wait.Within(t, time.Minute, "the node waits for the server", func() error {
			s, err := local.Status(cfg)
			if err != nil {
				return err
			}
			return wait.Seen(s.Processes[0].State == "stopped" && s.Processes[1].State == "running" && s.Processes[1].Detail == "waits for the server", s.Processes)
		})
	})
	t.Run("another number of nodes", func(t *testing.T) {
		before := pids(t, cfg)
		more := cfg
		more.Nodes = 3
		up(t, more)
		if now := pids(t, cfg); len(now) != 5 || now["node/minion-1"] != before["node/minion-1"] {
			t.Errorf("processes were %v, are %v", before, now)
		}
		fewer := cfg
		fewer.Nodes = 1
		up(t, fewer)
		if now := pids(t, cfg); len(now) != 3 || now["node/minion-1"] != before["node/minion-1"] {
			t.Errorf("processes were %v, are %v", before, now)
		}
		if _, err := os.Stat("/run/netns/wh-" + cfg.Name + "-minion-3"); err == nil {
			t.Error("namespace of minion-3 is left")
		}
		fewer.Nodes = 0
		up(t, fewer)
		if now := pids(t, cfg); len(now) != 1 {
			t.Errorf("control plane alone: %v", now)
		}
	})
	t.Run("status as JSON", func(t *testing.T) {
		s, err := local.Status(cfg)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(s)
		if err != nil || !strings.Contains(string(data), `"address":"10.245.1.2:443","state":"running"`) {
			t.Errorf("%s, %v", data, err)
		}
	})
	down(t, cfg)
	if left := traces(t, cfg); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if _, err := local.Status(cfg); err == nil {
		t.Error("status of a cluster that is gone")
	}
	down(t, cfg) // of nothing
}

func kill(t *testing.T, pid string, sig syscall.Signal) {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(pid, &n); err != nil {
		t.Fatalf("pid %q: %v", pid, err)
	}
	if err := syscall.Kill(n, sig); err != nil {
		t.Fatal(err)
	}
}

func TestTwoClusters(t *testing.T) {
	a, b := config(t, "a"), config(t, "b")
	b.StateDir = a.StateDir
	a.Nodes, b.Nodes = 1, 1
	up(t, a)
	up(t, b)
	for cfg, want := range map[*local.Config]string{&a: "10.245.1.0/24", &b: "10.242.1.0/24"} {
		s, err := local.Status(*cfg)
		if err != nil || s.Subnets.LAN.String() != want || !s.Healthy() {
			t.Errorf("%s: %+v, %v; want %s", cfg.Name, s, err, want)
		}
	}
	down(t, a)
	if s, err := local.Status(b); err != nil || !s.Healthy() {
		t.Errorf("after the other's down: %+v, %v", s, err)
	}
	up(t, b)
	down(t, b)
	if left := traces(t, b); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestAddressesInUse(t *testing.T) {
	cfg := config(t, "clash")
	sh(t, "ip link add d0 type bridge; ip link set d0 up; ip route add 10.246.128.0/20 dev d0")
	t.Cleanup(func() { sh(t, "ip link del d0") })
	cfg.Nodes = 0
	up(t, cfg)
	s, err := local.Status(cfg)
	if err != nil || s.Subnets.LAN.String() != "10.242.1.0/24" {
		t.Errorf("%+v, %v", s, err)
	}
}

func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestKeepDataAndFailure(t *testing.T) {
	cfg := config(t, "keep")
	cfg.Nodes = 1
	up(t, cfg)
	dir := filepath.Join(cfg.StateDir, cfg.Name)
	keep := cfg
	keep.KeepData = true
	down(t, keep)
	if _, err := os.Stat(filepath.Join(dir, "admin.kubeconfig")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fail"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := local.Up(t.Context(), cfg, t.Output())
	if err == nil || !strings.Contains(err.Error(), "told to fail") || time.Since(began) > cfg.Timeout {
		t.Errorf("after %s: %v; want the end of the log, at once", time.Since(began), err)
	}
	if err := os.Remove(filepath.Join(dir, "fail")); err != nil {
		t.Fatal(err)
	}
	up(t, cfg)
}

// Nobody but root gets at a cluster's keys and disks; nor is anything removed that is
// mounted there, though the directory lies behind a link.
func TestStateIsRoots(t *testing.T) {
	cfg := config(t, "priv")
	cfg.Nodes = 0
	real, precious := filepath.Join(t.TempDir(), "real"), t.TempDir()
	for _, err := range []error{os.Mkdir(real, 0o755), os.Symlink(real, cfg.StateDir), os.WriteFile(filepath.Join(precious, "file"), nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(cfg.StateDir, cfg.Name)
	if err := os.Mkdir(dir, 0o755); err != nil { // as it was made before
		t.Fatal(err)
	}
	up(t, cfg)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	at := filepath.Join(dir, "nodes/x/kubelet/pods/uid/v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(precious, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := local.Down(t.Context(), cfg, &out)
	if _, lost := os.Stat(filepath.Join(precious, "file")); err != nil || lost != nil {
		t.Errorf("down: %v\n%s\nwhat was mounted: %v", err, out.String(), lost)
	}
}

func TestDoctor(t *testing.T) {
	cfg := local.Config{StateDir: filepath.Join(t.TempDir(), "state")}
	checks, err := local.Doctor(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	local.PrintChecks(&out, checks)
	t.Log("\n" + out.String())
	if !local.Healthy(checks) {
		t.Error("something fails on a machine that the other tests pass on")
	}
	for _, c := range checks {
		if c.Name == "" || c.Found == "" || (c.Result != local.OK) != (c.Remedy != "") || strings.Contains(c.Remedy, "\n") {
			t.Errorf("%+v", c)
		}
	}
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	checks, err = local.Doctor(t.Context(), cfg)
	if err != nil || local.Healthy(checks) {
		t.Errorf("healthy without Docker: %v", err)
	}
}
