package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// The WireGuard interface between nodes.
const (
	wireguardLink     = "cwg0"
	wireguardPort     = 51820
	wireguardOverhead = 60 // IPv4, UDP and WireGuard headers
	keyFile           = "wireguard.key"
)

// KeyAnnotation is the public key of a Node of the mode WireGuard.
const KeyAnnotation = "network.wheelhouse.dev/wireguard-public-key"

type key = wgtypes.Key

// parseKey returns a public key of its text.
func parseKey(text string) (key, error) {
	if text == "" {
		return key{}, errors.New("the annotation " + KeyAnnotation + " is missing")
	}
	k, err := wgtypes.ParseKey(text)
	if err == nil && k == (key{}) {
		err = errors.New("the key is zero")
	}
	return k, err
}

// OpenKey returns the node's private key of WireGuard, which it makes in dir if there is none.
// It fails if the kernel has no WireGuard.
func OpenKey(ctx context.Context, dir string) (wgtypes.Key, error) {
	if err := haveWireGuard(ctx); err != nil {
		return key{}, err
	}
	path := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(path)
	if err == nil {
		k, err := wgtypes.ParseKey(strings.TrimSpace(string(text)))
		if err != nil {
			return key{}, fmt.Errorf("%s (remove it, and the node makes another): %w", path, err)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key{}, fmt.Errorf("key of WireGuard: %w", err)
	}
	k, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return key{}, fmt.Errorf("key of WireGuard: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return key{}, fmt.Errorf("key of WireGuard: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(k.String()+"\n"), 0o600); err != nil {
		return key{}, fmt.Errorf("key of WireGuard: %w", err)
	}
	return k, os.Rename(path+".new", path)
}

// haveWireGuard makes the interface, loading the module if need be, and says what to do where the
// kernel has none.
func haveWireGuard(ctx context.Context) error {
	add := func() error {
		err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: wireguardLink}})
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	err := add()
	if errors.Is(err, unix.EOPNOTSUPP) {
		// The module may just not be loaded; modprobe's error is less clear than that of the second attempt.
		_ = exec.CommandContext(ctx, "modprobe", "wireguard").Run()
		err = add()
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errors.New("this kernel has no WireGuard: load its module (modprobe wireguard; it is part of Linux since 5.6), or choose --pod-network vxlan, which does not encrypt")
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", wireguardLink, err)
	}
	return nil
}

// setupWireGuard makes the interface, its key and its peers the whole of what is wanted, and returns its index and how
// much was missing.
func setupWireGuard(ctx context.Context, self netip.Prefix, private wgtypes.Key, mtu int, want map[key]endpoint) (index, added int, err error) {
	l, err := netlink.LinkByName(wireguardLink)
	if isGone(err) {
		added++
		if err := haveWireGuard(ctx); err != nil {
			return 0, added, err
		}
		l, err = netlink.LinkByName(wireguardLink)
	}
	if err != nil {
		return 0, added, err
	}
	client, err := wgctrl.New()
	if err != nil {
		return 0, added, fmt.Errorf("WireGuard: %w", err)
	}
	defer func() { _ = client.Close() }()
	device, err := client.Device(wireguardLink)
	if err != nil {
		return 0, added, fmt.Errorf("interface %s: %w", wireguardLink, err)
	}
	change, missing := wireguardConfig(device, private, want)
	if missing > 0 || len(change.Peers) > 0 {
		if err := client.ConfigureDevice(wireguardLink, change); err != nil {
			return 0, added, fmt.Errorf("peers of %s: %w", wireguardLink, err)
		}
	}
	changed, err := setupTunnel(l, self, mtu)
	if changed {
		added++
	}
	return l.Attrs().Index, added + missing, err
}

// wireguardConfig is what has to change on a device, and how much is missing there. Peers that
// are right are left alone, with their sessions.
func wireguardConfig(have *wgtypes.Device, private wgtypes.Key, want map[key]endpoint) (change wgtypes.Config, missing int) {
	if have.PrivateKey != private || have.ListenPort != wireguardPort {
		port := wireguardPort
		change.PrivateKey, change.ListenPort, missing = &private, &port, 1
	}
	present := map[key]bool{}
	for _, p := range have.Peers {
		e, wanted := want[p.PublicKey]
		if !wanted {
			change.Peers = append(change.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true})
			continue
		}
		present[p.PublicKey] = p.Endpoint != nil && p.Endpoint.AddrPort() == e.at && len(p.AllowedIPs) == 1 && p.AllowedIPs[0].String() == e.pods.String()
	}
	for k, e := range want {
		if present[k] {
			continue
		}
		missing++
		pods := net.IPNet{IP: e.pods.Addr().AsSlice(), Mask: net.CIDRMask(e.pods.Bits(), 32)}
		change.Peers = append(change.Peers, wgtypes.PeerConfig{
			PublicKey: k, Endpoint: net.UDPAddrFromAddrPort(e.at), ReplaceAllowedIPs: true, AllowedIPs: []net.IPNet{pods},
		})
	}
	return change, missing
}
