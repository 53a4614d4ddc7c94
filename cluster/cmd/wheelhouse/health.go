package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/store"
)

const controllersLease = "kube-controller-manager"

// schedulerLease returns the name of the Lease for the leader election of the schedulers of
// one name; those of different names run side by side.
func schedulerLease(name string) string {
	if name == "" || name == corev1.DefaultSchedulerName {
		return "kube-scheduler"
	}
	return "kube-scheduler-" + name
}

// health returns the state of a component while it runs in this process.
type health = atomic.Pointer[func() error]

// components are the parts of the control plane that may run in the server's process.
type components struct{ scheduler, controllers health }

// statuses returns the componentstatuses: the health of a component in this process, else
// whether its Lease is held.
func (p *components) statuses(s *store.Store) []apiserver.Component {
	ask := func(part *health, lease string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			if healthy := part.Load(); healthy != nil {
				return "ok", (*healthy)()
			}
			return "ok", leaseHeld(ctx, s, lease)
		}
	}
	etcd := func(ctx context.Context) (string, error) { return `{"health": "true"}`, s.WaitReady(ctx) }
	return []apiserver.Component{
		{Name: "scheduler", Probe: ask(&p.scheduler, schedulerLease(""))},
		{Name: "controller-manager", Probe: ask(&p.controllers, controllersLease)},
		{Name: "etcd-0", Probe: etcd},
	}
}

// leaseHeld returns nil if a leader has renewed the lease within its duration.
func leaseHeld(ctx context.Context, s *store.Store, name string) error {
	item, err := s.Of(builtin.Lookup(coordinationv1.GroupName, "v1", "leases")).Get(ctx, metav1.NamespaceSystem, name, "0")
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("no leader: lease %s/%s does not exist yet", metav1.NamespaceSystem, name)
	}
	if err != nil {
		return err
	}
	lease := item.Object().(*coordinationv1.Lease).Spec
	if lease.HolderIdentity == nil || *lease.HolderIdentity == "" || lease.RenewTime == nil || lease.LeaseDurationSeconds == nil {
		return fmt.Errorf("no leader: lease %s/%s is not held", metav1.NamespaceSystem, name)
	}
	silent := time.Since(lease.RenewTime.Time)
	if silent > time.Duration(*lease.LeaseDurationSeconds)*time.Second {
		return fmt.Errorf("%s has not renewed the lease %s/%s for %s", *lease.HolderIdentity, metav1.NamespaceSystem, name, silent.Round(time.Second))
	}
	return nil
}

// component is the scheduler or the controllers.
type component interface {
	Run(ctx context.Context) error
	Healthy() error
}

// term is how a component runs in this process: while its Lease is held. health, if not nil, is
// set meanwhile.
type term struct {
	lease    string
	identity string // of the holder; "": another one each time
	health   *health
	times    controller.LeaseTimes // zero: the default ones
}

func (t term) run(ctx context.Context, cs kubernetes.Interface, c component) error {
	work := func(ctx context.Context) error {
		if t.health != nil {
			healthy := c.Healthy
			t.health.Store(&healthy)
			defer t.health.Store(nil)
		}
		return c.Run(ctx)
	}
	leader := controller.Leader{Name: t.lease, Identity: t.identity, Times: t.times}
	return leader.Run(ctx, cs, work)
}
