// Package controller runs all controllers of the cluster.
//
// rows lists them: each has a package of its own, reads shared informers and writes through a
// typed client. This package builds them from a Config, runs them together and reports
// their health; it never reads or writes an object itself, except the Lease of Leader. A
// caller that runs several processes must run the controllers through Leader.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/cronjob"
	"wheelhouse/cluster/controller/daemonset"
	"wheelhouse/cluster/controller/deployment"
	"wheelhouse/cluster/controller/disruption"
	"wheelhouse/cluster/controller/endpoints"
	"wheelhouse/cluster/controller/endpointslice"
	"wheelhouse/cluster/controller/ephemeral"
	"wheelhouse/cluster/controller/garbage"
	"wheelhouse/cluster/controller/job"
	"wheelhouse/cluster/controller/loadbalancer"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/namespace"
	"wheelhouse/cluster/controller/node"
	"wheelhouse/cluster/controller/persistentvolume"
	"wheelhouse/cluster/controller/podautoscaler"
	"wheelhouse/cluster/controller/podgc"
	"wheelhouse/cluster/controller/replication"
	"wheelhouse/cluster/controller/resourcequota"
	"wheelhouse/cluster/controller/serviceaccount"
	"wheelhouse/cluster/controller/statefulset"
	"wheelhouse/cluster/controller/ttlafterfinished"
)

// Config is what the controllers are given. Client, Metadata and Informers are of the same
// server; Informers may be shared, and Run starts them. Recorder returns a recorder for an
// event source.
type Config struct {
	Client    kubernetes.Interface
	Metadata  metadata.Interface
	Informers *client.SharedInformers
	Recorder  func(source string) record.EventRecorder
	Log       *slog.Logger

	RootCA []byte // PEM, published in every namespace; none if empty
	// SignToken signs tokens for Secrets, see serviceaccount.TokensConfig.
	SignToken      func(*v1.ServiceAccount, *v1.Secret) (string, error)
	TokenCleanUp   time.Duration // 0 is serviceaccount.DefaultCleanUpPeriod
	NodeGrace      time.Duration // see node.Config
	EvictAfter     time.Duration
	ClusterCIDR    string
	NodeMask       int
	TerminatedPods int           // terminal pods that are kept, 0 is podgc.Keep
	AutoscalerSync time.Duration // 0 is podautoscaler.DefaultSync

	LoadBalancers loadbalancer.Pool // addresses for services of type LoadBalancer; empty: none are given
	OwnAddresses  []netip.Addr      // of the cluster, which no load balancer gets; nodes' need not be among them
}

// row is one controller.
type row struct {
	name   string // in logs and health
	events string // the source of its events; "" for none
	role   string // the ClusterRole system:controller:<role>, as upstream; "" for the controller manager's own
	build  func(loop.Shared, Config) (loop.Runner, error)
}

// plain is the build of a controller that is given nothing but loop.Shared.
func plain[C loop.Runner](build func(loop.Shared) (C, error)) func(loop.Shared, Config) (loop.Runner, error) {
	return func(s loop.Shared, _ Config) (loop.Runner, error) { return build(s) }
}

// rows are all controllers.
var rows = []row{
	{"replicationcontroller", "replication-controller", "replication-controller", replicas(replication.Controllers)},
	{"replicaset", "replicaset-controller", "replicaset-controller", replicas(replication.ReplicaSets)},
	{"deployment", "deployment-controller", "deployment-controller", plain(deployment.New)},
	{"disruption", "controllermanager", "disruption-controller", plain(disruption.New)},
	{"daemonset", "daemonset-controller", "daemon-set-controller", plain(daemonset.New)},
	{"statefulset", "statefulset-controller", "statefulset-controller", plain(statefulset.New)},
	{"job", "job-controller", "job-controller", plain(job.New)},
	{"cronjob", "cronjob-controller", "cronjob-controller", plain(cronjob.New)},
	{"ttlafterfinished", "", "ttl-after-finished-controller", plain(ttlafterfinished.New)},
	{"endpoint", "", "endpoint-controller", plain(endpoints.New)},
	{"endpointslice", "", "endpointslice-controller", plain(endpointslice.New)},
	{"node", "node-controller", "node-controller", func(s loop.Shared, c Config) (loop.Runner, error) {
		return node.New(node.Config{
			Shared: s, Evictions: c.Recorder("taint-eviction-controller"),
			Grace: c.NodeGrace, EvictAfter: c.EvictAfter, ClusterCIDR: c.ClusterCIDR, MaskSize: c.NodeMask,
		})
	}},
	{"namespace", "", "namespace-controller", func(s loop.Shared, c Config) (loop.Runner, error) {
		return namespace.New(namespace.Config{Shared: s, Metadata: c.Metadata})
	}},
	{"persistentvolume", "persistentvolume-controller", "persistent-volume-binder", plain(persistentvolume.New)},
	{"ephemeralvolume", "ephemeral_volume", "ephemeral-volume-controller", plain(ephemeral.New)},
	{"serviceaccount", "", "service-account-controller", func(s loop.Shared, c Config) (loop.Runner, error) {
		return serviceaccount.New(serviceaccount.Config{Shared: s, RootCA: c.RootCA})
	}},
	{"serviceaccount-token", "", "", func(s loop.Shared, c Config) (loop.Runner, error) {
		return serviceaccount.NewTokens(serviceaccount.TokensConfig{Shared: s, RootCA: c.RootCA, Sign: c.SignToken})
	}},
	{"legacy-service-account-token-cleaner", "", "legacy-service-account-token-cleaner", func(s loop.Shared, c Config) (loop.Runner, error) {
		return serviceaccount.NewCleaner(serviceaccount.CleanerConfig{Shared: s, Period: c.TokenCleanUp})
	}},
	{"garbagecollector", "garbage-collector-controller", "generic-garbage-collector", func(s loop.Shared, c Config) (loop.Runner, error) {
		return garbage.New(garbage.Config{Shared: s, Metadata: c.Metadata})
	}},
	{"horizontalpodautoscaler", "horizontal-pod-autoscaler", "horizontal-pod-autoscaler", func(s loop.Shared, c Config) (loop.Runner, error) {
		return podautoscaler.New(podautoscaler.Config{Shared: s, Sync: c.AutoscalerSync})
	}},
	{"resourcequota", "", "resourcequota-controller", func(s loop.Shared, c Config) (loop.Runner, error) {
		return resourcequota.New(resourcequota.Config{Shared: s, Metadata: c.Metadata})
	}},
	{"service-lb", "service-controller", "service-controller", func(s loop.Shared, c Config) (loop.Runner, error) {
		return loadbalancer.New(loadbalancer.Config{Shared: s, Pool: c.LoadBalancers, Reserved: c.OwnAddresses})
	}},
	{"podgc", "", "pod-garbage-collector", func(s loop.Shared, c Config) (loop.Runner, error) {
		return podgc.New(podgc.Config{Shared: s, Keep: c.TerminatedPods, NodeGone: c.NodeGrace})
	}},
}

func replicas(kind replication.NewKind) func(loop.Shared, Config) (loop.Runner, error) {
	return func(s loop.Shared, _ Config) (loop.Runner, error) {
		return replication.New(replication.Config{Shared: s, Kind: kind})
	}
}

// Controllers runs all controllers. Make it with New.
type Controllers struct {
	Config
	runners []loop.Runner // by row
}

// New builds all controllers; nothing runs before Run.
func New(c Config) (*Controllers, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Controllers{Config: c}
	for _, r := range rows {
		s := loop.Shared{Controller: r.name, Client: c.Client, Informers: c.Informers, Log: c.Log.With("controller", r.name)}
		if r.events != "" {
			s.Recorder = c.Recorder(r.events)
		}
		one, err := r.build(s, c)
		if err != nil {
			return nil, fmt.Errorf("controller %s: %w", r.name, err)
		}
		m.runners = append(m.runners, one)
	}
	return m, nil
}

// Run runs all controllers until ctx ends.
func (m *Controllers) Run(ctx context.Context) error {
	m.Informers.Start(ctx.Done())
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range m.runners {
		group.Go(func() error {
			if err := c.Run(ctx); err != nil {
				return fmt.Errorf("controller %s: %w", rows[i].name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Healthy returns which controllers do not work, or nil.
func (m *Controllers) Healthy() error {
	var errs []error
	for _, s := range m.Status() {
		errs = append(errs, s.Err)
	}
	return errors.Join(errs...)
}

// Status is the health of one controller.
type Status struct {
	Name string
	Err  error // nil: it works
}

// Status returns the health of each controller, in the order of the rows.
func (m *Controllers) Status() []Status {
	out := make([]Status, len(m.runners))
	for i, c := range m.runners {
		out[i] = Status{Name: rows[i].name, Err: c.Healthy()}
	}
	return out
}

// Roles returns the ClusterRoles of the controllers, which the API server creates.
func Roles() []string {
	var out []string
	for _, r := range rows {
		if r.role != "" {
			out = append(out, "system:controller:"+r.role)
		}
	}
	return out
}
