package cgroup

import (
	"sync"
	"time"
)

// ratePeriod is the least time between the readings of a rate.
const ratePeriod = time.Second

// Rates are the last readings of each counter, from which the usage per second is computed.
type Rates struct {
	mu   sync.Mutex
	last map[string]rate
}

type rate struct {
	cpu   uint64
	at    time.Time
	cores *uint64 // billionths, between this reading and the one before; nil for the first
}

// Cores is the use of CPU since an earlier reading, in billionths of a core; nil when
// there is none.
func (r *Rates) Cores(key string, u Usage) *uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]rate{}
	}
	last, ok := r.last[key]
	if ok && u.Time.Sub(last.at) < ratePeriod {
		return last.cores
	}
	now := rate{cpu: u.CPUNanoseconds, at: u.Time}
	if ok && u.CPUNanoseconds >= last.cpu {
		cores := uint64(float64(u.CPUNanoseconds-last.cpu) / u.Time.Sub(last.at).Seconds())
		now.cores = &cores
	}
	r.last[key] = now
	for other, o := range r.last { // of what is gone
		if u.Time.Sub(o.at) > time.Hour {
			delete(r.last, other)
		}
	}
	return now.cores
}
