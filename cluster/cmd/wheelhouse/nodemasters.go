package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/balancer"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/proxy"
)

// nodeMasters is how a node reaches the masters: by a balancer on loopback, which has them
// from the kubeconfig, from the endpoints of the kubernetes service, and from a file with
// those of before.
type nodeMasters struct {
	port int

	listener net.Listener
	balancer *balancer.Balancer
	first    string // of the kubeconfig
	file     string
	clocks   bool // they differ, and that is reported
	log      *slog.Logger
}

// listen starts the balancer, which ends with ctx.
func (n *nodeMasters) listen(ctx context.Context, log *slog.Logger) (err error) {
	n.log = log.With("component", "balancer")
	if n.listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port))); err != nil {
		n.log.Info("the balancer listens at another port", "err", err)
		if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("listening for the balancer: %w", err)
		}
	}
	n.balancer = balancer.New(balancer.Config{Probe: n.probe, Lost: n.lost, Log: n.log})
	go func() {
		if err := n.balancer.Run(ctx, n.listener); err != nil {
			n.log.Error("the balancer ended", "err", err)
		}
	}()
	return nil
}

// url is that of the balancer.
func (n *nodeMasters) url() string { return "https://" + n.listener.Addr().String() }

// lost reports that no master answers, and what to do if that is for a new address.
func (n *nodeMasters) lost(servers []string, err error) {
	n.log.Error("no master answers; if it has another address now, start the node with --server https://ADDRESS:6443: it stays the node that it is", "tried", servers, "err", err)
}

// probe returns nil if a master is ready for clients. No secret is sent, and nothing but the status and
// the time is used, so that the certificate is not checked: clients do that.
func (n *nodeMasters) probe(ctx context.Context, server string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		n.compareClocks(time.Now(), at, server)
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return errors.New(resp.Status)
	}
	return nil
}

// clocksDiffer is from which difference on certificates and tokens may be refused for the time alone.
const clocksDiffer = time.Minute

// compareClocks reports once that the clocks of this machine and of a master differ, and that they no longer do. Only the
// balancer's probes call it.
func (n *nodeMasters) compareClocks(own, master time.Time, server string) {
	ahead := own.Round(0).Sub(master).Round(time.Second)
	switch differ := ahead.Abs() >= clocksDiffer; {
	case differ && !n.clocks:
		n.clocks = true
		n.log.Error("the clocks of this machine and of the master differ: certificates may be refused until the wrong one is set", "ahead", ahead, "here", own.UTC().Format(time.RFC3339), "there", master.UTC().Format(time.RFC3339), "master", server)
	case !differ && n.clocks:
		n.clocks = false
		n.log.Info("the clocks of this machine and of the master agree again", "master", server)
	}
}

// begin sets the masters to the kubeconfig's and those of before.
func (n *nodeMasters) begin(kubeconfig, file string) error {
	rc, err := client.FromKubeconfig(kubeconfig)
	if err != nil {
		return err
	}
	u, err := url.Parse(rc.Host)
	if err != nil {
		return err
	}
	n.first, n.file = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), file
	var before []string
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &before) // what cannot be read is learned again
	}
	return n.use(append([]string{n.first}, before...))
}

// use sets the masters. Connections to them are accepted before any rules of services that are
// left on this machine; a host name's address is unknown.
func (n *nodeMasters) use(servers []string) error {
	for _, s := range servers {
		if at, err := netip.ParseAddrPort(s); err == nil {
			if err := proxy.KeepReachable(at); err != nil {
				return err
			}
		}
	}
	n.balancer.Set(servers)
	return nil
}

// follow takes the masters from the endpoints of the kubernetes service.
func (n *nodeMasters) follow(slicesOfAll cache.SharedIndexInformer) error {
	learn := func(o any) {
		s, ok := o.(*discoveryv1.EndpointSlice)
		if !ok || s.Namespace != "default" || s.Name != "kubernetes" {
			return
		}
		if err := n.learn(mastersOf(s)); err != nil {
			n.log.Warn("using the masters that are live", "err", err)
		}
	}
	_, err := slicesOfAll.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: learn, UpdateFunc: func(_, o any) { learn(o) }})
	return err
}

// mastersOf returns the addresses in the endpoints of the kubernetes service.
func mastersOf(s *discoveryv1.EndpointSlice) (servers []string) {
	if len(s.Ports) == 0 || s.Ports[0].Port == nil {
		return nil
	}
	port := strconv.Itoa(int(*s.Ports[0].Port))
	for i := range s.Endpoints {
		for _, a := range s.Endpoints[i].Addresses {
			servers = append(servers, net.JoinHostPort(a, port))
		}
	}
	return servers
}

// learn uses the masters that are live, with the kubeconfig's in the end, and keeps them for the
// next start.
func (n *nodeMasters) learn(live []string) error {
	if len(live) == 0 {
		return nil
	}
	if !slices.Contains(live, n.first) {
		live = append(live, n.first)
	}
	data, err := json.Marshal(live)
	if err != nil {
		return err
	}
	return errors.Join(n.use(live), client.WriteFile(n.file, data))
}
