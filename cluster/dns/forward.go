package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/osthread"
	"wheelhouse/cluster/resolvconf"
)

const (
	serverTimeout  = 2 * time.Second // for one name server, as CoreDNS's
	forwardTimeout = 5 * time.Second // for all: clients wait no longer
	maxFailures    = 2               // one after another, until a server counts as down

	// A server that is down is asked for the root's name servers, as CoreDNS does, when clients
	// have questions for it, and at most this often; they wait for that this long.
	probeEvery = time.Second
	probeWait  = 250 * time.Millisecond
)

var errNoServer = errors.New("no name server answers")

// forwarder asks the machine's name servers, in the order of its resolver configuration. A
// question that several clients ask at once is sent once; each question is sent from a port of
// its own, with a random id, and only an answer to that question is taken. Servers that do not
// answer are left out for a while, so that clients get SERVFAIL at once when none does.
type forwarder struct {
	own   func(netip.AddrPort) bool // whether an address is this server's
	netNS string                    // from which servers are asked; "" for that of the process
	log   *slog.Logger
	cache answerCache
	calls singleflight.Group

	mu      sync.Mutex // for what is below
	file    resolvconf.File
	servers []*nameServer
	loops   loopProbes
}

// nameServer is one of the machine's.
type nameServer struct {
	at netip.AddrPort

	mu       sync.Mutex
	failures int           // one after another
	next     time.Time     // of the next probe
	probe    chan struct{} // closed at the end of the present one; nil without one
	loop     bool          // it sends questions back
}

// current returns the name servers of the moment. New ones are probed for loops.
func (f *forwarder) current() []*nameServer {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, changed, err := f.file.Servers()
	if !changed {
		return f.servers
	}
	if err != nil {
		f.log.Warn("no names outside the cluster", "err", err)
	}
	f.servers, f.loops = nil, loopProbes{}
	for _, at := range list {
		if f.own(at) {
			f.log.Warn("the machine's name server is this one: it is not asked", "server", at)
			continue
		}
		s := &nameServer{at: at}
		f.servers = append(f.servers, s)
		question := f.loops.add(s)
		go func() { _, _ = f.exchange(s, question) }()
	}
	return f.servers
}

// usable reports whether a server is to be asked.
func (f *forwarder) usable(s *nameServer) bool {
	s.mu.Lock()
	up, probe := s.failures < maxFailures && !s.loop, s.probe
	if !up && !s.loop && probe == nil && time.Now().After(s.next) {
		probe = make(chan struct{})
		s.probe = probe
		go func() {
			defer close(probe)
			_, err := f.exchange(s, new(dns.Msg).SetQuestion(".", dns.TypeNS))
			s.answered(err == nil)
		}()
	}
	s.mu.Unlock()
	if up || probe == nil {
		return up
	}
	select {
	case <-probe:
	case <-time.After(probeWait):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures < maxFailures && !s.loop
}

// answered records whether the server has answered.
func (s *nameServer) answered(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probe = nil
	if ok {
		s.failures = 0
		return
	}
	s.failures++
	s.next = time.Now().Add(probeEvery)
}

// resolve answers a question from a name server. The caller may change the answer.
func (f *forwarder) resolve(k cacheKey) (*dns.Msg, error) {
	v, err, _ := f.calls.Do(fmt.Sprint(k), func() (any, error) { return f.ask(k) })
	if err != nil {
		return nil, err
	}
	return v.(*dns.Msg).Copy(), nil
}

// ask asks the servers one after another.
func (f *forwarder) ask(k cacheKey) (*dns.Msg, error) {
	req := new(dns.Msg).SetQuestion(k.name, k.qtype)
	req.SetEdns0(maxUDP, k.do)
	req.CheckingDisabled = k.cd
	end := time.Now().Add(forwardTimeout)
	var failed *dns.Msg
	for _, s := range f.current() {
		if time.Now().After(end) {
			break
		}
		if !f.usable(s) {
			continue
		}
		m, err := f.exchange(s, req)
		s.answered(err == nil)
		if err != nil {
			f.log.Debug("name server did not answer", "server", s.at, "question", k.name, "err", err)
			continue
		}
		m = clean(m)
		if m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeRefused {
			failed = m // the next may know better
			continue
		}
		f.cache.put(k, m, time.Now())
		return m, nil
	}
	if failed != nil {
		f.cache.put(k, failed, time.Now())
		return failed, nil
	}
	return nil, errNoServer
}

// clean removes what concerns only this server's own question.
func clean(m *dns.Msg) *dns.Msg {
	extra := m.Extra[:0]
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			extra = append(extra, rr)
		}
	}
	m.Extra = extra
	if m.Rcode > 0xf { // it needs EDNS, which the client may not have
		m.Rcode = dns.RcodeServerFailure
	}
	return m
}

// exchange asks one server, by UDP, and by TCP if the answer is too long for that.
func (f *forwarder) exchange(s *nameServer, question *dns.Msg) (*dns.Msg, error) {
	req := question.Copy()
	req.Id = dns.Id()
	short, err := f.over("udp", s, req)
	if err != nil || !short.Truncated {
		return short, err
	}
	if whole, err := f.over("tcp", s, req); err == nil {
		return whole, nil
	}
	return short, nil
}

func (f *forwarder) over(network string, s *nameServer, req *dns.Msg) (*dns.Msg, error) {
	end := time.Now().Add(serverTimeout)
	c, err := f.dial(network, s.at, end)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(end); err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: c, UDPSize: dns.DefaultMsgSize}
	if err := conn.WriteMsg(req); err != nil {
		return nil, err
	}
	for {
		m, err := conn.ReadMsg()
		if m != nil && answers(m, req) && (err == nil || m.Truncated) {
			return m, nil
		}
		var neterr net.Error
		if errors.As(err, &neterr) || errors.Is(err, net.ErrClosed) || network == "tcp" && err != nil {
			return nil, err
		}
		// Something else than the answer: forged, or late.
	}
}

// answers reports whether a message answers a request.
func answers(m, req *dns.Msg) bool {
	return m.Response && m.Id == req.Id && len(m.Question) == 1 &&
		m.Question[0].Qtype == req.Question[0].Qtype && strings.EqualFold(m.Question[0].Name, req.Question[0].Name)
}

// dial opens a connection from the forwarder's network namespace.
func (f *forwarder) dial(network string, to netip.AddrPort, end time.Time) (c net.Conn, err error) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	open := func() { c, err = new(net.Dialer).DialContext(ctx, network, to.String()) }
	if f.netNS == "" {
		open()
		return c, err
	}
	ns, err := os.Open(f.netNS)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	osthread.Apart(func() {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			open()
		}
	})
	return c, err
}
