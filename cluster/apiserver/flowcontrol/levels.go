package flowcontrol

import "time"

// The names of the levels, as upstream's; Probes is upstream's flow schema of that name.
const (
	Exempt         = "exempt" // no Level: such requests are not bounded
	NodeHigh       = "node-high"
	System         = "system"
	LeaderElection = "leader-election"
	WorkloadHigh   = "workload-high"
	WorkloadLow    = "workload-low"
	GlobalDefault  = "global-default"
	Probes         = "probes"
	CatchAll       = "catch-all"
)

const mib = 1 << 20

// shares are upstream's, which is how the seats of a server are divided, but for probes.
// One flow may have half of its level's seats, but all of them where the flows are those
// of components, which do not compete.
var shares = []struct {
	name       string
	share      int
	components bool
	limits     [resources]Limit
}{
	{NodeHigh, 40, false, limits(200, 1000, 200, 32*mib)},
	{System, 30, false, limits(200, 1000, 200, 32*mib)},
	{LeaderElection, 10, true, limits(200, 200, 10, 4*mib)},
	{WorkloadHigh, 40, true, limits(400, 1000, 200, 64*mib)},
	{WorkloadLow, 100, false, limits(200, 250, 100, 32*mib)},
	{GlobalDefault, 20, false, limits(200, 250, 100, 32*mib)},
	{Probes, 5, false, limits(20, 1, 1, 0)},
	{CatchAll, 5, false, limits(100, 10, 10, 4*mib)},
}

// limits returns those of one flow; all flows together have eight times as much.
func limits(requests, watches, streams, bytes int) [resources]Limit {
	var out [resources]Limit
	for r, n := range map[Resource]int{Requests: requests, Watches: watches, Streams: streams, Bytes: bytes, Refusals: 1000} {
		out[r] = Limit{PerFlow: n, Total: 8 * n}
	}
	return out
}

// Levels returns the levels by name, which divide so many seats. A request that waits
// longer than queueWait for a seat is rejected.
func Levels(seats int, queueWait time.Duration) map[string]*Level {
	sum := 0
	for _, s := range shares {
		sum += s.share
	}
	levels := map[string]*Level{}
	for _, s := range shares {
		c := LevelConfig{
			Name: s.name, Seats: (seats*s.share + sum - 1) / sum, // rounded up, as upstream
			QueueLength: 50, QueueWait: queueWait, Limits: s.limits,
		}
		c.FlowSeats = c.Seats
		if !s.components {
			c.FlowSeats = (c.Seats + 1) / 2
		}
		levels[s.name] = NewLevel(c)
	}
	return levels
}
