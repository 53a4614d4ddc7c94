package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/osthread"
)

const (
	bridge   = "br0"
	nodeLink = "eth0"
	hostPort = "host" // the peer of hostLink on gateBridge
)

// netnsDir is where iproute2 looks for names, so that `ip netns exec` works.
const netnsDir = "/run/netns"

// openNS opens the named namespace, and creates it if it does not exist.
func openNS(name string) (netns.NsHandle, error) {
	path := filepath.Join(netnsDir, name)
	if ns, err := netns.GetFromPath(path); err == nil {
		if isNetNS(path) {
			return ns, nil
		}
		_ = ns.Close() // a file without its mount: from before a reboot or half a creation
	}
	if err := addName(path); err != nil {
		return -1, err
	}
	var err error
	osthread.Apart(func() { err = makeNS(path) })
	if err != nil {
		return -1, fmt.Errorf("network namespace %s: %w", name, err)
	}
	return netns.GetFromPath(path)
}

// addName makes the file that a namespace is mounted on.
func addName(path string) error {
	lock, err := lockNames()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := shareNames(); err != nil {
		return fmt.Errorf("%s: %w", netnsDir, err)
	}
	return os.WriteFile(path, nil, 0o444)
}

// lockNames locks netnsDir, as iproute2 does, and makes it if it is not there. The lock ends
// when the file is closed.
func lockNames() (*os.File, error) {
	for {
		if err := os.MkdirAll(netnsDir, 0o755); err != nil {
			return nil, err
		}
		dir, err := os.Open(netnsDir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", netnsDir, err), dir.Close())
		}
		locked, err := dir.Stat()
		if now, err2 := os.Stat(netnsDir); err == nil && err2 == nil && os.SameFile(locked, now) {
			return dir, nil
		}
		_ = dir.Close() // it was removed in between
	}
}

// shareNames makes netnsDir a mount point of its own, as iproute2 does before it adds a name.
// Otherwise the next `ip netns add` would mount it over the names that are there, and they
// could not be removed any more. Names that were added before that are left as they are.
func shareNames() error {
	err := unix.Mount("", netnsDir, "", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: it is no mount point
		return err
	}
	names, err := os.ReadDir(netnsDir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if isNetNS(filepath.Join(netnsDir, n.Name())) {
			return nil
		}
	}
	if err := unix.Mount(netnsDir, netnsDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netnsDir, "", unix.MS_SHARED|unix.MS_REC, "")
}

// removeNames removes netnsDir if it has no name.
func removeNames() error {
	lock, err := lockNames()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	names, err := os.ReadDir(netnsDir)
	if err != nil || len(names) > 0 {
		return err
	}
	if err := unix.Unmount(netnsDir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: %w", netnsDir, err)
	}
	return os.Remove(netnsDir)
}

func makeNS(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	own := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
	if err := unix.Mount(own, path, "none", unix.MS_BIND, ""); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func isNetNS(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// nsInode identifies a namespace, as /proc/PID/ns/net does.
func nsInode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// removeNS removes the name; the kernel removes the namespace with its last process.
func removeNS(name string) error {
	path := filepath.Join(netnsDir, name)
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // no longer a mount
		}
		if err != nil {
			return fmt.Errorf("network namespace %s: %w", name, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// clusterNS lists the names of a cluster's namespaces, recorded or not. Another cluster's
// name may start with this one's, so only names of nodes match.
func clusterNS(cluster string) (names []string, err error) {
	ours := regexp.MustCompile(`^wh-` + regexp.QuoteMeta(cluster) + `-(lan|master|minion-[0-9]+)$`)
	entries, err := os.ReadDir(netnsDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if ours.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// lan is the open namespace of a cluster's bridge.
type lan struct {
	record
	ns     netns.NsHandle
	h      *netlink.Handle
	bridge netlink.Link
	gate   netlink.Link // the machine's own bridge; see buildHostGate
}

func (l *lan) close() {
	l.h.Close()
	_ = l.ns.Close()
}

func openLAN(r record) (*lan, error) {
	ns, err := openNS(r.lanNS())
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	l := &lan{record: r, ns: ns, h: h}
	if l.bridge, err = ensureBridge(h, bridge); err != nil {
		l.close()
		return nil, fmt.Errorf("bridge in %s: %w", r.lanNS(), err)
	}
	// Nothing is filtered between nodes.
	_ = network.Do(ns, func() error {
		return os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0o644)
	})
	return l, nil
}

func ensureBridge(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if err != nil {
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}); err != nil {
			return nil, err
		}
		if l, err = h.LinkByName(name); err != nil {
			return nil, err
		}
	}
	return l, h.LinkSetUp(l)
}

// withoutIPv6 disables IPv6 on the machine's interface to a cluster: it would have a
// link-local address there, at which the machine's services answer.
func withoutIPv6(link string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("1"), 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
