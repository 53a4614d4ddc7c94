package features_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/cucumber/godog"
	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/network"
)

// isp is a machine outside of the cluster: this one is its only neighbour. The addresses are those of documentation (RFC 5737).
const (
	isp   = "isp"
	atISP = "203.0.113.2"
	atOwn = "203.0.113.1"
)

// registerOutside are the steps of a machine outside of the cluster. After a scenario it is gone, and the cluster is isolated as before.
func (p *platform) registerOutside(sc *godog.ScenarioContext) {
	var server *http.Server
	used := false
	isolated := func(ctx context.Context, is bool) error {
		_, err := p.cluster.run(ctx, "up", "--nodes", "2", fmt.Sprintf("--isolated=%v", is))
		return err
	}
	sc.Step(`^a machine outside of the cluster that this one reaches$`, func(ctx context.Context) (err error) {
		used = true
		server, err = p.serveOutside(ctx)
		return err
	})
	sc.Step(`^the cluster is isolated$`, func(ctx context.Context) error { return isolated(ctx, true) })
	sc.Step(`^the cluster is not isolated any more$`, func(ctx context.Context) error { return isolated(ctx, false) })
	sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		if !used {
			return ctx, err
		}
		if server != nil {
			_ = server.Close() // nobody uses it
		}
		end := context.WithoutCancel(ctx) // also after a scenario that failed
		out, failed := p.shell(end, "ip netns del "+p.netns(isp))
		if failed != nil {
			failed = fmt.Errorf("%s: %w", out, failed)
		}
		return ctx, errors.Join(failed, isolated(end, true))
	})
}

// serveOutside makes the machine, which answers each request with "outside to ADDRESS".
func (p *platform) serveOutside(ctx context.Context) (*http.Server, error) {
	out, err := p.shell(ctx, strings.NewReplacer("NS", p.netns(isp), "ISP", atISP, "OWN", atOwn).Replace(
		`ip link del isp-test 2>/dev/null # of a test that was killed; no name of a cluster, whose links are not reached (wh-, wu-)
set -e; ip netns add NS; ip link add isp-test type veth peer name eth0 netns NS; ip addr add OWN/30 dev isp-test; ip link set isp-test up
ip -n NS addr add ISP/30 dev eth0; ip -n NS link set lo up; ip -n NS link set eth0 up`))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", out, err)
	}
	ns, err := netns.GetFromName(p.netns(isp))
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	var l net.Listener
	err = network.Do(ns, func() (err error) {
		l, err = net.Listen("tcp4", atISP+":80")
		return err
	})
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr) // as net/http makes it
		fmt.Fprintf(w, "outside to %s", host)
	})}
	go func() { _ = server.Serve(l) }() // until it is closed
	return server, nil
}
