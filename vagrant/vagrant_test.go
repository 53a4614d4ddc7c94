//go:build !quick

// Package vagrant_test holds the kit's files to what Vagrant itself makes of them. It needs root
// where Vagrant is not installed: it installs the distribution's.
package vagrant_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// setup installs Vagrant, Ruby and shellcheck where they are missing, once.
func setup(t *testing.T) {
	t.Helper()
	setUp.Do(func() {
		if out, err := run(t, nil, "../arm/setup.sh", "vagrant=vagrant", "ruby=ruby"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

var setUp sync.Once

// run runs a program with further environment, and returns what it printed.
func run(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(append(os.Environ(), "VAGRANT_HOME="+t.TempDir(), "VAGRANT_CHECKPOINT_DISABLE=1"), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// Each provider gets the same machines, with its own words for memory and processors.
func TestProviders(t *testing.T) {
	setup(t)
	out, err := run(t, []string{"WHEELHOUSE_MINIONS=2", "KUBERNETES_MASTER_MEMORY=768", "WHEELHOUSE_MINION_MEMORY=1536", "WHEELHOUSE_CPUS=2"}, "ruby", "providers.rb")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	for _, provider := range []string{"virtualbox", "libvirt", "hyperv", "vmware_desktop", "parallels", "qemu"} {
		unit := ""
		if provider == "qemu" {
			unit = "M"
		}
		for _, machine := range []string{"master 10.245.1.2 768", "minion-1 10.245.1.3 1536", "minion-2 10.245.1.4 1536"} {
			fmt.Fprintf(&want, "%s %s%s 2\n", provider, machine, unit)
		}
	}
	if out != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", out, want.String())
	}
}

func TestVagrantValidates(t *testing.T) {
	setup(t)
	if out, err := run(t, nil, "vagrant", "validate", "--ignore-provider"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The error of a wrong setting has its name, its value and what is wanted.
func TestWrongSettings(t *testing.T) {
	setup(t)
	for _, c := range []struct{ setting, want string }{
		{"WHEELHOUSE_MINIONS=0", "WHEELHOUSE_MINIONS=0: want a whole number of 1 or more"},
		{"NUM_MINIONS=many", "NUM_MINIONS=many: want a whole number of 1 or more"},
		{"WHEELHOUSE_MINIONS=201", "WHEELHOUSE_MINIONS=201: at most 200"},
		{"WHEELHOUSE_CPUS=-1", "WHEELHOUSE_CPUS=-1: want a whole number of 1 or more"},
		{"WHEELHOUSE_NETWORK=10.245", "WHEELHOUSE_NETWORK=10.245: want three numbers, as 10.245.1"},
		{"WHEELHOUSE_NETWORK=10.245.999", "WHEELHOUSE_NETWORK=10.245.999: want three numbers, as 10.245.1"},
	} {
		out, err := run(t, []string{c.setting}, "vagrant", "validate", "--ignore-provider")
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, and it says:\n%s\nwant: %s", c.setting, err, out, c.want)
		}
	}
}

func TestShell(t *testing.T) {
	setup(t)
	scripts, _ := filepath.Glob("*.sh")               // the pattern is right
	kits, _ := filepath.Glob("../features/kits/*.sh") // the pattern is right
	if len(scripts) == 0 || len(kits) == 0 {
		t.Fatalf("no scripts: %q, %q", scripts, kits)
	}
	scripts = append(scripts, kits...)
	if out, err := run(t, nil, "shellcheck", append(scripts, "validate-cluster")...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
