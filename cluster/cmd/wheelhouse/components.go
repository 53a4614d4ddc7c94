package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	// The work queues, clients and version of this process, among its metrics.
	_ "k8s.io/component-base/metrics/prometheus/restclient"
	_ "k8s.io/component-base/metrics/prometheus/version"
	_ "k8s.io/component-base/metrics/prometheus/workqueue"

	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/controller/loadbalancer"
	"wheelhouse/cluster/controller/node"
	"wheelhouse/cluster/controller/podautoscaler"
	"wheelhouse/cluster/controller/serviceaccount"
	"wheelhouse/cluster/dns"
	"wheelhouse/cluster/scheduler"
)

// controllerFlags are the flags of the controllers.
type controllerFlags struct {
	nodeGrace, evictAfter, autoscale, tokenCleanUp time.Duration

	pool []string // addresses of load balancers
}

func (c *controllerFlags) register(f *pflag.FlagSet) {
	f.DurationVar(&c.nodeGrace, "node-monitor-grace-period", node.DefaultGrace, "a node without a heartbeat for this long is not ready")
	f.DurationVar(&c.evictAfter, "pod-eviction-timeout", 0, "its pods are evicted after this time; 0: after each pod's tolerationSeconds, by default five minutes")
	f.DurationVar(&c.autoscale, "horizontal-pod-autoscaler-sync-period", podautoscaler.DefaultSync, "the interval between reconciliations of autoscalers")
	f.StringSliceVar(&c.pool, "load-balancer-pool", nil,
		"addresses on the nodes' link that services of type LoadBalancer get: CIDRs such as 192.168.1.240/28, ranges such as 192.168.1.200-192.168.1.220; nodes answer for them; the same on every master, as a server without a pool takes them back (default: none)")
	f.DurationVar(&c.tokenCleanUp, "legacy-service-account-token-clean-up-period", serviceaccount.DefaultCleanUpPeriod,
		"an auto-generated service account token in a secret is marked as invalid when it was not used for this long, and deleted after as long again")
}

// balancers returns the pool of load balancers, which may have no address of pods or services.
func (c *controllerFlags) balancers(network *networkFlags) (loadbalancer.Pool, error) {
	pool, err := loadbalancer.ParsePool(c.pool)
	if err != nil {
		return pool, fmt.Errorf("--load-balancer-pool: %w", err)
	}
	for flag, cidr := range map[string]netip.Prefix{"--pod-cidr": network.podCIDR.Prefix, "--service-cidr": network.serviceCIDR.Prefix} {
		if pool.Overlaps(cidr) {
			return pool, fmt.Errorf("--load-balancer-pool %s: it has addresses of %s %s", pool, flag, cidr)
		}
	}
	return pool, nil
}

// config needs flags whose pool is valid. No load balancer gets one of the cluster's own addresses.
func (c *controllerFlags) config(ca []byte, network *networkFlags, own ...netip.Addr) controller.Config {
	pool, _ := c.balancers(network)
	return controller.Config{
		LoadBalancers: pool, OwnAddresses: own,
		RootCA: ca, ClusterCIDR: network.podCIDR.String(), NodeGrace: c.nodeGrace, EvictAfter: c.evictAfter, AutoscalerSync: c.autoscale, TokenCleanUp: c.tokenCleanUp,
	}
}

func runControllers(ctx context.Context, rc *rest.Config, factory *client.SharedInformers, cfg controller.Config, t term, log *slog.Logger) error {
	rc = client.As(rc, client.ControllerManager)
	cs, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	if cfg.Metadata, err = metadata.NewForConfig(rc); err != nil {
		return err
	}
	recorder := client.Recorder(cs, "controller-manager")
	defer flush(ctx, recorder)
	cfg.Client, cfg.Informers, cfg.Recorder = cs, factory, recorder.As
	cfg.Log = log.With("component", "controller-manager")
	controllers, err := controller.New(cfg)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return ended(ctx, "controllers", t.run(ctx, cs, controllers))
}

// runScheduler needs of the scheduler's configuration the Name, the Journal and the Log.
func runScheduler(ctx context.Context, rc *rest.Config, factory *client.SharedInformers, cfg scheduler.Config, t term) error {
	cs, err := kubernetes.NewForConfig(client.As(rc, client.Scheduler))
	if err != nil {
		return err
	}
	recorder := client.Recorder(cs, cmp.Or(cfg.Name, corev1.DefaultSchedulerName))
	defer flush(ctx, recorder)
	cfg.Client, cfg.Informers, cfg.Recorder = cs, factory, recorder
	cfg.Log = cfg.Log.With("component", "scheduler")
	s, err := scheduler.New(cfg)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return ended(ctx, "scheduler", t.run(ctx, cs, s))
}

func runDNS(ctx context.Context, factory *client.SharedInformers, cfg dns.Config) error {
	cfg.Informers = factory
	server, err := dns.New(cfg)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return ended(ctx, "DNS", server.Run(ctx))
}

// flush sends the events of a component that stops.
func flush(ctx context.Context, r *client.EventRecorder) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.Flush(ctx) // events that the server no longer accepts are lost
}

// alone returns the command that runs one component with a kubeconfig, outside the server's
// process.
func alone(use, short string, run func(context.Context, *rest.Config, *client.SharedInformers, *slog.Logger) error) *cobra.Command {
	var kubeconfig string
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if kubeconfig == "" {
				return errNoKubeconfig
			}
			rc, err := client.FromKubeconfig(kubeconfig)
			if err != nil {
				return err
			}
			cs, err := kubernetes.NewForConfig(rc)
			if err != nil {
				return err
			}
			return run(c.Context(), rc, client.Informers(cs), logger(use))
		},
	}
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "the kubeconfig with the API server and the credentials")
	return c
}

// signToken returns the function that signs tokens for secrets.
func signToken(key *ecdsa.PrivateKey) func(*corev1.ServiceAccount, *corev1.Secret) (string, error) {
	return func(sa *corev1.ServiceAccount, s *corev1.Secret) (string, error) {
		return authn.LegacyToken(key, sa, s.Name)
	}
}

func schedulerCommand() *cobra.Command {
	var name string
	c := alone("scheduler", "The scheduler alone", func(ctx context.Context, rc *rest.Config, f *client.SharedInformers, log *slog.Logger) error {
		return runScheduler(ctx, rc, f, scheduler.Config{Name: name, Log: log}, term{lease: schedulerLease(name)})
	})
	c.Flags().StringVar(&name, "scheduler-name", "", "schedule the pods that name this scheduler (default: default-scheduler)")
	return c
}

func controllerManagerCommand() *cobra.Command {
	var network networkFlags
	var flags controllerFlags
	var keyFile string
	c := alone("controller-manager", "The controllers alone", func(ctx context.Context, rc *rest.Config, f *client.SharedInformers, log *slog.Logger) error {
		if _, err := flags.balancers(&network); err != nil {
			return err
		}
		config := flags.config(rc.CAData, &network)
		if keyFile != "" {
			key, err := pki.LoadKey(keyFile)
			if err != nil {
				return err
			}
			config.SignToken = signToken(key)
		}
		return runControllers(ctx, rc, f, config, term{lease: controllersLease}, log)
	})
	c.Flags().StringVar(&keyFile, "service-account-private-key-file", "", "the key (PEM) that signs the tokens of service accounts for secrets; without it secrets get no token")
	network.register(c.Flags())
	flags.register(c.Flags())
	return c
}

func dnsCommand() *cobra.Command {
	var network networkFlags
	var resolver resolverFlags
	listen := "127.0.0.1:53"
	c := alone("dns", "The cluster's DNS alone", func(ctx context.Context, _ *rest.Config, f *client.SharedInformers, log *slog.Logger) error {
		at, err := netip.ParseAddrPort(listen)
		if err != nil {
			return fmt.Errorf("--listen %q: want IP:PORT: %w", listen, err)
		}
		cfg := resolver.config(log)
		cfg.Addr, cfg.Domain, cfg.Service = at, network.domain, network.dns.Addr
		return runDNS(ctx, f, cfg)
	})
	network.register(c.Flags())
	resolver.register(c.Flags())
	c.Flags().StringVar(&listen, "listen", listen, "address and port to listen on")
	return c
}
