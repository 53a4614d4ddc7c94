//go:build !quick

package proxy_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// edited is the service among 1,000 whose endpoint is changed.
const edited = "10.247.4.250:80"

// One endpoint edited among 1,000 services reaches iptables, and packets follow it.
func TestThousandServices(t *testing.T) {
	c := start(t)
	chain := c.thousandServices(t)
	for _, name := range []string{"b", "c", "a"} {
		c.edit(t, chain, name)
		c.answers(c.outside, edited, name+" 10.246.1.1")
	}
}

// BenchmarkEditAmong1000Services is the time from an edited endpoint until the rule is in
// iptables.
func BenchmarkEditAmong1000Services(b *testing.B) {
	c := start(b)
	chain := c.thousandServices(b)
	var all []time.Duration
	for range b.N {
		for _, name := range []string{"b", "c", "a", "b", "c", "a"} {
			all = append(all, c.edit(b, chain, name))
		}
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}

// thousandServices waits until they are in force and returns the chain of the edited one.
func (c *cluster) thousandServices(t testing.TB) string {
	t.Helper()
	c.stop() // the next proxy begins with all of them
	for i := range 1000 {
		name := fmt.Sprintf("svc-%d", i)
		c.put(service(name, fmt.Sprintf("10.247.%d.%d", 1+i/250, 1+i%250)), slice(name, "10.246.1.200", "10.246.1.201"))
	}
	c.put(nil, slice("svc-999", c.pods["a"].ip))
	c.startProxy()
	c.answers(c.outside, edited, "a 10.246.1.1")
	out, err := exec.Command("iptables", "-t", "nat", "-S").Output()
	if err != nil {
		t.Fatal(err)
	}
	chain := regexp.MustCompile(`svc-999:http cluster IP.* -j (KUBE-SVC-\w+)`).FindSubmatch(out)
	if chain == nil {
		t.Fatal("no chain for svc-999")
	}
	return string(chain[1])
}

// edit gives the service one other endpoint and returns how long iptables lacked it.
func (c *cluster) edit(t testing.TB, chain, pod string) time.Duration {
	t.Helper()
	began := time.Now()
	c.put(nil, slice("svc-999", c.pods[pod].ip))
	for {
		out, err := exec.Command("iptables", "-t", "nat", "-S", chain).Output()
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if strings.Contains(string(out), c.pods[pod].ip+":8080") {
			return took
		}
		if took > time.Minute {
			t.Fatalf("endpoint %s is not in iptables after %s; there is\n%s", pod, took, out)
		}
	}
}
