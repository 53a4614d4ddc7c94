package flowcontrol

// Reason is why a request was rejected, by upstream's names.
type Reason int

// The reasons.
const (
	ConcurrencyLimit Reason = iota // its flow or level holds as much as it may
	QueueFull
	TimedOut  // it has waited for as long as requests may wait
	Cancelled // its client is gone
	reasons
)

func (r Reason) String() string {
	return [reasons]string{"concurrency-limit", "queue-full", "time-out", "cancelled"}[r]
}

// Rejected is the error for a request that is rejected.
type Rejected struct {
	Level  string
	Reason Reason
}

func (e *Rejected) Error() string {
	return "priority level " + e.Level + " is at its limit: " + e.Reason.String()
}

// reject counts a refusal.
func (l *Level) reject(why Reason) error {
	l.stats.Rejected[why]++
	return &Rejected{l.Name, why}
}

// Stats are what a level does and has done.
type Stats struct {
	Queued, Executing, Seats int // now
	Dispatched               uint64
	Rejected                 [reasons]uint64
	Holds                    [resources]int
}

// Stats returns the level's present figures.
func (l *Level) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Seats, s.Holds = l.seats, l.holds
	return s
}
