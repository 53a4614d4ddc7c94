package dns_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// TestForwardIsBounded: a client whose questions wait for a name server that does not
// answer gets SERVFAIL at once, and its questions take no more sockets.
func TestForwardIsBounded(t *testing.T) {
	const upstream, bound, questions = "127.53.53.54", 50, 80
	conn, err := net.ListenPacket("udp", upstream+":53")
	if err != nil {
		t.Fatal("run this as root, with nobody else on this address: ", err)
	}
	var asked atomic.Int32
	srv := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(_ mdns.ResponseWriter, r *mdns.Msg) {
		if r.Question[0].Qtype == mdns.TypeA { // not what looks for loops
			asked.Add(1)
		}
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	at := start(t, upstream, world()...)
	client, err := mdns.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range questions {
		if err := client.WriteMsg(new(mdns.Msg).SetQuestion(fmt.Sprintf("n%d.example.org.", i), mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range questions - bound {
		resp, err := client.ReadMsg()
		if err != nil {
			t.Fatalf("after %d answers: %v", i, err)
		}
		if resp.Rcode != mdns.RcodeServerFailure {
			t.Errorf("answer %d: %v", i, resp)
		}
	}
	if n := asked.Load(); n > bound {
		t.Errorf("%d questions were passed on", n)
	}
	if resp := ask(t, "udp", at, "web.default.svc.cluster.local.", mdns.TypeA); len(resp.Answer) == 0 {
		t.Errorf("a name of the cluster: %v", resp)
	}
}

// TestSilentConnections: those that send nothing give way to new ones.
func TestSilentConnections(t *testing.T) {
	at := start(t, "", world()...)
	var first net.Conn
	for i := range 130 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if i == 0 {
			first = c
		}
	}
	if resp := ask(t, "tcp", at, "web.default.svc.cluster.local.", mdns.TypeA); len(resp.Answer) == 0 {
		t.Errorf("a new connection: %v", resp)
	}
	if err := first.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first is still there: %v", err)
	}
}
