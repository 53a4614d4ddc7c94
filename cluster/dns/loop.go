package dns

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/miekg/dns"
)

// loopProbes are questions that nobody else asks, one for each name server. One that comes back
// says that its server forwards to this one: it is not asked any more, as otherwise each question
// would go in a circle until its time is over.
type loopProbes struct{ by map[string]*nameServer }

// add makes the question for a server.
func (l *loopProbes) add(s *nameServer) *dns.Msg {
	if l.by == nil {
		l.by = map[string]*nameServer{}
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	name := hex.EncodeToString(random[:8]) + "." + hex.EncodeToString(random[8:]) + "."
	l.by[name] = s
	return new(dns.Msg).SetQuestion(name, dns.TypeHINFO)
}

// isLoop reports whether a question is one of the probes, and leaves its server out then.
func (f *forwarder) isLoop(name string, qtype uint16) bool {
	if qtype != dns.TypeHINFO {
		return false
	}
	f.mu.Lock()
	s := f.loops.by[name]
	f.mu.Unlock()
	if s == nil {
		return false
	}
	s.mu.Lock()
	before := s.loop
	s.loop = true
	s.mu.Unlock()
	if !before {
		f.log.Warn("the machine's name server asks this one: it is not asked any more", "server", s.at)
	}
	return true
}
