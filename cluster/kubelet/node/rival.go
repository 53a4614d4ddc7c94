package node

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/kubelet/hostinfo"
)

// bootIDFile has another content after each boot of a machine.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// takenPatience is longer than between two renewals of a lease: these are due at a check of the status, and requests take time.
const takenPatience = leaseRenew + 2*statusCheck + requestTimeout

// Taken waits until it is known whether another machine runs as the node, and returns an error that names it if so: a copy of
// this one, with its identity, which would take its pods' addresses. A node that was reported by this boot of the machine is this
// one, at whatever address; of another boot is also the machine before a restart, whose lease is not renewed any more.
func Taken(ctx context.Context, client kubernetes.Interface, name string) error {
	return taken(ctx, client, name, hostinfo.ReadLine(bootIDFile), takenPatience)
}

func taken(ctx context.Context, client kubernetes.Interface, name, boot string, patience time.Duration) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for another machine with the node's name: %w", err)
	}
	info := node.Status.NodeInfo
	if info.BootID == "" || info.BootID == boot {
		return nil
	}
	first, err := renewedAt(ctx, client, name)
	// A lease that has not been renewed for some time is that of a machine that has ended. One whose clock is wrong is found while both run.
	if err != nil || first.IsZero() || time.Since(first).Abs() > LeaseSeconds*time.Second {
		return err
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(patience / 10)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			over = true // after a last look
		case <-tick.C:
		}
		if now, err := renewedAt(ctx, client, name); err == nil && !now.Equal(first) {
			return fmt.Errorf("another machine (address %s, boot ID %s) runs as node %s: %s", internalIP(&node.Status), info.BootID, name, remedy)
		}
	}
	return nil
}

// renewedAt is when the node's lease was renewed; zero if there is none.
func renewedAt(ctx context.Context, client kubernetes.Interface, name string) (time.Time, error) {
	lease, err := client.CoordinationV1().Leases(v1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && lease.Spec.RenewTime == nil {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the lease of node %s: %w", name, err)
	}
	return lease.Spec.RenewTime.Time, nil
}

// remedy is what to do about two machines that are one node.
const remedy = "stop one of them, or remove the --state-dir of the copy and start it with another --name"

// rivalOf returns which machine has written a node's status in place of this one, as it was reported
// last; "" if none. It is a copy of this machine with its identity: a token is for one new node.
func rivalOf(now, reported *v1.NodeStatus) string {
	at, own := internalIP(now), internalIP(reported)
	boot, ownBoot := now.NodeInfo.BootID, reported.NodeInfo.BootID
	if own == "" || at == own && boot == ownBoot {
		return ""
	}
	return fmt.Sprintf("address %s, boot ID %s", at, boot)
}

func internalIP(s *v1.NodeStatus) string {
	for _, a := range s.Addresses {
		if a.Type == v1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// noteRival reports a machine that runs as this node, too, once for each. It returns an error when a machine of another boot has
// written the status a second time within StatusPeriod, after this one had written it again: both run, and the one that ends is
// refused by Taken when it starts. A copy that has ended writes no second time; one of the same boot, as of a snapshot of a
// virtual machine, would not be refused, and both go on.
func (n *Node) noteRival(now, reported *v1.NodeStatus) error {
	who := rivalOf(now, reported)
	if who == "" {
		n.rival = ""
		return nil
	}
	err := fmt.Errorf("another machine (%s) runs as node %s: %s", who, n.NodeName, remedy)
	if now.NodeInfo.BootID != reported.NodeInfo.BootID {
		if who == n.wrote.who && time.Since(n.wrote.at) < StatusPeriod {
			return err
		}
		n.wrote.who, n.wrote.at = who, time.Now()
	}
	if who != n.rival {
		n.rival = who
		n.Log.Error(err.Error())
		n.Event(v1.EventTypeWarning, "DuplicateNode", err.Error())
	}
	return nil
}
