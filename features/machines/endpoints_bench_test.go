//go:build machines

package machines

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

const endpoints = `
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: both}}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers:
  - {name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sh, -c, "mkdir /www; echo stays >/www/index.html; exec httpd -f -p 8080 -h /www"]}
---
apiVersion: v1
kind: Service
metadata: {name: both}
spec: {selector: {app: both}, ports: [{port: 80, targetPort: 8080}]}
---
`

// goes is the pod whose end is measured.
const goes = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: both}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  terminationGracePeriodSeconds: 5
  tolerations: [{operator: Exists}]
  containers:
  - name: c
    image: "busybox:latest"
    imagePullPolicy: Never
    command: [sh, -c, "mkdir /www; echo goes >/www/index.html; echo >/www/ready; exec httpd -f -p 8080 -h /www"]
    readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 1}
`

// answer is who answered a connection that began at a time; "nobody" if that failed.
type answer struct {
	at  time.Time
	who string
}

func answers(s *service) (out []answer) {
	for line := range strings.Lines(s.log.String()) {
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasSuffix(line, "\n") {
			continue
		}
		if nano, err := strconv.ParseInt(words[0], 10, 64); err == nil {
			out = append(out, answer{time.Unix(0, nano), words[1]})
		}
	}
	return out
}

// BenchmarkLastPacket measures how long new connections to a service go to an endpoint after it is none any more: to
// one that nobody has any use for, and those that are lost.
func BenchmarkLastPacket(b *testing.B) {
	c := newCluster(b)
	c.apply(b, endpoints+goes)
	service := c.get(b, "service", "both", "-o", "jsonpath={.spec.clusterIP}") + ":80"
	prober := c.one.start(b, as("/run/netns/"+c.one.ns(), "probe "+service)...)
	// since is who answered lately.
	since := func(at time.Time) map[string]int {
		count := map[string]int{}
		for _, a := range answers(prober) {
			if a.at.After(at) {
				count[a.who]++
			}
		}
		return count
	}
	both := func(when string) {
		b.Helper()
		began := time.Now()
		wait.Within(b, limit, "both pods answer "+when, func() error {
			count := since(began)
			return wait.Seen(count["goes"] > 0 && count["stays"] > 0, count)
		})
	}
	link := func(state string) func() { return func() { host(b, "ip -n "+routerNS+" link set two "+state) } }
	kubectl := func(args ...string) {
		b.Helper()
		if out, err := c.server.run(append([]string{program(), "kubectl"}, args...)...); err != nil {
			b.Fatal(out, err)
		}
	}
	both("at first")
	for _, fault := range []struct {
		name        string
		begin, mend func()
	}{
		{"probe-fails", func() { kubectl("exec", "web", "--", "rm", "/www/ready") }, func() { kubectl("exec", "web", "--", "touch", "/www/ready") }},
		{"pod-deleted", func() { kubectl("delete", "pod", "web", "--wait=false") }, func() {
			kubectl("wait", "--for=delete", "pod/web", "--timeout=2m")
			c.apply(b, goes)
		}},
		{"kubelet-killed", func() { _ = c.running[c.two].Process.Kill() }, func() { c.startNode(b, c.two, "two") }},
		{"machine-dies", link("down"), link("up")},
	} {
		began := time.Now()
		fault.begin()
		wait.Within(b, limit, fault.name+": no connection goes there for 5 s", func() error {
			count := since(time.Now().Add(-7 * time.Second))
			return wait.Seen(count["stays"] > 50 && count["goes"]+count["nobody"] == 0, count)
		})
		var last time.Time
		lost := 0
		for _, a := range answers(prober) {
			if a.at.After(began) && a.who != "stays" {
				last = a.at
				if a.who == "nobody" {
					lost++
				}
			}
		}
		took := max(0, last.Sub(began).Seconds())
		b.Logf("%-15s the last connection to it began after %6.2f s; %d of %d failed", fault.name, took, lost, len(answers(prober)))
		b.ReportMetric(took, "s:"+fault.name)
		b.ReportMetric(float64(lost), "lost:"+fault.name)
		fault.mend()
		c.ready(b, "two")
		both("after " + fault.name)
	}
}
