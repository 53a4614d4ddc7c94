//go:build !quick

// Package arm_test checks the Debian package as it is built: by lintian, systemd-analyze, and on
// machines of its own, on which kube-config and the server run as they do on a Raspberry Pi. It
// needs root; arm/setup.sh installs its programs.
package arm_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cucumber/godog"

	"wheelhouse/cluster/pairing"
)

// ldflags leave out debug information; kubectl's version is that of go.mod.
const ldflags = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3"

// run runs a program and fails with what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LDFLAGS="+ldflags)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pack builds the package of this machine's architecture once, and returns its path.
func pack(t *testing.T) string {
	t.Helper()
	packing.Do(func() { packed = build(t) })
	if packed == "" {
		t.Fatal("the package could not be built")
	}
	return packed
}

var (
	packing sync.Once
	packed  string
)

func build(t *testing.T) string {
	t.Helper()
	out, err := filepath.Abs("../bin/deb-test")
	if err != nil {
		t.Fatal(err)
	}
	old, _ := filepath.Glob(out + "/*.deb") // the pattern is right
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "./deb/build.sh", "-z", "gzip", "-l", "1", "-o", out, runtime.GOARCH)
	built, _ := filepath.Glob(out + "/wheelhouse_*.deb") // the pattern is right
	if len(built) != 1 {
		t.Fatalf("build.sh left %q", built)
	}
	return built[0]
}

func TestScripts(t *testing.T) {
	run(t, "./setup.sh")
	scripts := []string{"setup.sh", "deb/build.sh", "deb/emulated.sh", "deb/debian/postinst", "deb/debian/prerm", "deb/debian/postrm", "testdata/systemctl", "testdata/machines.sh"}
	scripts = append(scripts, "budget.sh", "handout.sh", "sdcard/first-boot", "sdcard/prepare")
	more, _ := filepath.Glob("*/*.sh") // the pattern is right
	run(t, "shellcheck", append(append([]string{"--exclude=SC1090,SC1091"}, scripts...), more...)...)
}

// What would fail only on the machine is refused before anything is built.
func TestCardRefuses(t *testing.T) {
	for want, args := range map[string]string{
		"could join no master":        "--role worker",
		"want one of them":            "--role worker --class c --code-file /etc/hostname",
		"master, worker or none":      "--role minion",
		"two capital letters":         "--wifi room",
		"--wifi-password-file":        "--wifi room --wifi-country DE",
		"lower-case letters, digits":  "--name Pi_1",
		"--user root;reboot":          "--user root;reboot",
		"an address with a prefix":    "--address 10.0.0.1",
		"--address is needed":         "--serve-addresses",
		"a time such as 336h":         "--ttl soon",
		"cannot be read":              "--password-file /none",
		"unknown flag --password":     "--password secret",
		"a package and the name":      "",
		"/none/wheelhouse.deb cannot": "--role none",
	} {
		words := strings.Fields(args)
		if args != "" {
			words = append(words, "/none/wheelhouse.deb", "/none/card.img")
		}
		out, err := exec.CommandContext(t.Context(), "sdcard/card.sh", words...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("card.sh %s: %v, printed %s; want %q", args, err, out, want)
		}
	}
}

func TestPackage(t *testing.T) {
	run(t, "./setup.sh")
	deb := pack(t)
	if info, err := os.Stat(deb); err != nil || info.Size() > 40<<20 {
		t.Errorf("%s has %d bytes, more than 40 MiB: %v", deb, info.Size(), err)
	}
	root := t.TempDir()
	run(t, "dpkg-deb", "-x", deb, root)
	for _, name := range []string{
		"usr/bin/wheelhouse", "usr/bin/kubectl", "usr/bin/lab", "usr/bin/kube-config", "usr/share/wheelhouse/labs/workshop/01-influxdb/lab.yaml",
		"usr/share/wheelhouse/features/workshop/influxdb.feature", "usr/share/wheelhouse/addons/registry.yaml", "usr/share/man/man8/kube-config.8.gz",
	} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	// Nothing is started by the installation.
	run(t, "dpkg-deb", "-e", deb, filepath.Join(root, "DEBIAN"))
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		text, err := os.ReadFile(filepath.Join(root, "DEBIAN", script))
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`(systemctl|deb-systemd-invoke) (enable|start|restart)\b`).Find(text); found != nil {
			t.Errorf("%s has %q", script, found)
		}
	}
	t.Run("lintian", func(t *testing.T) {
		t.Parallel()
		run(t, "lintian", "--allow-root", "--fail-on", "error,warning", deb)
	})
	t.Run("units", func(t *testing.T) {
		t.Parallel()
		verifyUnits(t, root)
	})
}

// verifyUnits lets systemd read the units beside those of the distribution. Its messages are
// about the machine's other units, too: those that name ours count.
func verifyUnits(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"lib/systemd/system", "usr/lib/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"network-online.target", "time-sync.target", "multi-user.target", "basic.target", "sysinit.target", "shutdown.target"} {
		text := "[Unit]\nDescription=" + target + "\nDefaultDependencies=no\n"
		if err := os.WriteFile(filepath.Join(root, "lib/systemd/system", target), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range []string{"wheelhouse-server.service", "wheelhouse-node.service"} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+root, unit).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(unit)) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// machines are disks and processes of their own, in namespaces that end with the test.
type machines struct {
	t     *testing.T
	deb   string
	dir   string
	pid   int
	noted string
}

func TestKubeConfig(t *testing.T) {
	run(t, "./setup.sh")
	m := &machines{t: t, deb: pack(t)}
	suite := godog.TestSuite{
		ScenarioInitializer: func(sc *godog.ScenarioContext) {
			sc.Step(`^machines "([^"]+)" and "([^"]+)" with the package installed$`, func(ctx context.Context, first, second string) error {
				return m.start(ctx, first, second)
			})
			sc.Step(`^machines "([^"]+)", "([^"]+)" and "([^"]+)" with the package installed$`, func(ctx context.Context, first, second, third string) error {
				return m.start(ctx, first, second, third)
			})
			sc.Step("^on \"([^\"]+)\" `(.+)` prints:$", m.prints)
			sc.Step("^on \"([^\"]+)\" `(.+)` fails with \"([^\"]+)\"$", m.fails)
			sc.Step("^on \"([^\"]+)\" `(.+)` is noted$", m.note)
			sc.Step("^on \"([^\"]+)\" `(.+)` is run$", func(ctx context.Context, name, line string) error {
				out, err := m.command(ctx, name, line)
				if err != nil {
					return fmt.Errorf("%w: %s%s", err, out, m.serverLog(ctx, name))
				}
				return nil
			})
			sc.Step(`^"([^"]+)" starts for the first time with a card for a (master|worker) of the class$`, m.firstStart)
			sc.Step(`^on "([^"]+)" 40 secrets are tried for the noted code$`, m.guess)
			sc.Step("^on \"([^\"]+)\" the noted command with `(.+)` prints:$", func(ctx context.Context, name, args string, want *godog.DocString) error {
				return m.prints(ctx, name, m.noted+" "+args, want)
			})
			sc.Step("^on \"([^\"]+)\" the noted command with `(.+)` fails with \"([^\"]+)\"$", func(ctx context.Context, name, args, text string) error {
				return m.fails(ctx, name, m.noted+" "+args, text)
			})
			sc.Step(`^on "([^"]+)" the package is installed again$`, func(ctx context.Context, name string) error {
				out, err := m.command(ctx, name, "dpkg --force-unsafe-io --force-depends --force-conflicts --force-overwrite -i /tmp/package.deb")
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		},
		Options: &godog.Options{Format: "pretty", Paths: []string{"../features/kits/arm.feature"}, Strict: true, TestingT: t, Output: godogOutput(t)},
	}
	if suite.Run() != 0 {
		t.Error("the scenarios do not hold")
	}
}

// start makes the machines. They end when the test does, with all their processes.
func (m *machines) start(_ context.Context, names ...string) error {
	m.dir = m.t.TempDir()
	cmd := exec.CommandContext(m.t.Context(), "./testdata/machines.sh", append([]string{m.dir, m.deb, "testdata/systemctl"}, names...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: machines need root", err)
	}
	m.pid = cmd.Process.Pid
	m.t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill() // the first process of the namespace: all others end with it
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return nil
		}
	}
	return fmt.Errorf("the machines did not start: %s", complaints.String())
}

// command runs a command line on a machine, and returns what it printed.
func (m *machines) command(ctx context.Context, name, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "--target", fmt.Sprint(m.pid), "--mount", "--pid", "nsenter", "--net=/run/netns/"+name, "chroot", filepath.Join(m.dir, name),
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "bash", "-o", "pipefail", "-c", line)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// prints compares line by line; each wanted line is an expression for a whole one.
func (m *machines) prints(ctx context.Context, name, line string, want *godog.DocString) error {
	out, err := m.command(ctx, name, line)
	if err != nil {
		return fmt.Errorf("`%s` on %s: %w\n%s%s", line, name, err, out, m.serverLog(ctx, name))
	}
	got, wanted := strings.Split(strings.TrimSpace(out), "\n"), strings.Split(strings.TrimSpace(want.Content), "\n")
	if len(got) != len(wanted) {
		return fmt.Errorf("`%s` on %s printed %d lines, want %d:\n%s", line, name, len(got), len(wanted), out)
	}
	for i, w := range wanted {
		expression, err := regexp.Compile("^" + w + "$")
		if err != nil {
			return err
		}
		if !expression.MatchString(got[i]) {
			return fmt.Errorf("`%s` on %s: line %d is %q, want %q, in:\n%s", line, name, i+1, got[i], w, out)
		}
	}
	return nil
}

func (m *machines) serverLog(ctx context.Context, name string) string {
	out, err := m.command(ctx, name, "tail -5 /run/server.log")
	if err != nil {
		return ""
	}
	return "the server's log ends:\n" + out
}

func (m *machines) fails(ctx context.Context, name, line, text string) error {
	out, err := m.command(ctx, name, line)
	if err == nil || !strings.Contains(out, text) {
		return fmt.Errorf("`%s` on %s: %w, want a failure with %q:\n%s", line, name, err, text, out)
	}
	return nil
}

func (m *machines) note(ctx context.Context, name, line string) error {
	out, err := m.command(ctx, name, line)
	m.noted = strings.TrimSpace(out)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// firstStart runs what the card runs at the first start of a machine, in the class that was made
// on "master" in /tmp/class.
func (m *machines) firstStart(ctx context.Context, name, role string) error {
	script, err := os.ReadFile("sdcard/first-boot")
	if err != nil {
		return err
	}
	code, err := m.command(ctx, "master", "cat /tmp/class/code")
	if err != nil {
		return fmt.Errorf("%w: %s", err, code)
	}
	keys := ""
	if role == "master" {
		keys = "cp -r /tmp/class/pki /etc/wheelhouse/card/\n"
	}
	out, err := m.command(ctx, name, fmt.Sprintf("umask 077; mkdir -p /etc/wheelhouse/card\n%scat >/etc/wheelhouse/card/code <<'END'\n%sEND\nprintf 'role=%s\\nname=%s\\ncount=1\\nttl=1h\\n' >/etc/wheelhouse/card/settings\ncat >/tmp/first-boot <<'END'\n%sEND\numask 022; bash /tmp/first-boot",
		keys, code, role, name, script))
	if err != nil || strings.Contains(out, strings.TrimSpace(code)) {
		return fmt.Errorf("the first start failed, or printed the code: %w: %s%s", err, out, m.serverLog(ctx, name))
	}
	return nil
}

// guess tries secrets for the id of the noted code, eight from an address as the server bounds
// what a source may try.
func (m *machines) guess(ctx context.Context, name string) error {
	words := strings.Fields(m.noted)
	code, err := pairing.Parse(words[len(words)-1])
	if err != nil {
		return err
	}
	token, err := code.Token()
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(token, ".")
	out, err := m.command(ctx, name, `for a in 101 102 103 104 105; do
  ip address add 10.245.9.$a/24 dev eth0
  for b in a b c d e f g h; do
    curl -sk --interface 10.245.9.$a -o /dev/null -w '%{http_code} ' -H "Authorization: Bearer `+id+`.000000000000${a}$b" https://10.245.9.2:6443/api
  done
  ip address del 10.245.9.$a/24 dev eth0
done`)
	if err != nil || strings.Count(out, "401") != 40 {
		return fmt.Errorf("want 40 refusals, none for a source's own number of tries: %w: %s", err, out)
	}
	return nil
}

// godogOutput shows the steps with -v, as the other features do.
func godogOutput(t *testing.T) *os.File {
	t.Helper()
	if testing.Verbose() {
		return os.Stdout
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	return null
}
