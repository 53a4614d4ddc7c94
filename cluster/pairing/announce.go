package pairing

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/mdns"
)

// service is what masters are announced as (RFC 6763).
const (
	service = "_wheelhouse._tcp"
	domain  = "local"
)

// announceRetry is between two tries to listen on an interface that is not there or not up.
const announceRetry = 10 * time.Second

// Announce answers multicast DNS queries for masters with the address of this one, on the
// interface that has it, until ctx is done; then it returns nil. Besides the address it tells
// nothing. While no interface with multicast has the address, as when a cable is out at the start,
// it logs that, once, and tries again.
func Announce(ctx context.Context, at netip.AddrPort, log *slog.Logger) error {
	for tries := 0; ; tries++ {
		err := announce(ctx, at)
		if err == nil {
			return nil
		}
		if tries == 0 {
			log.Warn("the master is not announced yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(announceRetry):
		}
	}
}

func announce(ctx context.Context, at netip.AddrPort) error {
	link, err := linkOf(at.Addr())
	if err != nil {
		return err
	}
	// The names have the address in them: every new Raspberry Pi has the same host name.
	name := "wheelhouse-" + strings.ReplaceAll(at.Addr().String(), ".", "-")
	zone, err := mdns.NewMDNSService(name, service, domain+".", name+"."+domain+".", int(at.Port()), []net.IP{at.Addr().AsSlice()}, []string{"txtvers=1"})
	if err != nil {
		return fmt.Errorf("announcing the master: %w", err)
	}
	// The library logs each packet that it cannot read, which anybody can send.
	server, err := mdns.NewServer(&mdns.Config{Zone: zone, Iface: link, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		return fmt.Errorf("announcing the master on %s: %w", link.Name, err)
	}
	<-ctx.Done()
	return server.Shutdown()
}

// linkOf returns the interface that has an address.
func linkOf(at netip.Addr) (*net.Interface, error) {
	all, err := links()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		for _, p := range l.addresses {
			if p.Addr() == at {
				return &l.Interface, nil
			}
		}
	}
	return nil, fmt.Errorf("announcing the master: no interface with multicast has the address %s", at)
}

type link struct {
	net.Interface
	addresses []netip.Prefix // IPv4
}

// links returns the interfaces that are up and have multicast and IPv4 addresses.
func links() (all []link, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	const wanted = net.FlagUp | net.FlagMulticast
	for _, i := range interfaces {
		if i.Flags&(wanted|net.FlagLoopback) != wanted {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("the addresses of %s: %w", i.Name, err)
		}
		l := link{Interface: i}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				l.addresses = append(l.addresses, p)
			}
		}
		if len(l.addresses) > 0 {
			all = append(all, l)
		}
	}
	return all, nil
}
