//go:build machines

package machines

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// limit is for what a busy computer may take minutes for.
const limit = 10 * time.Minute

// program is the path of bin/wheelhouse.
var program = sync.OnceValue(func() string {
	path, err := filepath.Abs("../../bin/wheelhouse")
	if err != nil {
		panic(err) // there is no working directory
	}
	return path
})

// machine is a network namespace behind the router, with a directory for its disk. Its address
// is 10.88.N.2, the router's 10.88.N.1.
type machine struct {
	name, dir, address string
	clock              wallClocks // of bin/wheelhouse on it
}

const routerNS = "whm-router"

func (m *machine) ns() string { return "whm-" + m.name }

func (m *machine) docker() string { return "unix://" + filepath.Join(m.dir, "docker.sock") }

// newRouter makes the router that all machines are behind.
func newRouter(t testing.TB) {
	t.Helper()
	host(t, "ip netns add "+routerNS+"; ip -n "+routerNS+" link set lo up; ip netns exec "+routerNS+" sysctl -qw net.ipv4.ip_forward=1")
	t.Cleanup(func() { host(t, "ip netns del "+routerNS) })
}

// newMachine makes the namespace and its link to the router.
func newMachine(t testing.TB, name string, subnet int) *machine {
	t.Helper()
	m := emptyMachine(t, name, fmt.Sprintf("10.88.%d.2", subnet))
	host(t, fmt.Sprintf(`
ip netns add %[1]s
ip link add eth0 netns %[1]s type veth peer name %[2]s netns %[3]s
ip -n %[3]s addr add 10.88.%[4]d.1/24 dev %[2]s; ip -n %[3]s link set %[2]s up
ip -n %[1]s addr add %[5]s/24 dev eth0; ip -n %[1]s link set lo up; ip -n %[1]s link set eth0 up
ip -n %[1]s route add default via 10.88.%[4]d.1`, m.ns(), name, routerNS, subnet, m.address))
	t.Cleanup(func() { host(t, "ip netns del "+m.ns()) })
	return m
}

// newMachineOnLink makes a machine whose link is that of all others, 10.88.0.0/24, which the router bridges.
func newMachineOnLink(t testing.TB, name string, n int) *machine {
	t.Helper()
	m := emptyMachine(t, name, fmt.Sprintf("10.88.0.%d", n+2))
	host(t, fmt.Sprintf(`
ip -n %[3]s link show br0 >/dev/null 2>&1 || { ip -n %[3]s link add br0 type bridge; ip -n %[3]s addr add 10.88.0.1/24 dev br0; ip -n %[3]s link set br0 up; }
ip netns add %[1]s
ip link add eth0 netns %[1]s type veth peer name %[2]s netns %[3]s
ip -n %[3]s link set %[2]s master br0 up
ip -n %[1]s addr add %[4]s/24 dev eth0; ip -n %[1]s link set lo up; ip -n %[1]s link set eth0 up
ip -n %[1]s route add default via 10.88.0.1`, m.ns(), name, routerNS, m.address))
	t.Cleanup(func() { host(t, "ip netns del "+m.ns()) })
	return m
}

// emptyMachine is one with a directory and no network.
func emptyMachine(t testing.TB, name, address string) *machine {
	t.Helper()
	m := &machine{name: name, dir: filepath.Join(t.TempDir(), name), address: address}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return m
}

// host runs a script on the computer.
func host(t testing.TB, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// command is one in the machine's network.
func (m *machine) command(args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"--net=/run/netns/" + m.ns(), "--"}, args...)...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+m.docker(), "KUBECONFIG="+filepath.Join(m.dir, "server", "admin.kubeconfig"))
	return c
}

// run returns what a command prints.
func (m *machine) run(args ...string) (string, error) {
	var out bytes.Buffer
	c := m.command(args...)
	c.Stdout, c.Stderr = &out, &out
	err := m.begin(c, args[0])
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("on %s: %s: %w: %s", m.name, strings.Join(args, " "), err, out.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// begin starts a command, bin/wheelhouse with the machine's clock if that was ever set.
func (m *machine) begin(c *exec.Cmd, path string) error {
	if path == program() && m.clock.used() {
		return m.clock.start(c, filepath.Base(path))
	}
	return c.Start()
}

// sees waits until a command prints what has want in it, and returns how long that took.
func (m *machine) sees(t testing.TB, what, want string, args ...string) time.Duration {
	t.Helper()
	start := time.Now()
	wait.Within(t, limit, what, func() error {
		out, err := m.run(args...)
		if err == nil {
			err = wait.Seen(strings.Contains(out, want), out)
		}
		return err
	})
	took := time.Since(start)
	t.Logf("%-44s after %6.2f s", what, took.Seconds())
	return took
}

// service is a running program of a machine.
type service struct {
	*exec.Cmd
	log   wait.Output
	ended chan struct{}
}

// start runs a program until the test's end, or until it is stopped.
func (m *machine) start(t testing.TB, args ...string) *service {
	t.Helper()
	s := &service{Cmd: m.command(args...), ended: make(chan struct{})}
	s.Stdout, s.Stderr = &s.log, &s.log
	if err := m.begin(s.Cmd, args[0]); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Wait(); close(s.ended) }()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			log := s.log.String()
			t.Logf("%s on %s, its last lines:\n%s", args[0], m.name, log[max(0, len(log)-6000):])
		}
	})
	return s
}

// says waits until the program has printed a text, and returns how long that took.
func (s *service) says(t testing.TB, what, want string) time.Duration {
	t.Helper()
	start := time.Now()
	wait.Within(t, limit, what, func() error {
		log := s.log.String()
		return wait.Seen(strings.Contains(log, want), log[max(0, len(log)-600):])
	})
	took := time.Since(start)
	t.Logf("%-44s after %6.2f s", what, took.Seconds())
	return took
}

func (s *service) stop() {
	_ = s.Process.Signal(syscall.SIGTERM) // it may have ended
	<-s.ended
}

// startDocker runs the machine's own Docker Engine, with an image of the computer's.
func (m *machine) startDocker(t testing.TB, image string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(m.dir, name) }
	m.start(t, "dockerd", "--data-root", at("docker"), "--exec-root", at("docker-run"), "--pidfile", at("docker.pid"), "-H", m.docker(),
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--log-level", "warn")
	m.sees(t, m.name+": the Docker Engine answers", "Server", "docker", "version")
	host(t, fmt.Sprintf("docker save %s | docker -H %s load", image, m.docker()))
}
