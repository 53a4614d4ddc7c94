// Package dns resolves the names of services and pods, and forwards other questions to
// the machine's name servers.
//
// It owns the listening sockets, and a bounded cache of what other name servers have answered
// (cache.go): every answer about the cluster is computed from the informers' caches at the
// time of the question (records.go, pure), so there is no zone to rebuild and no stale record.
// Others are asked by forward.go. The caller starts the informers after New, and calls Run.
// Beside DNS the TCP port serves /health, /ready and /metrics, which CoreDNS has on three ports.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/connlimit"
)

// The bounds of TCP connections, where a new one takes the place of the oldest, and of
// questions that wait for other name servers: each has a socket. Beyond them clients get
// SERVFAIL, and ask again.
const (
	tcpPerSource, tcpTotal         = 100, 1000
	forwardPerSource, forwardTotal = 50, 200
)

// maxUDP is the largest answer over UDP that is not fragmented in usual networks.
const maxUDP = 1232

// Config configures a Server.
type Config struct {
	Informers  *client.SharedInformers
	Addr       netip.AddrPort // UDP and TCP; port 0 chooses one
	Service    netip.Addr     // the address of its Service, if it has one: never asked about other names
	Domain     string         // "cluster.local"
	ResolvConf string         // has the servers for other names, such as resolvconf.Default; empty: there are none
	NetNS      string         // the network namespace from which those are asked; default the process's
	Log        *slog.Logger
}

// Server is the cluster's name server.
type Server struct {
	cfg   Config
	view  *informerView
	zone  *Zone
	ready chan struct{}
	addr  netip.AddrPort // valid once ready

	forwards connlimit.Limiter
	outside  forwarder
	metrics  *metrics
}

// New registers with the informers; it starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Domain == "" {
		cfg.Domain = "cluster.local"
	}
	view, err := newInformerView(cfg.Informers)
	if err != nil {
		return nil, fmt.Errorf("indexing services and endpoint slices: %w", err)
	}
	zone := &Zone{Domain: dns.Fqdn(strings.ToLower(cfg.Domain)), Addr: cfg.Addr.Addr(), View: view}
	s := &Server{
		cfg: cfg, view: view, zone: zone, ready: make(chan struct{}),
		forwards: connlimit.Limiter{PerSource: forwardPerSource, Total: forwardTotal},
	}
	s.outside.own = func(at netip.AddrPort) bool { return at == s.addr || at.Addr() == cfg.Service }
	s.outside.netNS, s.outside.log, s.outside.file.Path = cfg.NetNS, cfg.Log, cfg.ResolvConf
	s.metrics = newMetrics(s.outside.cache.len)
	return s, nil
}

// Ready returns a channel that is closed when the server answers.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr returns the address of the server; it is valid after Ready.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.view.synced()...) {
		return ctx.Err()
	}
	udp, tcp, err := listen(s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", err)
	}
	defer func() { _, _ = udp.Close(), tcp.Close() }()
	s.addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	sorted := newTCPMux(connlimit.New(tcp, connlimit.Config{PerSource: tcpPerSource, Total: tcpTotal, WriteStall: firstBytes}))
	go sorted.run()
	web, pages := connlimit.NewServer(muxListener{sorted, sorted.http}, s.pages())
	defer func() { _ = web.Close() }()
	go func() { _ = web.Serve(pages) }() // ends with the listener
	servers := []*dns.Server{{PacketConn: udp, Handler: s, UDPSize: 4096}, {Listener: muxListener{sorted, sorted.dns}, Handler: s}}
	var started sync.WaitGroup
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		started.Add(1)
		srv.NotifyStartedFunc = started.Done
		go func() { ended <- srv.ActivateAndServe() }()
	}
	go func() {
		started.Wait()
		close(s.ready)
	}()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-ended:
		err = fmt.Errorf("serving DNS: %w", errors.Join(err, errors.New("a listener ended")))
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, srv := range servers {
		_ = srv.ShutdownContext(stop) // questions in flight are dropped after a second
	}
	return err
}

// pairTries is the maximum of ports to try that are free for UDP and not for TCP.
const pairTries = 100

// listen opens the same port for UDP and TCP. Port 0 chooses one that is free for both: the
// kernel chooses for one protocol, and the port of UDP may be in use for TCP.
func listen(addr netip.AddrPort) (net.PacketConn, net.Listener, error) {
	for try := 1; ; try++ {
		udp, err := net.ListenPacket("udp", addr.String())
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		if addr.Port() != 0 || try == pairTries {
			_ = udp.Close()
			return nil, nil, err
		}
		defer func() { _ = udp.Close() }() // kept until then, so that it is not chosen again
	}
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	began := time.Now()
	network := w.LocalAddr().Network()
	resp := s.answer(req, w.RemoteAddr())
	opt := req.IsEdns0()
	if opt != nil && resp.IsEdns0() == nil {
		resp.SetEdns0(maxUDP, opt.Do())
	}
	if network == "udp" {
		size := dns.MinMsgSize
		if opt != nil {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
		}
		resp.Truncate(size)
	}
	s.metrics.observe(req, resp, network, began) // before it is sent: who has the answer finds it counted
	if err := w.WriteMsg(resp); err != nil && !errors.Is(err, net.ErrClosed) {
		s.cfg.Log.Debug("answer not sent", "to", w.RemoteAddr(), "err", err)
	}
}

func (s *Server) answer(req *dns.Msg, client net.Addr) *dns.Msg {
	resp := new(dns.Msg)
	switch {
	case len(req.Question) != 1:
		return resp.SetRcode(req, dns.RcodeFormatError)
	case req.Opcode != dns.OpcodeQuery:
		return resp.SetRcode(req, dns.RcodeNotImplemented)
	case req.Question[0].Qclass != dns.ClassINET && req.Question[0].Qclass != dns.ClassANY:
		return resp.SetRcode(req, dns.RcodeRefused)
	}
	if opt := req.IsEdns0(); opt != nil && opt.Version() != 0 {
		return resp.SetRcode(req, dns.RcodeBadVers)
	}
	q := req.Question[0]
	name := strings.ToLower(q.Name)
	var a Answer
	if s.zone.Owns(name) {
		a = s.zone.Resolve(name, q.Qtype)
	} else {
		ours := false
		if isReverse(name) {
			a, ours = s.zone.Reverse(name, q.Qtype)
		}
		if !ours {
			return s.forward(req, client)
		}
	}
	resp.SetRcode(req, a.Rcode)
	resp.Authoritative, resp.RecursionAvailable, resp.Compress = true, true, true
	resp.Answer, resp.Extra = a.Records, a.Extra
	if a.Outside == "" {
		// Clients tend to use the first.
		if len(a.Records) > 0 && a.Records[0].Header().Rrtype != dns.TypeCNAME {
			rand.Shuffle(len(resp.Answer), func(i, j int) { resp.Answer[i], resp.Answer[j] = resp.Answer[j], resp.Answer[i] })
		}
	} else if out := s.forward(new(dns.Msg).SetQuestion(a.Outside, q.Qtype), client); out.Rcode == dns.RcodeSuccess {
		resp.Answer = append(resp.Answer, out.Answer...)
	}
	for _, rr := range resp.Answer { // in the case of the question
		if strings.EqualFold(rr.Header().Name, q.Name) {
			rr.Header().Name = q.Name
		}
	}
	if len(resp.Answer) == 0 {
		resp.Ns = []dns.RR{s.zone.SOA()}
	}
	return resp
}

// forward answers from the machine's name servers, or from what they have answered before. If
// there is none, or none answers, the answer is SERVFAIL, as CoreDNS's.
func (s *Server) forward(req *dns.Msg, client net.Addr) *dns.Msg {
	q := req.Question[0]
	resp := new(dns.Msg).SetRcode(req, dns.RcodeServerFailure)
	resp.RecursionAvailable, resp.Compress = true, true
	k := cacheKey{name: strings.ToLower(q.Name), qtype: q.Qtype, cd: req.CheckingDisabled}
	if opt := req.IsEdns0(); opt != nil {
		k.do = opt.Do()
	}
	if s.outside.isLoop(k.name, k.qtype) {
		return resp
	}
	m := s.outside.cache.get(k, time.Now())
	if m == nil {
		leave, ok := s.forwards.Acquire(client)
		if !ok {
			s.metrics.rejects.Inc()
			return resp
		}
		defer leave()
		var err error
		if m, err = s.outside.resolve(k); err != nil {
			return resp
		}
		s.metrics.misses.Inc()
	} else {
		s.metrics.hits.Inc()
	}
	resp.Rcode, resp.Answer, resp.Ns, resp.Extra = m.Rcode, m.Answer, m.Ns, m.Extra
	resp.Truncated = m.Truncated
	resp.AuthenticatedData = m.AuthenticatedData && (k.do || req.AuthenticatedData)
	for _, rr := range resp.Answer { // in the case of the question
		if strings.EqualFold(rr.Header().Name, q.Name) {
			rr.Header().Name = q.Name
		}
	}
	return resp
}
