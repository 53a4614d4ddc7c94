package features_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cucumber/godog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/local"
)

// registerBalancers are the steps of machines on the nodes' link. After a scenario the machines
// and the pool are gone.
func (p *platform) registerBalancers(sc *godog.ScenarioContext) {
	used := false
	sc.Step(`^the cluster has the nodes' addresses \.(\d+) to \.(\d+) for load balancers$`, func(ctx context.Context, first, last int) error {
		used = true
		lan, err := p.lan()
		if err != nil {
			return err
		}
		_, err = p.cluster.run(ctx, "up", "--nodes", "2", "--load-balancer-pool", fmt.Sprintf("%s%d-%s%d", lan, first, lan, last))
		return err
	})
	sc.Step(`^a machine "([^"]+)" at \.(\d+) and a machine "([^"]+)" at \.(\d+) of the nodes' link$`, func(ctx context.Context, a string, at int, b string, bt int) error {
		if err := p.connect(ctx, a, at); err != nil {
			return err
		}
		return p.connect(ctx, b, bt)
	})
	sc.Step("^on machine \"([^\"]+)\" `([^`]+)` prints \"([^\"]*)\"$", func(ctx context.Context, machine, line, text string) error {
		return until(ctx, p.Patience, fmt.Sprintf("`%s` on %s to print %q", line, machine, text), func() (string, bool, error) {
			out, err := p.on(ctx, machine, line)
			return out, strings.Contains(out, text), err
		})
	})
	killed := ""
	sc.Step(`^the node that answers machine "([^"]+)" for service "([^"]+)" is killed$`, func(ctx context.Context, machine, service string) (err error) {
		if killed, err = p.answering(ctx, machine, service, ""); err != nil {
			return err
		}
		return p.kill(ctx, "node/"+killed)
	})
	sc.Step(`^another node answers machine "([^"]+)" for service "([^"]+)"$`, func(ctx context.Context, machine, service string) error {
		_, err := p.answering(ctx, machine, service, killed)
		return err
	})
	sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		if !used {
			return ctx, err
		}
		for _, m := range []string{"laptop", "phone"} {
			if out, err := p.shell(ctx, "ip netns del "+p.netns(m)); err != nil {
				return ctx, fmt.Errorf("%s: %w", out, err)
			}
		}
		_, err = p.cluster.run(ctx, "up", "--nodes", "2", "--load-balancer-pool", "")
		return ctx, err
	})
}

func (p *platform) netns(machine string) string { return "wh-" + p.cluster.name + "-" + machine }

// lan returns what the addresses of the nodes' network begin with.
func (p *platform) lan() (string, error) {
	state, err := local.Status(local.Config{Name: p.cluster.name})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(state.Subnets.LAN.String(), "0/24"), nil
}

// connect makes a machine that is none of the cluster's on the nodes' link.
func (p *platform) connect(ctx context.Context, machine string, at int) error {
	lan, err := p.lan()
	if err != nil {
		return err
	}
	ns, link := p.netns(machine), p.netns("lan")
	out, err := p.shell(ctx, strings.NewReplacer("NS", ns, "LINK", link, "PORT", machine, "ADDRESS", fmt.Sprintf("%s%d/24", lan, at)).Replace(
		`set -e; ip netns add NS; ip -n LINK link add PORT type veth peer name eth0 netns NS; ip -n LINK link set PORT master br0 up
ip -n NS link set lo up; ip -n NS link set eth0 up; ip -n NS addr add ADDRESS dev eth0`))
	if err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	return nil
}

func (p *platform) on(ctx context.Context, machine, line string) (string, error) {
	script := p.Dir + "/" + machine + ".sh"
	if err := os.WriteFile(script, []byte(line+"\n"), 0o600); err != nil {
		return "", err
	}
	return p.shell(ctx, "ip netns exec "+p.netns(machine)+" bash "+script)
}

// answering waits until a machine on the link reaches a service's address through a node that is
// not the named one, and returns that node: its Ethernet address is the one that the machine's
// kernel has for the address.
func (p *platform) answering(ctx context.Context, machine, service, not string) (node string, err error) {
	began := time.Now()
	err = until(ctx, p.Patience, "a node other than "+not+" to answer for service "+service, func() (string, bool, error) {
		svc, err := p.cluster.client.CoreV1().Services(p.Namespace).Get(ctx, service, metav1.GetOptions{})
		if err != nil || len(svc.Status.LoadBalancer.Ingress) == 0 {
			return "it has no address", false, err
		}
		ip := svc.Status.LoadBalancer.Ingress[0].IP
		// A request that is lost is no failure: the kernel asks who has the address.
		out, err := p.on(ctx, machine, "curl -s -o /dev/null --max-time 1 http://"+ip+"/ || true; ip -4 neigh show "+ip)
		if err != nil {
			return out, false, err
		}
		for _, name := range []string{"master", "minion-1", "minion-2"} {
			link, err := p.shell(ctx, "ip -br -n "+p.netns(name)+" link show eth0")
			if err != nil {
				return link, false, err
			}
			if mac := strings.Fields(link); len(mac) > 2 && strings.Contains(out, mac[2]) {
				node = name
			}
		}
		return fmt.Sprintf("%s: %q", out, node), node != "" && node != not, nil
	})
	fmt.Printf("%s answers for service %s after %v\n", node, service, time.Since(began).Round(time.Millisecond))
	return node, err
}
