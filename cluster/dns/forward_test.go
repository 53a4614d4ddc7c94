package dns_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"wheelhouse/cluster/dns"
	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

// upstream is a name server of the machine's at a loopback address, as resolv.conf has no ports.
type upstream struct {
	mu    sync.Mutex
	asked map[string]int // by type and name, over UDP and TCP alike
}

func (u *upstream) count(question string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[question]
}

// serveDNS answers at an address with the first of its records' lists that is of the question's
// name; "REFUSED" and the like are a response code, "" is no answer at all.
func serveDNS(t *testing.T, addr string, answers map[string][]string) *upstream {
	t.Helper()
	udp, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		t.Fatal("run this as root, with nobody else on this address: ", err)
	}
	tcp, err := net.Listen("tcp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{asked: map[string]int{}}
	handle := mdns.HandlerFunc(func(w mdns.ResponseWriter, r *mdns.Msg) {
		q := r.Question[0]
		u.mu.Lock()
		u.asked[mdns.TypeToString[q.Qtype]+" "+q.Name]++
		u.mu.Unlock()
		lines, known := answers[q.Name]
		if !known {
			lines = answers["*"]
		}
		m := new(mdns.Msg).SetReply(r)
		m.SetEdns0(1232, false)
		for _, line := range lines {
			if code, ok := mdns.StringToRcode[line]; ok {
				m.Rcode = code
				continue
			}
			if line == "" {
				return
			}
			rr, err := mdns.NewRR(line)
			if err != nil {
				panic(err)
			}
			if rr.Header().Rrtype == mdns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	for _, srv := range []*mdns.Server{{PacketConn: udp, Handler: handle}, {Listener: tcp, Handler: handle}} {
		go func() { _ = srv.ActivateAndServe() }()
	}
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
	return u
}

func TestCache(t *testing.T) {
	long := make([]string, 200)
	for i := range long {
		long[i] = fmt.Sprintf("long.example.org. 300 IN A 203.0.113.%d", i)
	}
	const soa = "example.org. 3600 IN SOA ns.example.org. h.example.org. 1 2 3 4 7"
	first := serveDNS(t, "127.53.53.60", map[string][]string{
		"www.example.org.": {"www.example.org. 300 IN A 203.0.113.1"}, "long.example.org.": long,
		"gone.example.org.": {"NXDOMAIN", soa}, "empty.example.org.": {soa}, "bare.example.org.": {"NXDOMAIN"},
		"broken.example.org.": {"SERVFAIL"}, "not.here.": {"REFUSED"}, "nowhere.": {"REFUSED"},
	})
	second := serveDNS(t, "127.53.53.61", map[string][]string{
		"not.here.": {"not.here. 300 IN A 203.0.113.2"}, "*": {"SERVFAIL"}, "nowhere.": {"REFUSED"},
	})
	at := start(t, "127.53.53.60\nnameserver 127.53.53.61", world()...)
	for _, test := range []struct {
		name    string
		rcode   int
		answers int
		ttl     uint32 // at most
		asked   int    // of the first server, for three questions
	}{
		{"www.example.org.", mdns.RcodeSuccess, 1, 30, 1},
		{"gone.example.org.", mdns.RcodeNameError, 0, 7, 1},
		{"empty.example.org.", mdns.RcodeSuccess, 0, 7, 1},
		{"bare.example.org.", mdns.RcodeNameError, 0, 0, 1},
		{"broken.example.org.", mdns.RcodeServerFailure, 0, 0, 1},
		{"not.here.", mdns.RcodeSuccess, 1, 30, 1},
		{"nowhere.", mdns.RcodeRefused, 0, 0, 3},
		{"long.example.org.", mdns.RcodeSuccess, 200, 30, 2}, // by UDP, and again by TCP
	} {
		for _, name := range []string{test.name, test.name, strings.ToUpper(test.name)} {
			resp := ask(t, "tcp", at, name, mdns.TypeA)
			if resp.Rcode != test.rcode || len(resp.Answer) != test.answers || resp.Truncated || !resp.RecursionAvailable || resp.IsEdns0() != nil {
				t.Errorf("%s: %v", name, resp)
			}
			for _, rr := range append(resp.Answer, resp.Ns...) {
				if rr.Header().Ttl > test.ttl {
					t.Errorf("%s: time to live above %d: %v", name, test.ttl, rr)
				}
			}
		}
		if n := first.count("A " + test.name); n != test.asked {
			t.Errorf("%s was asked %d times, want %d", test.name, n, test.asked)
		}
	}
	if n := second.count("A www.example.org."); n != 0 {
		t.Errorf("the second server was asked %d times for what the first has", n)
	}
	if resp := ask(t, "udp", at, "long.example.org.", mdns.TypeA); !resp.Truncated || resp.Len() > 512 {
		t.Errorf("a long answer by UDP: truncated %v, %d bytes", resp.Truncated, resp.Len())
	}
	var text string
	for _, path := range []string{"health", "ready", "metrics"} {
		resp, err := http.Get("http://" + at.String() + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if text = string(body); err != nil || resp.StatusCode != http.StatusOK || path != "metrics" && text != "OK" {
			t.Errorf("/%s: %s %q, %v", path, resp.Status, body, err)
		}
	}
	for _, line := range []string{`coredns_dns_requests_total{proto="tcp",type="A"} 24`, `coredns_dns_responses_total{rcode="NXDOMAIN"} 6`, "coredns_cache_hits_total 15", "coredns_cache_entries 7"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %q among the metrics:\n%s", line, text)
		}
	}
}

// A server that does not answer costs the first questions its time. Then nobody waits for it, the
// next server is asked, and it is asked again once it answers.
func TestServersThatDoNotAnswer(t *testing.T) {
	serveDNS(t, "127.53.53.62", map[string][]string{"*": {""}})
	serveDNS(t, "127.53.53.63", map[string][]string{"*": {"SERVFAIL"}, "a.example.org.": {"a.example.org. 60 IN A 203.0.113.1"}})
	at := start(t, "127.53.53.62\nnameserver 127.53.53.63", world()...)
	if resp := ask(t, "udp", at, "a.example.org.", mdns.TypeA); values(resp.Answer) != "203.0.113.1" {
		t.Errorf("the second server: %v", resp)
	}
	const lonely = "127.53.53.64"
	silent := serveDNS(t, lonely, map[string][]string{"*": {""}})
	at = start(t, lonely, world()...)
	total := 0
	for i := range 20 {
		name := fmt.Sprintf("n%d.example.org.", i)
		if resp := ask(t, "udp", at, name, mdns.TypeA); resp.Rcode != mdns.RcodeServerFailure {
			t.Errorf("no server: %v", resp)
		}
		total += silent.count("A " + name)
	}
	if total != 2 {
		t.Errorf("%d of 20 questions waited for a server that does not answer", total)
	}
}

// A server that was down is found to be up without anybody waiting for long.
func TestServerComesBack(t *testing.T) {
	const addr = "127.53.53.65"
	at := start(t, addr, world()...) // nobody is there: the kernel says so at once
	for range 3 {
		if resp := ask(t, "udp", at, "www.example.org.", mdns.TypeA); resp.Rcode != mdns.RcodeServerFailure {
			t.Fatalf("nobody is there: %v", resp)
		}
	}
	serveDNS(t, addr, map[string][]string{"*": {"REFUSED"}, "www.example.org.": {"www.example.org. 60 IN A 203.0.113.1"}})
	wait.For(t, "an answer of the server that is back", func() error {
		if resp := ask(t, "udp", at, "www.example.org.", mdns.TypeA); values(resp.Answer) != "203.0.113.1" {
			return fmt.Errorf("%v", resp)
		}
		return nil
	})
}

// A name server that asks this one is found out, and left out.
func TestLoop(t *testing.T) {
	const addr = "127.53.53.66"
	conn, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var at netip.AddrPort
	asked := 0
	srv := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, r *mdns.Msg) {
		mu.Lock()
		to := at
		if r.Question[0].Qtype == mdns.TypeA {
			asked++
		}
		mu.Unlock()
		if resp, _, err := (&mdns.Client{Timeout: 10 * time.Second}).Exchange(r, to.String()); err == nil {
			_ = w.WriteMsg(resp)
		}
	})}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	at = startWith(t, dns.Config{ResolvConf: conf}, world()...)
	mu.Unlock()
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close() })
	if err := os.WriteFile(conf, []byte("nameserver "+addr+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := 0
	wait.For(t, "an answer without a circle", func() error {
		i++
		mu.Lock()
		before := asked
		mu.Unlock()
		resp := ask(t, "udp", at, fmt.Sprintf("n%d.example.org.", i), mdns.TypeA)
		mu.Lock()
		defer mu.Unlock()
		if resp.Rcode != mdns.RcodeServerFailure || asked != before {
			return fmt.Errorf("question %d went in a circle: %v", i, resp)
		}
		return nil
	})
	if i > 3 {
		t.Errorf("%d questions went in a circle", i)
	}
}

// The machine's name server on loopback is asked from the machine's network namespace.
func TestOtherNamespace(t *testing.T) {
	pid, ns, _ := nettest.Process(t)
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	if err := network.Do(ns, func() error {
		serveDNS(t, "127.53.53.67", map[string][]string{"*": {"www.example.org. 60 IN A 203.0.113.1"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.53.53.67\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for netNS, want := range map[string]int{fmt.Sprintf("/proc/%d/ns/net", pid): mdns.RcodeSuccess, "": mdns.RcodeServerFailure} {
		at := startWith(t, dns.Config{ResolvConf: conf, NetNS: netNS}, world()...)
		if resp := ask(t, "udp", at, "www.example.org.", mdns.TypeA); resp.Rcode != want {
			t.Errorf("from namespace %q: %v", netNS, resp)
		}
	}
}

func TestEDNSVersion(t *testing.T) {
	at := start(t, "", world()...)
	req := new(mdns.Msg).SetQuestion("web.default.svc.cluster.local.", mdns.TypeA)
	req.SetEdns0(1232, false)
	req.IsEdns0().SetVersion(1)
	resp, _, err := (&mdns.Client{Timeout: 5 * time.Second}).Exchange(req, at.String())
	if err != nil || resp.Rcode != mdns.RcodeBadVers || len(resp.Answer) != 0 {
		t.Errorf("%v, %v", resp, err)
	}
}
