package proxy_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// One endpoint edited among 1,000 services reaches iptables soon. The bound here is
// loose, for busy machines; the figure is in the log.
func TestThousandServices(t *testing.T) {
	c := start(t)
	began := time.Now()
	for i := range 1000 {
		name := fmt.Sprintf("svc-%d", i)
		c.put(service(name, fmt.Sprintf("10.247.%d.%d", 1+i/250, 1+i%250)), slice(name, "10.246.1.200", "10.246.1.201"))
	}
	last := "10.247.4.250:80"
	c.put(nil, slice("svc-999", c.pods["a"].ip))
	c.answers(c.outside, last, "a 10.246.1.1")
	t.Logf("1,000 services in force after %s", time.Since(began))
	out, err := exec.Command("iptables", "-t", "nat", "-S").Output()
	if err != nil {
		t.Fatal(err)
	}
	chain := regexp.MustCompile(`svc-999:http cluster IP.* -j (KUBE-SVC-\w+)`).FindSubmatch(out)
	if chain == nil {
		t.Fatal("no chain for svc-999")
	}
	for _, name := range []string{"b", "c", "a", "b", "c", "a"} {
		began := time.Now()
		c.put(nil, slice("svc-999", c.pods[name].ip))
		for {
			out, err := exec.Command("iptables", "-t", "nat", "-S", string(chain[1])).Output()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(out), c.pods[name].ip+":8080") {
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Fatalf("endpoint %s is not in iptables after %s", name, time.Since(began))
			}
		}
		t.Logf("edited endpoint seen in iptables after %s", time.Since(began))
		c.answers(c.outside, last, name+" 10.246.1.1")
	}
}
