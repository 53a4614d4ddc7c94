//go:build !quick

package network

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// A kernel with WireGuard has the node keep its key; one without is refused with what to do, and no key is made.
func TestOpenKey(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = removeLink(wireguardLink) })
	path := filepath.Join(dir, keyFile)
	first, err := OpenKey(t.Context(), dir)
	if err != nil {
		if !strings.Contains(err.Error(), "modprobe wireguard") || !strings.Contains(err.Error(), "--pod-network vxlan") {
			t.Errorf("%v: want what to do", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
		if _, err := netlink.LinkByName(wireguardLink); err == nil {
			t.Errorf("%s is there", wireguardLink)
		}
		return
	}
	again, err := OpenKey(t.Context(), dir)
	if err != nil || again != first {
		t.Errorf("another key the second time, %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for root alone", info, err)
	}
}

// Only what differs is changed: what is right keeps its session.
func TestWireGuardConfig(t *testing.T) {
	var keys []wgtypes.Key
	for range 6 {
		k, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	private, right, moved, widened, gone, fresh := keys[0], keys[1], keys[2], keys[3], keys[4], keys[5]
	udp := func(s string) *net.UDPAddr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	nets := func(all ...string) (out []net.IPNet) {
		for _, s := range all {
			_, n, err := net.ParseCIDR(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, *n)
		}
		return out
	}
	have := &wgtypes.Device{PrivateKey: private, ListenPort: wireguardPort, Peers: []wgtypes.Peer{
		{PublicKey: right, Endpoint: udp("10.245.1.1:51820"), AllowedIPs: nets("10.246.1.0/24")},
		{PublicKey: moved, Endpoint: udp("10.245.1.2:51820"), AllowedIPs: nets("10.246.2.0/24")},
		{PublicKey: widened, Endpoint: udp("10.245.1.3:51820"), AllowedIPs: nets("10.246.3.0/24", "10.246.0.0/16")},
		{PublicKey: gone, Endpoint: udp("10.245.1.4:51820"), AllowedIPs: nets("10.246.4.0/24")},
	}}
	e := func(at, pods string) endpoint {
		return endpoint{netip.MustParseAddrPort(at), netip.MustParsePrefix(pods)}
	}
	want := map[key]endpoint{
		right:   e("10.245.1.1:51820", "10.246.1.0/24"),
		moved:   e("10.245.7.7:51820", "10.246.2.0/24"),
		widened: e("10.245.1.3:51820", "10.246.3.0/24"),
		fresh:   e("10.245.1.5:51820", "10.246.5.0/24"),
	}
	got, missing := wireguardConfig(have, private, want)
	if got.PrivateKey != nil || got.ReplacePeers || missing != 3 || len(got.Peers) != 4 {
		t.Errorf("%+v, %d missing", got, missing)
	}
	for _, p := range got.Peers {
		if p.PublicKey == gone {
			if !p.Remove {
				t.Errorf("a peer that is gone: %+v", p)
			}
			continue
		}
		w, ok := want[p.PublicKey]
		if !ok || p.PublicKey == right || p.Remove || !p.ReplaceAllowedIPs || len(p.AllowedIPs) != 1 || p.AllowedIPs[0].String() != w.pods.String() || p.Endpoint.AddrPort() != w.at {
			t.Errorf("peer %+v, want %+v", p, w)
		}
	}
	if got, missing := wireguardConfig(&wgtypes.Device{}, private, nil); *got.PrivateKey != private || *got.ListenPort != wireguardPort || missing != 1 {
		t.Errorf("of a new interface: %+v, %d missing", got, missing)
	}
}
