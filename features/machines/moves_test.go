//go:build machines

package machines

import (
	"fmt"
	"testing"
)

// The server's machine gets another address, as a laptop in another network does. It and the nodes say what to do; no pod is
// restarted, and what nodes need for it is one flag.
func TestServerMoves(t *testing.T) {
	c := newCluster(t)
	c.apply(t, workload)
	uid, ip := c.get(t, "pod", "web", "-o", "jsonpath={.metadata.uid}"), c.get(t, "pod", "web", "-o", "jsonpath={.status.podIP}")

	c.server.address = "10.88.0.3"
	host(t, fmt.Sprintf("ip -n %[1]s addr flush dev eth0; ip -n %[1]s addr add %[2]s/24 dev eth0; ip -n %[1]s route add default via 10.88.0.1", c.server.ns(), c.server.address))
	c.running[c.server].says(t, "the server says what to do", "this machine no longer has the server's --address: start the server with --address of the new one")
	for _, m := range []*machine{c.one, c.two} {
		c.running[m].says(t, "node "+m.name+" says what to do", "no master answers; if it has another address now, start the node with --server")
	}
	c.one.sees(t, "pods are reached meanwhile", "hello", "curl", "-s", "-m", "2", "http://"+ip+":8080/")

	c.running[c.server].stop()
	c.startServer(t)
	for _, m := range []*machine{c.one, c.two} {
		c.running[m].stop()
		c.startNode(t, m, m.name, "--server", "https://"+c.server.address+":6443")
	}
	for _, m := range []*machine{c.one, c.two} {
		c.ready(t, m.name)
	}
	c.same(t, uid)
	c.fromClient(t, "a service by name", "hello", "wget", "-T", "5", "-qO-", "http://web.default.svc.cluster.local/")
	c.sees(t, "the API's endpoint is the new address", c.server.address, "get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[0].addresses[0]}")
}
