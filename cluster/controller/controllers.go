// Package controller runs all controllers of the cluster.
//
// Each has a folder of its own and knows only client-go: it reads shared informers
// and writes through a typed client. This package lists them, runs them together,
// and says how each is. Leader lets only one of several processes run them.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/cronjob"
	"wheelhouse/cluster/controller/daemonset"
	"wheelhouse/cluster/controller/deployment"
	"wheelhouse/cluster/controller/disruption"
	"wheelhouse/cluster/controller/endpoints"
	"wheelhouse/cluster/controller/endpointslice"
	"wheelhouse/cluster/controller/ephemeral"
	"wheelhouse/cluster/controller/garbage"
	"wheelhouse/cluster/controller/job"
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

// Config is what the controllers work with. Client, Metadata and Informers speak
// to the same server; Informers may be shared, and Run starts them. Recorder gives
// what each controller tells events with, under its own name.
type Config struct {
	Client    kubernetes.Interface
	Metadata  metadata.Interface
	Informers informers.SharedInformerFactory
	Recorder  func(component string) record.EventRecorder
	Log       *slog.Logger

	RootCA         []byte        // PEM, published in every namespace; none if empty
	NodeGrace      time.Duration // see node.Config
	EvictAfter     time.Duration
	ClusterCIDR    string
	NodeMask       int
	TerminatedPods int           // ended pods that are kept, 0 is podgc.Keep
	AutoscalerSync time.Duration // 0 is podautoscaler.DefaultSync
}

// controller is what each of them offers.
type controller interface {
	Name() string
	Run(ctx context.Context) error
	Healthy() error
}

// Controllers is made with New.
type Controllers struct {
	Config
	all []controller
}

// New makes all controllers; nothing runs before Run.
func New(c Config) (*Controllers, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Controllers{Config: c}
	for _, build := range list {
		one, err := build(c)
		if err != nil {
			return nil, fmt.Errorf("controllers: %w", err)
		}
		m.all = append(m.all, one)
	}
	return m, nil
}

// list is every controller there is.
var list = []func(Config) (controller, error){
	func(c Config) (controller, error) {
		return replication.New(replication.Config{
			Name: "replicationcontroller", Kind: replication.Controllers(c.Client, c.Informers),
			Client: c.Client, Informers: c.Informers, Recorder: c.Recorder("replication-controller"), Log: c.log("replicationcontroller"),
		})
	},
	func(c Config) (controller, error) {
		return replication.New(replication.Config{
			Name: "replicaset", Kind: replication.ReplicaSets(c.Client, c.Informers),
			Client: c.Client, Informers: c.Informers, Recorder: c.Recorder("replicaset-controller"), Log: c.log("replicaset"),
		})
	},
	func(c Config) (controller, error) {
		return deployment.New(c.Client, c.Informers, c.Recorder("deployment-controller"), c.log("deployment"))
	},
	func(c Config) (controller, error) {
		return disruption.New(c.Client, c.Informers, c.Recorder("controllermanager"), c.log("disruption"))
	},
	func(c Config) (controller, error) {
		return daemonset.New(c.Client, c.Informers, c.Recorder("daemonset-controller"), c.log("daemonset"))
	},
	func(c Config) (controller, error) {
		return statefulset.New(c.Client, c.Informers, c.Recorder("statefulset-controller"), c.log("statefulset"))
	},
	func(c Config) (controller, error) {
		return job.New(c.Client, c.Informers, c.Recorder("job-controller"), c.log("job"))
	},
	func(c Config) (controller, error) {
		return cronjob.New(c.Client, c.Informers, c.Recorder("cronjob-controller"), c.log("cronjob"))
	},
	func(c Config) (controller, error) {
		return ttlafterfinished.New(c.Client, c.Informers, c.log("ttlafterfinished"))
	},
	func(c Config) (controller, error) {
		return endpoints.New(c.Client, c.Informers, c.log("endpoint"))
	},
	func(c Config) (controller, error) {
		return endpointslice.New(c.Client, c.Informers, c.log("endpointslice"))
	},
	func(c Config) (controller, error) {
		return node.New(node.Config{
			Client: c.Client, Informers: c.Informers, Recorder: c.Recorder("node-controller"), Evictions: c.Recorder("taint-eviction-controller"), Log: c.log("node"),
			Grace: c.NodeGrace, EvictAfter: c.EvictAfter, ClusterCIDR: c.ClusterCIDR, MaskSize: c.NodeMask,
		})
	},
	func(c Config) (controller, error) {
		return namespace.New(c.Client, c.Metadata, c.Informers, c.log("namespace"))
	},
	func(c Config) (controller, error) {
		return persistentvolume.New(c.Client, c.Informers, c.Recorder("persistentvolume-controller"), c.log("persistentvolume"))
	},
	func(c Config) (controller, error) {
		return ephemeral.New(c.Client, c.Informers, c.Recorder("ephemeral_volume"), c.log("ephemeralvolume"))
	},
	func(c Config) (controller, error) {
		return serviceaccount.New(c.Client, c.Informers, c.RootCA, c.log("serviceaccount"))
	},
	func(c Config) (controller, error) {
		return garbage.New(garbage.Config{
			Discovery: c.Client.Discovery(), Metadata: c.Metadata, Informers: c.Informers, Log: c.log("garbagecollector"),
		}), nil
	},
	func(c Config) (controller, error) {
		return podautoscaler.New(podautoscaler.Config{
			Client: c.Client, Informers: c.Informers, Recorder: c.Recorder("horizontal-pod-autoscaler"),
			Sync: c.AutoscalerSync, Log: c.log("horizontalpodautoscaler"),
		})
	},
	func(c Config) (controller, error) {
		return resourcequota.New(resourcequota.Config{Client: c.Client, Metadata: c.Metadata, Informers: c.Informers, Log: c.log("resourcequota")})
	},
	func(c Config) (controller, error) {
		return podgc.New(podgc.Config{
			Client: c.Client, Informers: c.Informers, Keep: c.TerminatedPods, NodeGone: c.NodeGrace, Log: c.log("podgc"),
		})
	},
}

func (c Config) log(name string) *slog.Logger { return c.Log.With("controller", name) }

// Run runs all controllers until ctx ends. Where several processes may run them, it
// is work for Leader.Run.
func (m *Controllers) Run(ctx context.Context) error {
	m.Informers.Start(ctx.Done())
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range m.all {
		group.Go(func() error {
			if err := c.Run(ctx); err != nil {
				return fmt.Errorf("controller %s: %w", c.Name(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Healthy says which controllers do not work, or nil.
func (m *Controllers) Healthy() error {
	var errs []error
	for _, s := range m.Status() {
		errs = append(errs, s.Err)
	}
	return errors.Join(errs...)
}

// Status is how one controller is.
type Status struct {
	Name string
	Err  error // nil: it works
}

// Status gives the state of each controller, in the order of the list.
func (m *Controllers) Status() []Status {
	out := make([]Status, len(m.all))
	for i, c := range m.all {
		out[i] = Status{Name: c.Name(), Err: c.Healthy()}
	}
	return out
}
