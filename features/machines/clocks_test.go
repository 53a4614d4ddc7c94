//go:build machines

package machines

import (
	"fmt"
	"testing"
	"time"
)

const (
	hour = int64(time.Hour / time.Second)
	year = 365 * 24 * hour
)

// A server whose clock is set has certificates that are valid by it within seconds, and by the right clock when that is set again.
func TestServersClock(t *testing.T) {
	host(t, "ip netns add "+routerNS+"; ip -n "+routerNS+" link set lo up")
	t.Cleanup(func() { host(t, "ip netns del "+routerNS) })
	c := &cluster{server: newMachine(t, "server", 0), running: map[*machine]*service{}}
	c.server.clock.set(t, 0)
	c.startServer(t)
	for _, by := range []int64{hour, -hour, year, -year, 9 * year} {
		for _, to := range []int64{by, 0} {
			c.server.clock.set(t, to)
			c.sees(t, fmt.Sprintf("the clock is set to %+d hours", to/hour), "namespace/default", "get", "namespace", "default", "-o", "name")
		}
	}
}
