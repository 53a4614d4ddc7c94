package dns_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/dns"
)

func service(ns, name string, ips []string, change ...func(*v1.Service)) *v1.Service {
	s := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1.ServiceSpec{ClusterIP: ips[0], ClusterIPs: ips, Ports: []v1.ServicePort{
			{Name: "http", Protocol: v1.ProtocolTCP, Port: 80}, {Protocol: v1.ProtocolUDP, Port: 53},
		}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func slice(svc string, hosts map[string]string, ready bool) *discovery.EndpointSlice {
	name, port := "http", int32(8080)
	s := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%v", svc, ready), Labels: map[string]string{discovery.LabelServiceName: svc}},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &name, Port: &port}},
	}
	for ip, host := range hosts {
		e := discovery.Endpoint{Addresses: []string{ip}, Conditions: discovery.EndpointConditions{Ready: &ready}}
		if host != "" {
			e.Hostname = &host
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func externalName(to string) func(*v1.Service) {
	return func(s *v1.Service) {
		s.Spec = v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: to}
	}
}

// start runs a server with upstream servers (host:port of one, or none).
func start(t *testing.T, upstream string, objects ...runtime.Object) netip.AddrPort {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	text := ""
	if upstream != "" {
		text = "nameserver " + upstream + "\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startWith(t, dns.Config{ResolvConf: conf}, objects...)
}

func startWith(t testing.TB, cfg dns.Config, objects ...runtime.Object) netip.AddrPort {
	t.Helper()
	factory := client.Informers(fake.NewClientset(objects...))
	cfg.Informers, cfg.Addr, cfg.Domain = factory, netip.MustParseAddrPort("127.0.0.1:0"), "cluster.local"
	s, err := dns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	done, ended := make(chan struct{}), error(nil)
	go func() { ended = s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-s.Ready():
	case <-done:
		t.Fatal("the server ended: ", ended)
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not get ready")
	}
	return s.Addr()
}

func world() []runtime.Object {
	none := []string{v1.ClusterIPNone}
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("10.246.3.%d", i+1)] = ""
	}
	return []runtime.Object{
		&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "empty"}},
		service("default", "web", []string{"10.247.0.20", "fd00::20"}),
		service("default", "db", none),
		slice("db", map[string]string{"10.246.1.2": "db-0", "10.246.2.3": ""}, true),
		slice("db", map[string]string{"10.246.1.9": "db-9"}, false),
		service("default", "idle", none),
		service("default", "twins", none), slice("twins", map[string]string{"10.246.5.1": "pair", "10.246.5.2": "pair"}, true),
		service("default", "early", none, func(s *v1.Service) { s.Spec.PublishNotReadyAddresses = true }), slice("early", map[string]string{"10.246.6.9": "early-9"}, false),
		service("default", "big", none), slice("big", many, true),
		service("default", "outside", none, externalName("www.example.org")),
		service("default", "alias", none, externalName("web.default.svc.cluster.local")),
		service("default", "loop", none, externalName("loop.default.svc.cluster.local")),
	}
}

func ask(t *testing.T, network string, at netip.AddrPort, name string, qtype uint16) *mdns.Msg {
	t.Helper()
	c := &mdns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 65535}
	resp, _, err := c.Exchange(new(mdns.Msg).SetQuestion(name, qtype), at.String())
	if err != nil {
		t.Fatalf("%s %s: %v", name, mdns.TypeToString[qtype], err)
	}
	resp.Compress = true // as it was sent, for Len
	return resp
}

func values(rrs []mdns.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// What somebody calls a service or a namespace of theirs does not stand in the way of
// others' names: neither by the full name, nor by the names that a pod of another
// namespace tries first.
func TestNamesThatCollide(t *testing.T) {
	none := []string{v1.ClusterIPNone}
	objects := []runtime.Object{service("default", "kubernetes", []string{"10.247.0.1"})}
	for _, ns := range []string{"default", "svc", "pod", "cluster", "victim"} {
		objects = append(objects, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	for _, ns := range []string{"svc", "pod", "cluster"} {
		for _, name := range []string{"svc", "default", "kubernetes", "local", "cluster", "pod"} {
			hosts := slice(name, map[string]string{"10.246.6.6": "kubernetes"}, true)
			hosts.Namespace = ns
			objects = append(objects, service(ns, name, none), hosts)
		}
	}
	at := start(t, "", objects...)
	for _, name := range []string{
		"kubernetes.default.svc.cluster.local.", "kubernetes.default.svc.cluster.local.victim.svc.cluster.local.",
		"kubernetes.default.svc.victim.svc.cluster.local.", "kubernetes.default.victim.svc.cluster.local.",
		"kubernetes.default.svc.cluster.local.svc.cluster.local.", "kubernetes.default.svc.cluster.local.cluster.local.",
	} {
		for _, qtype := range []uint16{mdns.TypeA, mdns.TypeSRV, mdns.TypeANY} {
			got := values(ask(t, "udp", at, name, qtype).Answer)
			if strings.Contains(got, "10.246.6.6") || strings.Contains(got, ".svc.svc.") {
				t.Errorf("%s %s leads to another: %s", name, mdns.TypeToString[qtype], got)
			}
		}
	}
	if got := values(ask(t, "udp", at, "kubernetes.default.svc.cluster.local.", mdns.TypeA).Answer); got != "10.247.0.1" {
		t.Errorf("the API server's name leads to %q", got)
	}
}

func TestAnswers(t *testing.T) {
	at := start(t, "", world()...)
	const nx, ok, fail = mdns.RcodeNameError, mdns.RcodeSuccess, mdns.RcodeServerFailure
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"web.default.svc.cluster.local.", mdns.TypeA, ok, "10.247.0.20"},
		{"WEB.Default.svc.cluster.LOCAL.", mdns.TypeA, ok, "10.247.0.20"},
		{"web.default.svc.cluster.local.", mdns.TypeAAAA, ok, "fd00::20"},
		{"web.default.svc.cluster.local.", mdns.TypeTXT, ok, ""},
		{"nope.default.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"web.empty.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"web.nowhere.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"web.default.svc.default.svc.cluster.local.", mdns.TypeA, nx, ""}, // as search lists ask
		{"default.svc.cluster.local.", mdns.TypeA, ok, ""},
		{"nowhere.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"svc.cluster.local.", mdns.TypeA, ok, ""},
		{"foo.cluster.local.", mdns.TypeA, nx, ""},
		{"db.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.1.2, 10.246.2.3"},
		{"db.default.svc.cluster.local.", mdns.TypeAAAA, ok, ""},
		{"idle.default.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"db-0.db.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.1.2"},
		{"db-9.db.default.svc.cluster.local.", mdns.TypeA, nx, ""}, // not ready
		{"10-246-2-3.db.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.2.3"},
		{"_http._tcp.web.default.svc.cluster.local.", mdns.TypeSRV, ok, "0 100 80 web.default.svc.cluster.local."},
		{"_http._tcp.web.default.svc.cluster.local.", mdns.TypeA, ok, ""},
		{"_http._udp.web.default.svc.cluster.local.", mdns.TypeSRV, nx, ""},
		{"_tcp.web.default.svc.cluster.local.", mdns.TypeSRV, ok, ""},
		{"_http._tcp.db.default.svc.cluster.local.", mdns.TypeSRV, ok, "0 50 8080 10-246-2-3.db.default.svc.cluster.local., 0 50 8080 db-0.db.default.svc.cluster.local."},
		{"web.default.svc.cluster.local.", mdns.TypeSRV, ok, "0 50 53 web.default.svc.cluster.local., 0 50 80 web.default.svc.cluster.local."},
		{"db-0.db.default.svc.cluster.local.", mdns.TypeSRV, ok, "0 100 8080 db-0.db.default.svc.cluster.local."},
		{"db-0.db.default.svc.cluster.local.", mdns.TypeAAAA, ok, ""},
		{"pair.twins.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.5.1, 10.246.5.2"},
		{"_http._tcp.twins.default.svc.cluster.local.", mdns.TypeSRV, ok, "0 100 8080 pair.twins.default.svc.cluster.local."},
		{"early-9.early.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.6.9"},
		{"early.default.svc.cluster.local.", mdns.TypeA, ok, "10.246.6.9"},
		{"9.6.246.10.in-addr.arpa.", mdns.TypePTR, ok, "early-9.early.default.svc.cluster.local."},
		{"9.1.246.10.in-addr.arpa.", mdns.TypePTR, fail, ""}, // not ready: no name of the cluster's
		{"0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", mdns.TypePTR, ok, "web.default.svc.cluster.local."},
		{"20.0.247.10.in-addr.arpa.", mdns.TypeA, ok, ""},
		{"x.outside.default.svc.cluster.local.", mdns.TypeA, nx, ""},
		{"_http._tcp.web.empty.svc.cluster.local.", mdns.TypeSRV, nx, ""},
		{"ns.dns.cluster.local.", mdns.TypeA, ok, "127.0.0.1"},
		{"cluster.local.", mdns.TypeNS, ok, "ns.dns.cluster.local."},
		{"cluster.local.", mdns.TypeSOA, ok, "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"},
		{"dns-version.cluster.local.", mdns.TypeA, ok, ""},
		{"local.", mdns.TypeA, fail, ""},
		{"10-246-1-2.default.pod.cluster.local.", mdns.TypeA, ok, "10.246.1.2"},
		{"10-246-1.default.pod.cluster.local.", mdns.TypeA, nx, ""},
		{"alias.default.svc.cluster.local.", mdns.TypeA, ok, "10.247.0.20, web.default.svc.cluster.local."},
		{"outside.default.svc.cluster.local.", mdns.TypeCNAME, ok, "www.example.org."},
		{"outside.default.svc.cluster.local.", mdns.TypeA, ok, "www.example.org."},
		{"20.0.247.10.in-addr.arpa.", mdns.TypePTR, ok, "web.default.svc.cluster.local."},
		{"2.1.246.10.in-addr.arpa.", mdns.TypePTR, ok, "db-0.db.default.svc.cluster.local."},
		{"dns-version.cluster.local.", mdns.TypeTXT, ok, `"1.1.0"`},
		{"www.example.org.", mdns.TypeA, fail, ""}, // no server to ask
	} {
		for _, network := range []string{"udp", "tcp"} {
			resp := ask(t, network, at, test.name, test.qtype)
			if got := values(resp.Answer); got != test.want || resp.Rcode != test.rcode {
				t.Errorf("%s %s over %s: %s %q, want %s %q", test.name, mdns.TypeToString[test.qtype], network,
					mdns.RcodeToString[resp.Rcode], got, mdns.RcodeToString[test.rcode], test.want)
			}
			if test.rcode != fail && len(resp.Answer) == 0 && (len(resp.Ns) != 1 || resp.Ns[0].Header().Rrtype != mdns.TypeSOA) {
				t.Errorf("%s: no SOA with an empty answer", test.name)
			}
			for _, rr := range resp.Answer {
				if rr.Header().Ttl != 5 {
					t.Errorf("%s: TTL %d", test.name, rr.Header().Ttl)
				}
			}
		}
	}
	if resp := ask(t, "udp", at, "loop.default.svc.cluster.local.", mdns.TypeA); len(resp.Answer) > 20 {
		t.Errorf("an alias to the same name has %d records", len(resp.Answer))
	}
}

func TestSizes(t *testing.T) {
	at := start(t, "", world()...)
	name := "big.default.svc.cluster.local."
	if resp := ask(t, "udp", at, name, mdns.TypeA); !resp.Truncated || resp.Len() > 512 || resp.IsEdns0() != nil {
		t.Errorf("without EDNS: truncated %v, %d bytes", resp.Truncated, resp.Len())
	}
	if resp := ask(t, "tcp", at, name, mdns.TypeA); resp.Truncated || len(resp.Answer) != 100 {
		t.Errorf("over TCP: truncated %v, %d records", resp.Truncated, len(resp.Answer))
	}
	req := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
	req.SetEdns0(4096, false)
	resp, _, err := (&mdns.Client{Net: "udp", UDPSize: 4096}).Exchange(req, at.String())
	if err != nil {
		t.Fatal(err)
	}
	if resp.Compress = true; resp.IsEdns0() == nil || resp.Len() <= 512 || resp.Len() > 1232 {
		t.Errorf("with EDNS: %d bytes, EDNS %v", resp.Len(), resp.IsEdns0())
	}
}

func TestForward(t *testing.T) {
	// resolv.conf has no ports, so the upstream takes port 53 of a loopback address.
	const upstream = "127.53.53.53"
	conn, err := net.ListenPacket("udp", upstream+":53")
	if err != nil {
		t.Fatal("run this as root, with nobody else on this address: ", err)
	}
	srv := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, r *mdns.Msg) {
		m := new(mdns.Msg).SetReply(r)
		if strings.HasPrefix(r.Question[0].Name, "gone") {
			m.Rcode = mdns.RcodeNameError
		} else {
			m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: r.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	at := start(t, upstream, world()...)
	if resp := ask(t, "udp", at, "www.example.org.", mdns.TypeA); values(resp.Answer) != "203.0.113.1" {
		t.Errorf("forwarded: %v", resp)
	}
	if resp := ask(t, "udp", at, "gone.example.org.", mdns.TypeA); resp.Rcode != mdns.RcodeNameError {
		t.Errorf("forwarded: %v", resp)
	}
	if resp := ask(t, "udp", at, "outside.default.svc.cluster.local.", mdns.TypeA); values(resp.Answer) != "203.0.113.1, www.example.org." {
		t.Errorf("external name: %v", resp)
	}
}

// The address that kubectl cluster-info names is one of the web.
func TestPage(t *testing.T) {
	at := start(t, "", world()...)
	resp, err := http.Get("http://" + at.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "svc.cluster.local") {
		t.Errorf("%s: %v: %s", resp.Status, err, body)
	}
	if r := ask(t, "tcp", at, "kubernetes.default.svc.cluster.local.", mdns.TypeA); len(r.Answer) == 0 && r.Rcode != mdns.RcodeNameError {
		t.Errorf("DNS on the same port answers %v", r)
	}
}
