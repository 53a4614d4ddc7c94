package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Leader names the Lease that decides which of several processes works. The times
// are those of upstream's controller manager.
type Leader struct {
	Namespace string // "" is kube-system
	Name      string // such as kube-controller-manager
}

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// ErrLost says that another process may lead by now.
var ErrLost = errors.New("lost the lease")

// Run waits for the Lease, runs work while it is held, and gives ErrLost when it
// is lost before ctx ends. The Lease is released at the end.
func (l *Leader) Run(ctx context.Context, client kubernetes.Interface, work func(context.Context) error) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	ns := l.Namespace
	if ns == "" {
		ns = metav1.NamespaceSystem
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	result := make(chan error, 1)
	started := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: ns, Name: l.Name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
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
