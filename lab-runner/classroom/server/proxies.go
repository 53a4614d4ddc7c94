package server

import (
	"net/http"
	"net/netip"
	"strings"
)

// fromClient replaces the address of a trusted proxy by that of the client for which it has forwarded the request.
func (s *Server) fromClient(next http.Handler) http.Handler {
	if len(s.cfg.Proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = clientOf(r, s.cfg.Proxies)
		next.ServeHTTP(w, r)
	})
}

// clientOf returns the address and port of the client. X-Forwarded-For is read from its end, where the nearest proxy has written, up to
// the first address that is no trusted proxy's: what is before that, the client may have written. An entry that is no
// address ends the reading at the proxy that has passed it on.
func clientOf(r *http.Request, proxies []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	trusted := func(a netip.Addr) bool {
		for _, p := range proxies {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	at := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted(at); i-- {
		hop, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(hops[i]), "[]"))
		if err != nil {
			break
		}
		at = hop.Unmap().WithZone("")
	}
	return netip.AddrPortFrom(at, peer.Port()).String()
}
