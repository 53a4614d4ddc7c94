// Package nettest runs a test binary in network and mount namespaces of its own and
// makes further namespaces that stand for pods and other machines. All of it is gone
// when the test process is, however it ended.
package nettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network"
)

const isolated = "WHEELHOUSE_NETTEST_ISOLATED"

// Inside reports whether Main has made the namespaces of this process.
func Inside() bool { return os.Getenv(isolated) != "" }

// Main is for TestMain: it runs the tests in fresh namespaces, where lo is up and
// /run/netns is empty.
func Main(m *testing.M) int {
	if Inside() {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "nettest:", err)
			return 1
		}
		return m.Run()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "nettest: run this as root: the tests make network namespaces")
		return 1
	}
	release, err := keepNames()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nettest:", err)
		return 1
	}
	defer release()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), isolated+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	err = cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "nettest:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// keepNames keeps the machine's directory of names, by a file in it, until release is called. Who removes a
// directory removes what is mounted on it in all mount namespaces, such as the tests' own directory;
// a cluster that ends meanwhile removes this one when it is empty.
func keepNames() (release func(), err error) {
	var f *os.File
	for f == nil {
		if err := os.MkdirAll("/run/netns", 0o755); err != nil {
			return nil, err
		}
		f, err = os.CreateTemp("/run/netns", ".nettest-")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was removed in between
			return nil, fmt.Errorf("keeping /run/netns: %w", err)
		}
	}
	_ = f.Close()
	return func() { _ = os.Remove(f.Name()) }, nil
}

func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("own /run/netns: %w", err)
	}
	// Who removes the directory when it has no name left leaves this one, and not the machine's.
	if err := os.WriteFile("/run/netns/."+isolated, nil, 0o444); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// Own is the namespace of the test process: of the thread, as the process's first one may
// have gone to another for good.
func Own(t testing.TB) netns.NsHandle {
	t.Helper()
	h, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// Process starts a process in a new network namespace, as a sandbox is, and gives
// its pid and namespace; stop ends it (the test's end does too).
func Process(t testing.TB) (pid int, ns netns.NsHandle, stop func()) {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	ns, err := netns.GetFromPid(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return cmd.Process.Pid, ns, stop
}

// Machine makes a namespace that is joined to the test's own by a veth pair and has
// address ip there, with the test's own side at ip's network's .1 and as default route.
func Machine(t testing.TB, name string, ip netip.Prefix) netns.NsHandle {
	t.Helper()
	_, ns, _ := Process(t)
	gw := ip.Masked().Addr().Next()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("machine %s: %v", name, err)
		}
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}))
	l, err := netlink.LinkByName(name)
	must(err)
	t.Cleanup(func() { _ = netlink.LinkDel(l) })
	mask := net.CIDRMask(ip.Bits(), 32)
	must(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: gw.AsSlice(), Mask: mask}}))
	must(netlink.LinkSetUp(l))
	h, err := netlink.NewHandleAt(ns)
	must(err)
	defer h.Close()
	for _, link := range []string{"lo", "eth0"} {
		l, err := h.LinkByName(link)
		must(err)
		if link == "eth0" {
			must(h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip.Addr().AsSlice(), Mask: mask}}))
		}
		must(h.LinkSetUp(l))
	}
	must(h.RouteAdd(&netlink.Route{Gw: gw.AsSlice(), Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}}))
	return ns
}

// ServeHTTP is Serve until the test ends.
func ServeHTTP(t testing.TB, ns netns.NsHandle, addr, name string) {
	t.Helper()
	t.Cleanup(Serve(t, ns, addr, name))
}

// Serve answers every request to addr in ns with "name remote-address" until stop is
// called.
func Serve(t testing.TB, ns netns.NsHandle, addr, name string) (stop func()) {
	t.Helper()
	var l net.Listener
	err := network.Do(ns, func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %s", name, host)
	})}
	go func() { _ = srv.Serve(l) }()
	return func() { _ = srv.Close() }
}

// ServeUDP answers every datagram to addr in ns with name.
func ServeUDP(t testing.TB, ns netns.NsHandle, addr, name string) {
	t.Helper()
	var c net.PacketConn
	err := network.Do(ns, func() (err error) {
		c, err = net.ListenPacket("udp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
}

// Client sends its requests from within ns, each on a new connection.
func Client(ns netns.NsHandle, timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, addr string) (c net.Conn, err error) {
			err = network.Do(ns, func() error {
				c, err = (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp4", addr)
				return err
			})
			return c, err
		},
	}}
}

// Get fetches http://addr/ from within ns, on a new connection.
func Get(ns netns.NsHandle, addr string, timeout time.Duration) (string, error) {
	resp, err := Client(ns, timeout).Get("http://" + addr + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// DialUDP opens a UDP socket in ns that is connected to addr.
func DialUDP(t testing.TB, ns netns.NsHandle, addr string) net.Conn {
	t.Helper()
	var c net.Conn
	err := network.Do(ns, func() (err error) {
		c, err = net.Dial("udp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Ask sends a datagram and returns the answer.
func Ask(c net.Conn, timeout time.Duration) (string, error) {
	if _, err := c.Write([]byte("?")); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}
