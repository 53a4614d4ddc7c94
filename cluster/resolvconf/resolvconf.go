// Package resolvconf finds the name servers of a machine. It reads files and asks nobody.
package resolvconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Default is the resolver configuration of a machine.
const Default = "/etc/resolv.conf"

// systemd is where systemd-resolved lists the name servers that it asks itself; Default names
// then only its own address on loopback, which is another one in each network namespace.
const systemd = "/run/systemd/resolve/resolv.conf"

// stubs are the addresses of systemd-resolved.
var stubs = []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("127.0.0.54")}

// maxServers is the maximum that is used of a file, as CoreDNS's.
const maxServers = 15

// File is a resolver configuration that is read again when it has changed: a laptop changes its
// network. It is for one goroutine at a time.
type File struct {
	Path    string // of the file; empty: there are no name servers
	Systemd string // takes the place of a file that names systemd-resolved; default where that writes it

	seen    state
	servers []netip.AddrPort
	err     error
}

// state is that of the files when they were read.
type state struct {
	path, real stamp
	read       bool
}

type stamp struct {
	changed time.Time
	size    int64
	err     bool
}

func stampOf(path string) stamp {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{err: true}
	}
	return stamp{changed: st.ModTime(), size: st.Size()}
}

// Servers returns the name servers in the order of the file, and whether they may be others than
// those of the last call. A file that does not exist has none.
func (f *File) Servers() (servers []netip.AddrPort, changed bool, err error) {
	if f.Path == "" {
		return nil, false, nil
	}
	now := state{path: stampOf(f.Path), real: stampOf(f.systemd()), read: true}
	if now == f.seen {
		return f.servers, false, f.err
	}
	before := f.servers
	f.seen = now
	f.servers, f.err = f.read()
	return f.servers, !slices.Equal(before, f.servers), f.err
}

func (f *File) systemd() string {
	if f.Systemd != "" {
		return f.Systemd
	}
	return systemd
}

func (f *File) read() ([]netip.AddrPort, error) {
	servers, err := read(f.Path)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(servers, func(s netip.AddrPort) bool { return slices.Contains(stubs, s.Addr()) }) {
		real, err := read(f.systemd())
		if _, missing := os.Stat(f.systemd()); missing == nil {
			return real, err
		}
	}
	return servers, nil
}

func read(path string) (servers []netip.AddrPort, err error) {
	conf, err := dns.ClientConfigFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("resolver configuration: %w", err)
	}
	for _, s := range conf.Servers {
		at, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%s: name server %q: %w", path, s, err)
		}
		servers = append(servers, netip.AddrPortFrom(at, 53))
	}
	return servers[:min(len(servers), maxServers)], nil
}

// Real returns the path of the file that names what the machine asks in the end: path, or that of
// systemd-resolved if path names that. It is for pods that have the machine's configuration.
func Real(path string) string {
	servers, err := read(path)
	if err != nil || !slices.ContainsFunc(servers, func(s netip.AddrPort) bool { return slices.Contains(stubs, s.Addr()) }) {
		return path
	}
	if _, err := os.Stat(systemd); err != nil {
		return path
	}
	return systemd
}
