package network

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// listeners are the addresses that processes in this network namespace receive at, for
// "tcp" and "udp".
type listeners map[string][]netip.AddrPort

// States of sockets in /proc/net: a TCP socket that listens, a UDP socket that receives
// packets from any address.
const (
	tcpListens = "0A"
	udpOpen    = "07"
)

func readListeners() (listeners, error) {
	found := listeners{}
	for _, file := range []struct{ name, protocol, state string }{
		{"tcp", "tcp", tcpListens}, {"tcp6", "tcp", tcpListens}, {"udp", "udp", udpOpen}, {"udp6", "udp", udpOpen},
	} {
		f, err := os.Open("/proc/thread-self/net/" + file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != file.state {
				continue
			}
			at, err := parseSocket(fields[1])
			if err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("%s: %w", f.Name(), err)
			}
			found[file.protocol] = append(found[file.protocol], at)
		}
		err = errors.Join(lines.Err(), f.Close())
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// parseSocket reads an address such as 0100007F:0050: words of four bytes in the
// machine's order, then the port.
func parseSocket(text string) (netip.AddrPort, error) {
	host, number, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(number, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	ip, ok := netip.AddrFromSlice(words)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("address %q", text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

// has reports whether a process receives at some of the addresses of a host port.
func (l listeners) has(protocol string, p v1.ContainerPort) bool {
	ip, err := netip.ParseAddr(p.HostIP)
	every := err != nil || ip.IsUnspecified()
	for _, at := range l[protocol] {
		if int32(at.Port()) == p.HostPort && (every || at.Addr().IsUnspecified() || at.Addr() == ip) {
			return true
		}
	}
	return false
}
