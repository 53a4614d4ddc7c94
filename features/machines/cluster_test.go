//go:build machines

package machines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const image = "busybox:latest"

const workload = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  containers:
  - {name: web, image: "busybox:latest", imagePullPolicy: Never, command: [sh, -c, "mkdir /www; head -c 2000000 /dev/zero >/www/large; echo hello >/www/index.html; echo serving; while sleep 1; do date +tick-%s; done & exec httpd -f -p 8080 -h /www"]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers:
  - {name: client, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

// cluster is a server and two nodes, each behind the router.
type cluster struct {
	server, one, two *machine

	running map[*machine]*service // the server or node of each
	masters []*service            // further ones, of machines one and two
}

// newCluster starts them; more are further flags of the nodes.
func newCluster(t testing.TB, more ...string) *cluster {
	t.Helper()
	return newClusterOf(t, options{flags: more})
}

// options are what differs between clusters.
type options struct {
	link  bool     // the machines share a link
	flags []string // further ones of the nodes
}

func newClusterOf(t testing.TB, o options) *cluster {
	t.Helper()
	newRouter(t)
	place := func(name string, n int) *machine {
		if o.link {
			return newMachineOnLink(t, name, n)
		}
		return newMachine(t, name, n)
	}
	c := &cluster{server: place("server", 0), one: place("one", 1), two: place("two", 2), running: map[*machine]*service{}}
	c.startServer(t)
	for _, m := range []*machine{c.one, c.two} {
		c.prepare(t, m, m.name)
		c.startNode(t, m, m.name, append(c.token(t, "--node", m.name), o.flags...)...)
	}
	for _, m := range []*machine{c.one, c.two} {
		c.ready(t, m.name)
	}
	return c
}

// serverCommand is that of a server at its machine's address.
func serverCommand(m *machine) []string {
	return []string{program(), "server", "--address", m.address, "--state-dir", filepath.Join(m.dir, "server"), "--ui-port", "0"}
}

func (c *cluster) startServer(t testing.TB, more ...string) {
	t.Helper()
	c.running[c.server] = c.server.start(t, append(serverCommand(c.server), more...)...)
	c.server.sees(t, "the server is ready", "ok", program(), "kubectl", "get", "--raw", "/readyz")
}

// prepare starts the machine's Docker Engine, and removes what a node makes at the end.
func (c *cluster) prepare(t testing.TB, m *machine, node string) {
	t.Helper()
	m.startDocker(t, image)
	t.Cleanup(func() { // between the ends of the node and of the Docker Engine
		if _, err := m.run(append([]string{program(), "node", "--cleanup"}, m.flags(node)...)...); err != nil {
			t.Error(err)
		}
	})
}

// token makes a join token, and returns the flags that name server, token and authority.
func (c *cluster) token(t testing.TB, flags ...string) []string {
	t.Helper()
	line, err := c.server.run(append([]string{program(), "token", "--kubeconfig", filepath.Join(c.server.dir, "server", "admin.kubeconfig")}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(line)[2:8] // --server URL --token TOKEN --ca-pin HASH
}

// node is the command of a node.
func (c *cluster) node(m *machine, name string, more ...string) []string {
	args := append([]string{program(), "node"}, m.flags(name)...)
	args = append(args, "--eviction-hard", "memory.available<100Mi,nodefs.available<1%,imagefs.available<1%") // the disk is the computer's
	return append(args, more...)
}

// startNode runs a node on a machine.
func (c *cluster) startNode(t testing.TB, m *machine, name string, more ...string) *service {
	t.Helper()
	c.running[m] = m.start(t, c.node(m, name, more...)...)
	return c.running[m]
}

const readiness = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`

func (c *cluster) ready(t testing.TB, node string) {
	t.Helper()
	c.sees(t, "node "+node+" is ready", "True", "get", "node", node, "-o", readiness)
}

// apply creates objects, and waits for pods web and client.
func (c *cluster) apply(t testing.TB, objects string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(objects), 0o600); err != nil {
		t.Fatal(err)
	}
	c.sees(t, "the objects are created", "created", "apply", "-f", file)
	for _, pod := range []string{"web", "client"} {
		c.sees(t, "pod "+pod+" runs", "Running", "get", "pod", pod, "-o", "jsonpath={.status.phase}")
	}
}

// get is what kubectl on the server prints, at once.
func (c *cluster) get(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.server.run(append([]string{program(), "kubectl", "get"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same checks that the pod web was not restarted.
func (c *cluster) same(t testing.TB, uid string) {
	t.Helper()
	c.sees(t, "the pod is the same one", uid+" 0", "get", "pod", "web", "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}")
}

// flags name the node and its directory: it finds its address on its own, and gets its pod CIDR from the server.
func (m *machine) flags(node string) []string {
	return []string{"--name", node, "--state-dir", filepath.Join(m.dir, "node"), "--cluster", "machines"}
}

// sees is what kubectl on the server prints.
func (c *cluster) sees(t testing.TB, what, want string, args ...string) time.Duration {
	t.Helper()
	return c.server.sees(t, what, want, append([]string{program(), "kubectl"}, args...)...)
}

func (c *cluster) fromClient(t testing.TB, what, want string, args ...string) time.Duration {
	t.Helper()
	return c.sees(t, what, want, append([]string{"exec", "client", "--"}, args...)...)
}
