package pairing

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"wheelhouse/cluster/wait"
)

func TestAnnounced(t *testing.T) {
	srv := func(instance, target string, port uint16) dns.RR {
		return &dns.SRV{Hdr: dns.RR_Header{Name: instance, Rrtype: dns.TypeSRV, Class: dns.ClassINET}, Port: port, Target: target}
	}
	a := func(name, ip string) dns.RR {
		return &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(ip)}
	}
	const instance = "m._wheelhouse._tcp.local."
	many := []dns.RR{srv(instance, "h.", 1)}
	for i := range 200 {
		many = append(many, a("h.", fmt.Sprintf("10.0.0.%d", i)))
	}
	for name, c := range map[string]struct {
		query   bool
		records []dns.RR
		want    int
	}{
		"a master":                  {records: []dns.RR{srv(instance, "h.local.", 6443), a("h.local.", "10.0.0.1")}, want: 1},
		"in other letters":          {records: []dns.RR{srv("M._WHEELHOUSE._tcp.Local.", "h.local.", 6443), a("H.local.", "10.0.0.1")}, want: 1},
		"a query":                   {query: true, records: []dns.RR{srv(instance, "h.local.", 6443), a("h.local.", "10.0.0.1")}},
		"another service":           {records: []dns.RR{srv("m._http._tcp.local.", "h.local.", 80), a("h.local.", "10.0.0.1")}},
		"no port":                   {records: []dns.RR{srv(instance, "h.local.", 0), a("h.local.", "10.0.0.1")}},
		"no address":                {records: []dns.RR{srv(instance, "h.local.", 6443), a("i.local.", "10.0.0.1")}},
		"more addresses than bound": {records: many, want: maxFound},
	} {
		packet, err := (&dns.Msg{MsgHdr: dns.MsgHdr{Response: !c.query}, Compress: true, Answer: c.records[:1], Extra: c.records[1:]}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := announced(packet); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzAnnounced(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if got := announced(packet); len(got) > maxFound {
			t.Errorf("%d of one packet", len(got))
		}
	})
}

// inside is set in the process that TestFind starts in a network of its own.
const inside = "PAIRING_TEST_INSIDE"

// A master is found by whoever asks, if it is announced; what is announced elsewhere than in the
// network of the interface is left out, and whoever takes a master's name hides nothing.
func TestFind(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFind$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v (a network of its own needs root)\n%s", err, out)
		}
		return
	}
	if _, err := Find(t.Context(), time.Millisecond); err == nil {
		t.Error("without a network there is no error")
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net0"}, PeerName: "net1"}
	address, err := netlink.ParseAddr("10.245.9.2/24")
	if err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{netlink.LinkSetUp(lo), netlink.LinkAdd(cable), netlink.AddrAdd(cable, address), netlink.LinkSetUp(cable), netlink.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "net1"}})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	find := func() []netip.AddrPort {
		found, err := Find(t.Context(), 500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := find(); len(found) > 0 {
		t.Errorf("nothing is announced, found %v", found)
	}
	iface, err := net.InterfaceByName("net0")
	if err != nil {
		t.Fatal(err)
	}
	// The name of the master's own announcement, with an address of the network and one beyond.
	for _, ip := range []string{"10.245.9.66", "192.0.2.66"} {
		zone, err := mdns.NewMDNSService("wheelhouse-10-245-9-2", service, domain+".", "wheelhouse-10-245-9-2.local.", 6443, []net.IP{net.ParseIP(ip)}, []string{"txtvers=1"})
		if err != nil {
			t.Fatal(err)
		}
		liar, err := mdns.NewServer(&mdns.Config{Zone: zone, Iface: iface, Logger: log.New(io.Discard, "", 0)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = liar.Shutdown() })
	}
	at := netip.MustParseAddrPort("10.245.9.2:6443")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Announce(ctx, at, slog.New(slog.DiscardHandler)) }()
	wait.Within(t, time.Minute, "both that are in the network, and no other", func() error {
		found := find()
		if !slices.Contains(found, at) || !slices.Contains(found, netip.MustParseAddrPort("10.245.9.66:6443")) || len(found) != 2 {
			return fmt.Errorf("found %v", found)
		}
		return nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if found := find(); slices.Contains(found, at) {
		t.Errorf("still announced: %v", found)
	}
}

func TestAnnounceNeedsAnInterface(t *testing.T) {
	if err := announce(t.Context(), netip.MustParseAddrPort("127.0.0.1:6443")); err == nil {
		t.Error("loopback is announced")
	}
}
