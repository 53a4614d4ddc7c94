package pairing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

const (
	// maxFound bounds what one search returns, and maxPackets what it reads on an interface,
	// whoever floods the network.
	maxFound   = 32
	maxPackets = 1024
)

var group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353} // RFC 6762

// Find asks on every interface of this machine for masters, and returns, after limit, the
// addresses that were announced, at most 32, each in the network of the interface that it was
// announced on. They are claims. Each packet is read on its own, so that nobody hides another's
// by taking its name.
func Find(ctx context.Context, limit time.Duration) ([]netip.AddrPort, error) {
	all, err := links()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("looking for a master: this machine has no address in a network with multicast")
	}
	found := make([][]netip.AddrPort, len(all))
	var asking errgroup.Group
	for i, l := range all {
		asking.Go(func() (err error) {
			found[i], err = l.ask(ctx, limit)
			return err
		})
	}
	err = asking.Wait()
	var out []netip.AddrPort
	for _, at := range slices.Concat(found...) {
		if !slices.Contains(out, at) && len(out) < maxFound {
			out = append(out, at)
		}
	}
	if len(out) > 0 {
		return out, nil // an interface that could not be asked does not matter then
	}
	return nil, err
}

// ask sends the question, twice as a packet may be lost, and reads answers until the limit. The
// question comes from a port of its own, so that answers are sent to it alone.
func (l *link) ask(ctx context.Context, limit time.Duration) (found []netip.AddrPort, err error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: l.addresses[0].Addr().AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("looking for a master on %s: %w", l.Name, err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := ipv4.NewPacketConn(conn).SetMulticastInterface(&l.Interface); err != nil {
		return nil, fmt.Errorf("looking for a master on %s: %w", l.Name, err)
	}
	query := new(dns.Msg).SetQuestion(service+"."+domain+".", dns.TypePTR)
	query.RecursionDesired = false
	packet, err := query.Pack()
	if err != nil {
		return nil, err
	}
	end, buf := time.Now().Add(limit), make([]byte, 9000) // RFC 6762, section 17
	for _, until := range []time.Time{time.Now().Add(limit / 2), end} {
		if _, err := conn.WriteTo(packet, group4); err != nil {
			return nil, fmt.Errorf("looking for a master on %s: %w", l.Name, err)
		}
		if err := conn.SetReadDeadline(until); err != nil {
			return nil, err
		}
		for range maxPackets {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				break // the deadline, or ctx
			}
			for _, at := range announced(buf[:n]) {
				if l.has(at.Addr()) && !slices.Contains(found, at) && len(found) < maxFound {
					found = append(found, at)
				}
			}
		}
	}
	return found, context.Cause(ctx)
}

// has reports whether an address is in the interface's networks.
func (l *link) has(at netip.Addr) bool {
	return slices.ContainsFunc(l.addresses, func(p netip.Prefix) bool { return p.Contains(at) })
}

// announced returns what a packet says of masters: the ports of its instances of the service,
// at the addresses of their hosts. A packet with more than maxFound of them is not read further.
func announced(packet []byte) (found []netip.AddrPort) {
	var m dns.Msg
	if m.Unpack(packet) != nil || !m.Response {
		return nil
	}
	records := slices.Concat(m.Answer, m.Extra)
	for _, r := range records {
		srv, ok := r.(*dns.SRV)
		if !ok || srv.Port == 0 || !strings.HasSuffix(strings.ToLower(srv.Hdr.Name), "."+service+"."+domain+".") {
			continue
		}
		for _, r := range records {
			a, ok := r.(*dns.A)
			if !ok || !strings.EqualFold(a.Hdr.Name, srv.Target) {
				continue
			}
			if addr, ok := netip.AddrFromSlice(a.A); ok && len(found) < maxFound {
				found = append(found, netip.AddrPortFrom(addr.Unmap(), srv.Port))
			}
		}
	}
	return found
}
