package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network"
)

// errMoved is how a node ends whose machine has another address: it starts again with that.
var errMoved = errors.New("the machine's address has changed")

const (
	placeCheck = 10 * time.Second       // between two looks at the machine's address, beside those at its changes
	placePause = 500 * time.Millisecond // before a look, as changes rarely come alone
)

// findName takes the machine's host name if no flag names the node.
func (o *nodeOptions) findName() error {
	if o.name != "" {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("the node's name (say --name): %w", err)
	}
	o.name = strings.ToLower(name)
	return nil
}

// findPlace finds what no flag says: the address from which the machine reaches the API server, and the pod CIDR
// that the server gives the node, which registers for it.
func (o *nodeOptions) findPlace(ctx context.Context, cs kubernetes.Interface) (err error) {
	if o.findsAddress = o.findsAddress || !o.address.IsValid(); o.findsAddress {
		if o.address.Addr, err = findAddress(o.masters.first); err != nil {
			return fmt.Errorf("the node's address (say --address): %w", err)
		}
	}
	for !o.podCIDR.IsValid() {
		node, err := cs.CoreV1().Nodes().Get(ctx, o.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			node = &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: o.name, Labels: map[string]string{v1.LabelHostname: o.name}}, Spec: v1.NodeSpec{Unschedulable: o.unschedulable}}
			node, err = cs.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		}
		if err != nil {
			return fmt.Errorf("the node's pod CIDR: %w", err)
		}
		if o.podCIDR.Prefix, err = netip.ParsePrefix(node.Spec.PodCIDR); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server has given node %s no pod CIDR (say --pod-cidr): %w", o.name, ctx.Err())
		case <-time.After(startRetry):
		}
	}
	return nil
}

// findAddress returns the address from which the machine reaches a server; of a server on loopback, the one from which it
// reaches the rest of the world.
func findAddress(server string) (netip.Addr, error) {
	found, err := sourceTo(server)
	if err == nil && found.IsLoopback() {
		return sourceTo("192.0.2.1:9") // no machine has it; nothing is sent
	}
	return found, err
}

// sourceTo is the address from which the machine would send to another one.
func sourceTo(hostPort string) (netip.Addr, error) {
	c, err := net.Dial("udp4", hostPort)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }()
	at, err := netip.ParseAddrPort(c.LocalAddr().String())
	return at.Addr(), err
}

// followAddress returns errMoved when the address that findPlace found is another one.
func (o *nodeOptions) followAddress(ctx context.Context, log *slog.Logger) error {
	changes := make(chan netlink.AddrUpdate, 16)
	if err := netlink.AddrSubscribe(changes, ctx.Done()); err != nil {
		log.Warn("changes of addresses are not seen at once", "err", err)
	}
	tick := time.NewTicker(placeCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-changes:
			if !open {
				changes = nil
			}
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(placePause):
		}
		for len(changes) > 0 { // they are in what is found now
			<-changes
		}
		// A machine without a link has no address to the server for a while.
		if now, err := findAddress(o.masters.first); err == nil && now != o.address.Addr {
			log.Warn("the machine's address has changed: the node starts again with it", "was", o.address.Addr, "is", now)
			return errMoved
		}
	}
}

// followAddress reports once that no interface has the server's address any more, and what to do, until ctx ends. The server goes on, as
// components of its process and clients on loopback reach it, and the address may come back.
func (o *serverOptions) followAddress(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(placeCheck / 2)
	defer tick.Stop()
	for gone := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		all, err := net.InterfaceAddrs()
		if err != nil {
			continue // the next look may succeed
		}
		switch here := o.address.IsUnspecified() || onInterface(all, o.address.Addr); {
		case !here && !gone:
			log.Error("this machine no longer has the server's --address: start the server with --address of the new one, and nodes with --server https://NEW:"+strconv.Itoa(o.port), "address", o.address, "has", fmt.Sprint(all))
			gone = true
		case here && gone:
			log.Info("the machine has the server's address again", "address", o.address)
			gone = false
		}
	}
}

// onInterface reports whether an address is one of interfaces, or in the network of loopback.
func onInterface(all []net.Addr, address netip.Addr) bool {
	return address.IsLoopback() || slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == address.Unmap()
	})
}

// modeFlag is a flag for how nodes reach each other's pods.
type modeFlag struct {
	network.Mode
	key wgtypes.Key // of WireGuard, when it is open
}

func (f *modeFlag) String() string { return string(f.Mode) }
func (f *modeFlag) Type() string   { return "mode" }

func (f *modeFlag) Set(s string) (err error) {
	f.Mode, err = network.ParseMode(s)
	return err
}

// open reads or makes the key of WireGuard, if that is the mode. It fails where the kernel has none.
func (f *modeFlag) open(ctx context.Context, stateDir string) (err error) {
	if f.Mode == network.WireGuard {
		f.key, err = network.OpenKey(ctx, stateDir)
	}
	return err
}

// network sets the pod network up, and returns it with the routes to other nodes and with what those have to know of
// this one.
func (o *nodeOptions) network(ctx context.Context, shared *client.SharedInformers, repaired func(string), log *slog.Logger) (*network.Network, *network.Routes, map[string]string, error) {
	annotations := map[string]string{network.ModeAnnotation: "", network.KeyAnnotation: ""}
	if o.podNetwork.Mode != network.Auto {
		annotations[network.ModeAnnotation] = o.podNetwork.String()
	}
	cfg := network.RoutesConfig{
		Nodes: shared.Core().V1().Nodes(), NodeName: o.name, NodeIP: o.address.Addr, PodCIDR: o.podCIDR.Prefix, Mode: o.podNetwork.Mode, Key: o.podNetwork.key,
		Repaired: repaired, Log: log.With("component", "routes"),
	}
	if cfg.Mode == network.WireGuard {
		annotations[network.KeyAnnotation] = cfg.Key.PublicKey().String()
	}
	pods, err := network.New(network.Config{
		PodCIDR: o.podCIDR.Prefix, ClusterCIDR: o.clusterCIDR.Prefix, NodeIP: o.address.Addr, Mode: o.podNetwork.Mode, Repaired: repaired, Log: log.With("component", "network"),
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := pods.Setup(ctx); err != nil {
		return nil, nil, nil, err
	}
	cfg.Overhead = pods.Overhead
	routes, err := network.NewRoutes(cfg)
	return pods, routes, annotations, err
}
