//go:build !quick

package main_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/network"
)

// One command frees a machine of its node and server: what the node has made, and the data of both. It refuses
// while one of them runs, and leaves the directories of others.
func TestUninstall(t *testing.T) {
	t.Parallel()
	name, dir := fmt.Sprintf("uninstall-%d", os.Getpid()), t.TempDir()
	run := func(line string) (string, error) {
		out, err := exec.Command("ip", "netns", "exec", name, "sh", "-ec", line).CombinedOutput()
		return string(out), err
	}
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() }) // the test is over
	ns := must[netns.NsHandle](t)(netns.GetFromName(name))
	defer func() { _ = ns.Close() }()
	n := must[*network.Network](t)(network.New(network.Config{
		PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16"),
	}))
	if err := network.Do(ns, func() error { return n.Setup(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(dir, "node")
	for _, made := range []string{"server", "node/kubelet/pods/x", "mine"} {
		if err := os.MkdirAll(filepath.Join(dir, made), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// It ends without a kubeconfig, and has written before what it is about to make.
	p := start(t, "node", "--cluster", name, "--state-dir", node, "--name", "n", "--address", "127.0.0.1", "--pod-cidr", "10.246.1.0/24", "--kubeconfig", filepath.Join(dir, "none"))
	<-p.ended
	s := startServer(t, "server", filepath.Join(dir, "server"))
	uninstall := binary + " uninstall --state-dir " + dir + " 2>&1"
	if out, err := run(uninstall); err == nil || !strings.Contains(out, "stop these services first, and run uninstall again: server (process ") {
		t.Errorf("while the server runs: %v, %s", err, out)
	}
	// As after an upgrade: the server that runs is not the program that is there now.
	upgraded := filepath.Join(t.TempDir(), "wheelhouse")
	if out, err := exec.Command("cp", binary, upgraded).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(upgraded + " uninstall --state-dir " + dir + " 2>&1"); err == nil || !strings.Contains(out, "server (process ") {
		t.Errorf("while the server of before an upgrade runs: %v, %s", err, out)
	}
	s.kill()
	if out, err := run(uninstall); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left := must[[]os.DirEntry](t)(os.ReadDir(dir))
	if len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left: %v", left)
	}
	if after, _ := run("ip link show cbr0; ip route; iptables-save | grep -v '^#'"); strings.Contains(after, "WHEELHOUSE") || strings.Contains(after, "10.246.") {
		t.Errorf("left on the machine:\n%s", after)
	}
	if out, err := run(uninstall); err != nil {
		t.Errorf("again: %v: %s", err, out)
	}
}
