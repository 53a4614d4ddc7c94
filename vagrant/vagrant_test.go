//go:build !quick

// Package vagrant_test holds the kit's files to what Vagrant itself makes of them. It needs root
// where Vagrant is not installed: it installs the distribution's.
package vagrant_test

import (
	"encoding/xml"
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

// With the provider qemu each minion has a cable to the hub in the master's program, a pair of UDP ports on loopback. On a
// Mac neither a multicast group nor a second connection to a listening socket would join them.
func TestCablesOfQemu(t *testing.T) {
	setup(t)
	var want strings.Builder
	args := []string{"providers.rb", "qemu"}
	for _, host := range []struct{ cpu, system, given string }{
		{"arm64", "darwin23", "aarch64 - - -"},
		{"x86_64", "darwin23", "x86_64 q35,accel=hvf host virtio-net-pci"},
		{"x86_64", "mingw32", "x86_64 q35,accel=whpx host virtio-net-pci"},
		{"x86_64", "freebsd14", "x86_64 q35,accel=tcg max virtio-net-pci"},
	} {
		args = append(args, host.cpu, host.system)
		fmt.Fprintln(&want, host.cpu, host.system, host.given)
	}
	out, err := run(t, []string{"WHEELHOUSE_MINIONS=3", "WHEELHOUSE_API_PORT=7000"}, "ruby", args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want.WriteString("master ")
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(&want, "-netdev socket,id=cable%d,localaddr=127.0.0.1:%d,udp=127.0.0.1:%d -netdev hubport,id=port%d,hubid=1,netdev=cable%d ", i, 7001+i, 7201+i, i, i)
	}
	want.WriteString("-netdev hubport,id=kit,hubid=1 -device virtio-net-pci,netdev=kit,mac=52:54:00:f5:01:02\n")
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(&want, "minion-%d -netdev socket,id=kit,localaddr=127.0.0.1:%d,udp=127.0.0.1:%d -device virtio-net-pci,netdev=kit,mac=52:54:00:f5:01:%02x\n",
			i, 7201+i, 7001+i, i+2)
	}
	if out != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", out, want.String())
	}
}

// The host reaches the API server by each provider, and checks its certificate for an address that it has.
func TestKubeconfigOfTheHost(t *testing.T) {
	setup(t)
	admin := filepath.Join(t.TempDir(), "admin")
	if err := os.WriteFile(admin, []byte("clusters:\n- cluster:\n    server: https://10.245.1.2:6443\n  name: wheelhouse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, nil, "ruby", "providers.rb", "kubeconfig", admin, "172.20.3.4")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	for _, provider := range []string{"virtualbox", "libvirt", "hyperv", "vmware_desktop", "parallels", "qemu"} {
		server := map[string]string{
			"hyperv": "https://172.20.3.4:6443\n    tls-server-name: 10.245.1.2", "qemu": "https://127.0.0.1:6443\n    tls-server-name: 10.245.1.2",
		}[provider]
		if server == "" {
			server = "https://10.245.1.2:6443"
		}
		fmt.Fprintf(&want, "%s:\nclusters:\n- cluster:\n    server: %s\n  name: wheelhouse\n", provider, server)
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
		{"WHEELHOUSE_API_PORT=65535", "WHEELHOUSE_API_PORT=65535: at most 65000"},
		{"WHEELHOUSE_NETWORK=10.245", "WHEELHOUSE_NETWORK=10.245: want three numbers, as 10.245.1"},
		{"WHEELHOUSE_NETWORK=10.245.999", "WHEELHOUSE_NETWORK=10.245.999: want three numbers, as 10.245.1"},
	} {
		out, err := run(t, []string{c.setting}, "vagrant", "validate", "--ignore-provider")
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, and it says:\n%s\nwant: %s", c.setting, err, out, c.want)
		}
	}
}

// Where two builds of the box differ, all other stages are proven all the same, and the run fails.
func TestStagesWithoutTheSameBox(t *testing.T) {
	top := t.TempDir()
	kits := filepath.Join(top, "features", "kits")
	if err := os.MkdirAll(kits, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prove.sh", "apart.sh"} {
		text, err := os.ReadFile("../features/kits/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(kits, name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"build.sh", "vagrant.sh", "package.sh"} {
		if err := os.WriteFile(filepath.Join(kits, name), []byte("#!/bin/sh\n[ $1 != again ]\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(t, nil, "sh", "-c", `cd "$0" && git init -q && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m first`, top); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := run(t, nil, filepath.Join(kits, "prove.sh"))
	if err == nil || strings.Contains(out, "skip") || strings.Count(out, "FAIL") != 1 || strings.Count(out, "ok ") != 14 {
		t.Errorf("%v, printed:\n%s", err, out)
	}
}

// What Vagrant's import for Hyper-V reads (VagrantVM.psm1) is in the box's description, each value with a type.
func TestBoxOfHyperV(t *testing.T) {
	text, err := os.ReadFile("box-hyperv.xml")
	if err != nil {
		t.Fatal(err)
	}
	type value struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	}
	var box struct {
		Name     value `xml:"properties>name"`
		Subtype  value `xml:"properties>subtype"`
		Count    value `xml:"settings>processors>count"`
		Size     value `xml:"settings>memory>bank>size"`
		Boot     value `xml:"boot>device0"`
		Disk     value `xml:"ide>controller0>drive0>pathname"`
		DiskType value `xml:"ide>controller0>drive0>type"`
	}
	if err := xml.Unmarshal(text, &box); err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]value{
		"debian12": box.Name, "0": box.Subtype, "1": box.Count, "1024": box.Size, "HardDrive": box.Boot, "box.vhd": box.Disk, "VHD": box.DiskType,
	} {
		if got.Text != want || got.Type == "" {
			t.Errorf("got %+v, want %s with a type", got, want)
		}
	}
}

// The laptops of a class run other systems: each gets both programs.
func TestProgramsOfTheHost(t *testing.T) {
	out, err := run(t, nil, "make", "-n", "-C", "..", "lab-all")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"linux darwin windows", "bin/lab-all/lab-$system-$arch$suffix ./lab-runner/cmd/lab", "bin/lab-all/kubectl-$system-$arch$suffix ./labs/images/workbench/kubectl"} {
		if !strings.Contains(out, want) {
			t.Errorf("make lab-all prints no %q:\n%s", want, out)
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
