package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/pairing"
)

// Config is a machine, and where its commands read and write.
type Config struct {
	Root string // the directory that is the machine's "/"
	In   io.Reader
	Out  io.Writer
	// Terminal reports whether In is a person: only then is anything asked for.
	Terminal bool
	// Run runs a program of the machine and returns what it printed; with streams it prints
	// to Out instead. The error has what it printed.
	Run func(ctx context.Context, streams bool, name string, args ...string) (string, error)
	// Kubectl runs wheelhouse's own kubectl with a kubeconfig.
	Kubectl func(ctx context.Context, kubeconfig string, args ...string) (string, error)
	// Local returns the machine's own address on the way to another, or on its default route
	// if that is the zero Addr.
	Local func(to netip.Addr) (netip.Addr, error)
	// Find returns the addresses that masters are announced at, after limit.
	Find func(ctx context.Context, limit time.Duration) ([]netip.AddrPort, error)
	// Now and SetClock are the machine's clock.
	Now      func() time.Time
	SetClock func(time.Time) error
	// Patience is how long enable-master waits for what it has started, and enable-worker
	// looks for a master.
	Patience time.Duration
}

const (
	// DefaultPatience is for a Raspberry Pi that creates its keys on a slow card.
	DefaultPatience = 5 * time.Minute
	// DefaultStateDir holds etcd's data, keys, and the kubelet's directory.
	DefaultStateDir = "/var/lib/wheelhouse"

	settingsDir  = "/etc/wheelhouse"
	serverEnv    = settingsDir + "/server.env"
	nodeEnv      = settingsDir + "/node.env"
	stateLink    = settingsDir + "/state" // of the state directory, where it is not the default
	share        = "/usr/share/wheelhouse"
	apiPort      = "6443"
	serverUnit   = "wheelhouse-server.service"
	nodeUnit     = "wheelhouse-node.service"
	adminFile    = "server/admin.kubeconfig"
	nodeFileName = "node/node.kubeconfig"
)

// AdminKubeconfig is where a machine's master has its owner's kubeconfig, whatever its state
// directory is.
const AdminKubeconfig = settingsDir + "/state/" + adminFile

// OnThisMachine returns the Config of the machine that the process runs on.
func OnThisMachine() Config {
	c := Config{
		Root: "/", In: os.Stdin, Out: os.Stdout,
		Now: time.Now, SetClock: setClock, Local: localAddress, Find: pairing.Find, Patience: DefaultPatience,
	}
	c.Run = func(ctx context.Context, streams bool, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if streams {
			cmd.Stdout, cmd.Stderr = c.Out, c.Out
		}
		if err := cmd.Run(); err != nil {
			return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
		}
		return out.String(), nil
	}
	c.Kubectl = func(ctx context.Context, kubeconfig string, args ...string) (string, error) {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		return c.Run(ctx, false, self, append([]string{"kubectl", "--kubeconfig", kubeconfig}, args...)...)
	}
	return c
}

func setClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}

// Machine carries out the commands of kube-config.
type Machine struct{ Config }

// New returns the machine of a Config.
func New(c Config) *Machine { return &Machine{c} }

func (m *Machine) path(name string) string { return filepath.Join(m.Root, name) }

func (m *Machine) say(format string, args ...any) { fmt.Fprintf(m.Out, format+"\n", args...) }

// read returns a file's text, "" if there is none.
func (m *Machine) read(name string) (string, error) {
	data, err := os.ReadFile(m.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// write replaces a file as a whole: a power cut leaves the old one or the new one.
func (m *Machine) write(name, text string, mode os.FileMode) error {
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has been renamed
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// stateDir returns the directory that earlier commands have chosen.
func (m *Machine) stateDir() string {
	if dir, err := os.Readlink(m.path(stateLink)); err == nil {
		return dir
	}
	return DefaultStateDir
}

// useStateDir makes dir the state directory; "" keeps the present one. A directory that holds
// data is kept: delete-data comes first.
func (m *Machine) useStateDir(dir string) error {
	old := m.stateDir()
	if dir == "" {
		dir = old
	}
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("--state-dir %q: want a path that begins with /", dir)
	}
	if dir = filepath.Clean(dir); dir != old && m.hasData() {
		return fmt.Errorf("%s has the data of a cluster: `kube-config delete-data` removes it, or move it to %s by hand and run `ln -sfn %s %s`", old, dir, dir, stateLink)
	}
	if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
		return fmt.Errorf("the state directory (on a read-only root choose one on another disk with --state-dir): %w", err)
	}
	if err := os.MkdirAll(m.path(settingsDir), 0o755); err != nil {
		return err
	}
	// Without the disk of the directory a server would begin a new cluster in its mount point.
	for _, unit := range stateUnits {
		if err := m.write(unit, "[Unit]\nRequiresMountsFor="+dir+"\n", 0o644); err != nil {
			return err
		}
	}
	if now, err := os.Readlink(m.path(stateLink)); err == nil && now == dir {
		return nil
	}
	if err := os.Remove(m.path(stateLink)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(dir, m.path(stateLink))
}

// stateUnits are what makes systemd mount the disk of the state directory before the components start; `systemctl enable`
// has it read them.
var stateUnits = []string{"/etc/systemd/system/" + serverUnit + ".d/state.conf", "/etc/systemd/system/" + nodeUnit + ".d/state.conf"}

// hasData reports whether the state directory has a cluster's data.
func (m *Machine) hasData() bool {
	for _, part := range []string{"server", "node"} {
		if entries, err := os.ReadDir(m.path(filepath.Join(m.stateDir(), part))); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}
