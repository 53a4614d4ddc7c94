package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A machine that has few ports left: 8 to choose from, 7 of them taken for TCP.
func TestListenFindsAPortThatIsFreeForBoth(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends, and its namespace, with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal("run this as root, it makes a network namespace: ", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	const first, last = 40000, 40007
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d", first, last), 0); err != nil {
		t.Fatal(err)
	}
	for port := uint16(first); port < last; port++ {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	udp, tcp, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
	want := fmt.Sprintf("127.0.0.1:%d", last)
	if udp.LocalAddr().String() != want || tcp.Addr().String() != want {
		t.Errorf("listening on %s and %s, want %s for both", udp.LocalAddr(), tcp.Addr(), want)
	}
	if _, _, err := listen(netip.MustParseAddrPort("127.0.0.1:40000")); err == nil {
		t.Error("a port that is taken for TCP was given out")
	}
}
