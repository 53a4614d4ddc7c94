package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A source is named by somebody else, who may have an address of the learner's own network in mind: a router, a cloud's
// metadata, a program that listens on this machine. So the address is looked at when the connection is made, after its name
// was resolved and after each redirect.

// shared are networks that are not public and that netip has no method for.
var shared = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network, RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),   // between provider and customer, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments, RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, RFC 1112, and broadcast
	netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 by NAT64, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"),  // the same, locally, RFC 8215
	netip.MustParsePrefix("2002::/16"),       // IPv4 by 6to4, RFC 3056
	netip.MustParsePrefix("2001::/32"),       // IPv4 by Teredo, RFC 4380
	netip.MustParsePrefix("fec0::/10"),       // of a site, RFC 3879
	netip.MustParsePrefix("100::/64"),        // discarded, RFC 6666
	netip.MustParsePrefix("2001:db8::/32"),   // documentation, RFC 3849
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
	netip.MustParsePrefix("198.51.100.0/24"), // the same
	netip.MustParsePrefix("203.0.113.0/24"),  // the same
}

// ErrPrivate is the error of a source whose address is not public, and was not agreed to.
var ErrPrivate = errors.New("it is an address of a private network or of this machine")

// allowed returns an error for an address that is not fetched from.
func (c *Config) allowed(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return fmt.Errorf("%s is never fetched from: it is link-local, multicast or no address", addr)
	}
	if c.Private {
		return nil
	}
	private := addr.IsPrivate() || addr.IsLoopback()
	for _, p := range shared {
		private = private || p.Contains(addr)
	}
	if private {
		return fmt.Errorf("%s: %w; --private-addresses agrees to it", addr, ErrPrivate)
	}
	return nil
}

// control is called with the address of a connection, which was resolved, before it is made.
func (c *Config) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s is no address", address)
	}
	return c.allowed(ap.Addr())
}

// resolved returns where git is to connect to for an address, as its http.curloptResolve has it, so that what was looked at is
// what is connected to. It returns "" if the learner's proxy connects.
func (c *Config) resolved(ctx context.Context, u *url.URL) (string, error) {
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil || proxy != nil {
		return "", errors.Join(err, c.byName(ctx, u.Hostname()))
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return "", err
	}
	var all []string
	for _, a := range addrs {
		if err := c.allowed(a); err != nil {
			return "", err
		}
		all = append(all, a.Unmap().String())
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "", nil // there is nothing to resolve
	}
	return u.Hostname() + ":" + port + ":" + strings.Join(all, ","), nil
}

// byName looks at an address that a proxy is going to connect to: at its numbers, or at what its name is resolved to here, if
// it is. A proxy of the learner's own has rules of its own for the rest.
func (c *Config) byName(ctx context.Context, host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return c.allowed(addr)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil //nolint:nilerr // the proxy resolves names that this machine cannot
	}
	for _, a := range addrs {
		if err := c.allowed(a); err != nil {
			return err
		}
	}
	return nil
}

// guarded is a transport that connects to allowed addresses only.
type guardedTransport struct {
	c             *Config
	direct, proxy *http.Transport
}

// guard returns the transport with which c fetches; from is what it is like otherwise.
func (c *Config) guard(from *http.Transport) http.RoundTripper {
	direct := from.Clone()
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: c.control}
	direct.Proxy, direct.DialTLSContext = nil, nil
	direct.DialContext = dialer.DialContext
	return guardedTransport{c, direct, from}
}

func (g guardedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.proxy.Proxy != nil {
		proxy, err := g.proxy.Proxy(r)
		if err != nil {
			return nil, err
		}
		if proxy != nil {
			if err := g.c.byName(r.Context(), r.URL.Hostname()); err != nil {
				return nil, err
			}
			return g.proxy.RoundTrip(r)
		}
	}
	return g.direct.RoundTrip(r)
}
