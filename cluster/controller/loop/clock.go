package loop

import (
	"time"

	"k8s.io/utils/clock"
)

// gaugeEvery is how often the gauges of a queue (unfinished_work_seconds) are computed: as often as
// Prometheus reads them. client-go does it twice a second for each queue, which is most of what an idle
// server would wake up for.
const gaugeEvery = 15 * time.Second

// gaugeClock is the clock of the queues. client-go uses tickers only for the gauges, and as a second net
// under the timers of delayed keys.
type gaugeClock struct{ clock.RealClock }

// NewTicker implements clock.WithTicker.
func (c gaugeClock) NewTicker(d time.Duration) clock.Ticker {
	return c.RealClock.NewTicker(max(d, gaugeEvery))
}
