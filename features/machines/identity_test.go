//go:build machines

package machines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withBoot runs a command that sees another boot of the machine: namespaces share the kernel's.
func withBoot(t testing.TB, m *machine, boot string, args ...string) []string {
	t.Helper()
	file := filepath.Join(m.dir, "boot_id")
	if err := os.WriteFile(file, []byte(boot+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"unshare", "--mount", "sh", "-ec", `mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"`, file}, args...)
}

// refused is the only line with which a command ends.
func refused(t testing.TB, m *machine, what, want string, args ...string) {
	t.Helper()
	out, err := m.command(args...).CombinedOutput()
	var last string
	for line := range strings.Lines(string(out)) {
		last = strings.TrimSpace(line)
	}
	if err == nil || !strings.HasPrefix(last, "wheelhouse: ") || !strings.Contains(last, want) {
		t.Errorf("%s: %v: %s", what, err, out)
		return
	}
	t.Logf("%s: %s", what, last)
}

// Two machines of one host name, a copy of a machine that runs, and a machine that takes another one's place: each is refused with a
// line that says what to do, or takes over.
func TestMachinesOfOneName(t *testing.T) {
	c := newCluster(t)
	c.apply(t, workload)
	uid := c.get(t, "pod", "web", "-o", "jsonpath={.metadata.uid}")
	reaches := func(when string) {
		t.Helper()
		c.fromClient(t, "the pod is reached "+when, "hello", "wget", "-T", "2", "-qO-", "http://"+c.get(t, "pod", "web", "-o", "jsonpath={.status.podIP}")+":8080/")
	}
	reaches("at first")
	three := newMachine(t, "three", 3)
	if err := os.MkdirAll(filepath.Join(three.dir, "node"), 0o700); err != nil {
		t.Fatal(err)
	}

	refused(t, three, "another machine of the host name two", "make a token for it with `wheelhouse token --node two`", c.node(three, "two", c.token(t)...)...)

	host(t, "cp "+filepath.Join(c.two.dir, "node", "two.kubeconfig")+" "+filepath.Join(three.dir, "node"))
	copied := withBoot(t, three, "11111111-copy", c.node(three, "two")...)
	refused(t, three, "a copy of machine two", "another machine (address 10.88.2.2, boot ID", copied...)
	if rules, err := three.run("iptables-save"); err != nil || strings.Contains(rules, "KUBE-") {
		t.Errorf("the copy that was refused leaves rules: %v: %s", err, rules)
	}
	reaches("while a copy was started")
	c.same(t, uid)
	c.sees(t, "the node is the first machine", "10.88.2.2", "get", "node", "two", "-o", "jsonpath={.status.addresses[0].address}")

	// The first machine's disk is broken: another one gets its name, by a token for it.
	host(t, "rm -r "+filepath.Join(three.dir, "node"))
	refused(t, three, "a machine for one that still runs", "another machine (address 10.88.2.2", withBoot(t, three, "33333333-new", c.node(three, "two", c.token(t, "--node", "two")...)...)...)
	c.running[c.two].stop()
	// The machines share the computer's control groups, which have the node's name.
	if _, err := c.two.run(append([]string{program(), "node", "--cleanup"}, c.two.flags("two")...)...); err != nil {
		t.Fatal(err)
	}
	c.prepare(t, three, "two")
	c.startNode(t, three, "two", c.token(t, "--node", "two")...)
	c.sees(t, "the node is the new machine", "10.88.3.2", "get", "node", "two", "-o", "jsonpath={.status.addresses[0].address}")
	c.ready(t, "two")
	three.sees(t, "the pod runs on the new machine", "k8s_web", "docker", "ps", "--format", "k8s_{{.Label \"io.kubernetes.container.name\"}} {{.Names}}")
	reaches("on the new machine")
	refused(t, c.two, "the first machine, which is back", "another machine (address 10.88.3.2", withBoot(t, c.two, "22222222-first", c.node(c.two, "two")...)...)
	reaches("after the first machine was back")
}
