package dns

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How long answers of other name servers are kept, and how many: as CoreDNS with `cache 30`,
// the setting of kubeadm's and k3s' clusters.
const (
	cacheMin     = 5 * time.Second
	cacheMax     = 30 * time.Second
	cacheFailure = 5 * time.Second // of SERVFAIL
	cacheEntries = 9984
	cacheBytes   = 8 << 20 // of messages as they are sent
)

// cacheKey is what an answer depends on.
type cacheKey struct {
	name   string // in lower case
	qtype  uint16
	do, cd bool
}

// answerCache keeps answers of other name servers, within bounds. Beyond them any gives way, as
// in CoreDNS. The zero value is empty.
type answerCache struct {
	mu      sync.Mutex
	entries map[cacheKey]cached
	bytes   int
}

type cached struct {
	msg            *dns.Msg // never changed
	size           int
	stored, expire time.Time
}

// get returns a copy of an answer, with the rest of its time to live.
func (c *answerCache) get(k cacheKey, now time.Time) *dns.Msg {
	c.mu.Lock()
	e, ok := c.entries[k]
	if ok && !now.Before(e.expire) {
		c.drop(k)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	m := e.msg.Copy()
	age := uint32(now.Sub(e.stored) / time.Second)
	left := uint32((e.expire.Sub(now) + time.Second - 1) / time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			h := rr.Header()
			h.Ttl = min(max(h.Ttl, age)-age, left)
		}
	}
	return m
}

// put keeps an answer, unless it is one that says nothing for long, and shortens the time to live
// of its records to that. The caller does not change it any more.
func (c *answerCache) put(k cacheKey, m *dns.Msg, now time.Time) {
	keep := lifetime(m)
	if keep == 0 {
		return
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			rr.Header().Ttl = min(rr.Header().Ttl, uint32(keep/time.Second))
		}
	}
	size := m.Len()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[cacheKey]cached{}
	}
	c.drop(k)
	for victim := range c.entries {
		if len(c.entries) < cacheEntries && c.bytes+size <= cacheBytes {
			break
		}
		c.drop(victim)
	}
	c.entries[k] = cached{m, size, now, now.Add(keep)}
	c.bytes += size
}

func (c *answerCache) drop(k cacheKey) {
	c.bytes -= c.entries[k].size
	delete(c.entries, k)
}

func (c *answerCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// lifetime is how long an answer may be kept: the smallest time to live of its records, for one
// without records that of the SOA (RFC 2308), within bounds. It is 0 for what is not kept:
// refusals, and answers that were truncated.
func lifetime(m *dns.Msg) time.Duration {
	switch {
	case m.Truncated:
		return 0
	case m.Rcode == dns.RcodeServerFailure:
		return cacheFailure
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return 0
	}
	least, found := uint32(cacheMax/time.Second), false
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			least, found = min(least, rr.Header().Ttl), true
			if soa, ok := rr.(*dns.SOA); ok && len(m.Answer) == 0 {
				least = min(least, soa.Minttl)
			}
		}
	}
	if !found {
		return cacheMin // a router's, that says no without a SOA
	}
	return max(time.Duration(least)*time.Second, cacheMin)
}
