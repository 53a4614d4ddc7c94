//go:build machines

package machines

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

const balanced = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: balanced}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  containers: [{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sh, -c, "mkdir /www; echo two >/www/index.html; exec httpd -f -p 8080 -h /www"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: balanced}}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers: [{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sh, -c, "mkdir /www; echo one >/www/index.html; exec httpd -f -p 8080 -h /www"]}]
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: balanced}, ports: [{port: 80, targetPort: 8080}]}
`

// addressMoves is the time within which another machine answers for an address of a load balancer.
const addressMoves = 3 * time.Second

// newMasters starts three masters on one link, of which two are nodes, with addresses for load balancers.
func newMasters(t testing.TB) *cluster {
	t.Helper()
	newRouter(t)
	c := &cluster{server: newMachineOnLink(t, "server", 0), one: newMachineOnLink(t, "one", 1), two: newMachineOnLink(t, "two", 2), running: map[*machine]*service{}}
	flags := []string{"--load-balancer-pool", "10.88.0.200/30", "--node", "one=" + c.one.address, "--node", "two=" + c.two.address}
	c.startServer(t, append([]string{"--cluster-init", "--name", "server"}, flags...)...)
	for _, m := range []*machine{c.one, c.two} {
		line, err := c.server.run(program(), "token", "--master", "--kubeconfig", filepath.Join(c.server.dir, "server", "admin.kubeconfig"))
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(line)
		join := words[slices.Index(words, "--join"):]
		c.masters = append(c.masters, m.start(t, slices.Concat(serverCommand(m), join[:4], []string{"--name", m.name}, flags)...))
		m.sees(t, "master "+m.name+" is ready", "ok", program(), "kubectl", "get", "--raw", "/readyz")
		c.prepare(t, m, m.name)
		c.startNode(t, m, m.name, "--kubeconfig", filepath.Join(m.dir, "server", m.name+".kubeconfig"))
	}
	for _, m := range []*machine{c.one, c.two} {
		c.ready(t, m.name)
	}
	return c
}

// A load balancer's address is answered for while the master on the machine that has it is killed, and by another machine within 3 s
// when that machine dies; the other masters go on.
func TestAddressOfAMaster(t *testing.T) {
	c := newMasters(t)
	c.apply(t, balanced)
	c.sees(t, "the service has an address", "10.88.0.20", "get", "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	address := c.get(t, "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	prober := c.server.start(t, as("/run/netns/"+routerNS, "probe "+address+":80")...)
	// next is the first answer that began after a time, from any machine that is not the one named.
	next := func(what, not string, after time.Time) (found answer) {
		t.Helper()
		wait.Within(t, limit, what, func() error {
			all := answers(prober)
			i := slices.IndexFunc(all, func(a answer) bool { return a.at.After(after) && a.who != "nobody" && a.who != not })
			if i < 0 {
				return fmt.Errorf("%d answers, none of those", len(all))
			}
			found = all[i]
			return nil
		})
		return found
	}
	holder := next("a machine of the link is answered", "", time.Time{}).who
	other, index := map[string]string{"one": "two", "two": "one"}[holder], map[string]int{"one": 0, "two": 1}[holder]

	killed := time.Now()
	_ = c.masters[index].Process.Kill() // it runs
	<-c.masters[index].ended
	c.sees(t, "the other masters go on", "created", "create", "configmap", "after-the-master")
	next("the address is answered", "", killed.Add(addressMoves))
	for _, a := range answers(prober) {
		if a.at.After(killed) && a.at.Before(killed.Add(addressMoves)) && a.who != holder {
			t.Errorf("after the master was killed, %s answered at %v", a.who, a.at.Sub(killed))
		}
	}

	host(t, "ip -n "+routerNS+" link set "+holder+" down")
	died := time.Now()
	took := next("another machine answers", holder, died).at.Sub(died)
	t.Logf("%-44s after %6.2f s", "MOVED from "+holder+" to "+other, took.Seconds())
	if took > addressMoves {
		t.Errorf("the address moved after %v, want %v at most", took, addressMoves)
	}
	c.sees(t, "the other masters go on", "created", "create", "configmap", "after-the-machine")
	c.sees(t, "the node is not ready", "Unknown", "get", "node", holder, "-o", readiness)

	host(t, "ip -n "+routerNS+" link set "+holder+" up")
	c.ready(t, holder)
	back := time.Now()
	next("the address is answered when the machine is back", holder, back)
}
