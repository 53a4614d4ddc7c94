package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

// Leader is leader election by a Lease.
type Leader struct {
	Namespace string // "" is kube-system
	Name      string // such as kube-controller-manager
	// Identity is the holder, of which no second process may run; "": one made up for this call.
	// With the same identity, a process that was killed has the Lease again when it starts.
	Identity string
	Times    LeaseTimes // zero: DefaultLeaseTimes
}

// LeaseTimes are how a Lease is held, as the flags --leader-elect-* of upstream's controller manager.
type LeaseTimes struct {
	Duration time.Duration // without a renewal, until another takes the Lease
	Deadline time.Duration // without a renewal, until the holder gives up
	Retry    time.Duration // between two renewals, or two attempts
}

// DefaultLeaseTimes are upstream's.
var DefaultLeaseTimes = LeaseTimes{Duration: 15 * time.Second, Deadline: 10 * time.Second, Retry: 2 * time.Second}

// Check returns an error for times by which a Lease is not held.
func (t LeaseTimes) Check() error {
	if t.Retry <= 0 || float64(t.Deadline) <= leaderelection.JitterFactor*float64(t.Retry) || t.Duration <= t.Deadline {
		return fmt.Errorf("a Lease of %s that is renewed every %s, and given up after %s: want a duration above the deadline, and that above %.1f times the period",
			t.Duration, t.Retry, t.Deadline, leaderelection.JitterFactor)
	}
	return nil
}

// releaseTime bounds the release of a Lease at the end.
const releaseTime = 2 * time.Second

// ErrLost means that another process may be the leader now.
var ErrLost = errors.New("lost the lease")

// Run acquires the Lease, runs work while it is held, and returns ErrLost when it is lost
// before ctx ends. The Lease is released at the end.
func (l *Leader) Run(ctx context.Context, client kubernetes.Interface, work func(context.Context) error) error {
	ns := l.Namespace
	if ns == "" {
		ns = metav1.NamespaceSystem
	}
	identity, err := l.identity()
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	times := cmp.Or(l.Times, DefaultLeaseTimes)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	result := make(chan error, 1)
	started := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: ns, Name: l.Name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: times.Duration, RenewDeadline: times.Deadline, RetryPeriod: times.Retry,
		ReleaseOnCancel: true,
		Name:            l.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				close(started)
				result <- work(ctx)
				stop()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	elector.Run(ctx)
	lost := ctx.Err() == nil
	stop()
	release(ctx, client.CoordinationV1().Leases(ns), l.Name, identity)
	select {
	case <-started:
		err = <-result
	default:
	}
	if lost {
		return errors.Join(fmt.Errorf("%w %s/%s", ErrLost, ns, l.Name), err)
	}
	return err
}

// identity begins with the host's name, as upstream's.
func (l *Leader) identity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	return host + "_" + cmp.Or(l.Identity, string(uuid.NewUUID())), nil
}

// release releases a Lease that the elector still left to this process: it tries once, and a
// renewal that was cancelled in flight can be written after it read the Lease.
func release(ctx context.Context, leases coordination.LeaseInterface, name, identity string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	// If it cannot be written, the Lease expires.
	_ = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		lease, err := leases.Get(ctx, name, metav1.GetOptions{})
		if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != identity {
			return err
		}
		holder, second := "", int32(1)
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &holder, &second
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
}
