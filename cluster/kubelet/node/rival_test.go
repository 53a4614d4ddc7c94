package node

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

// A copy of a machine that runs is refused when it starts; a machine that was restarted, or moved, is not.
func TestTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		boot    string        // that the node was reported with; "": never
		age     time.Duration // of the lease; negative: there is none
		renewed bool          // meanwhile, by the other machine
		refused bool
	}{
		"a new node":                                {age: -1},
		"this boot, at another address":             {boot: "own", renewed: true},
		"restarted, within seconds":                 {boot: "former"},
		"restarted, after a minute":                 {boot: "former", age: time.Minute},
		"restarted, and never had a lease":          {boot: "former", age: -1},
		"another machine, which renews the lease":   {boot: "other", renewed: true, refused: true},
		"another machine, which renewed it earlier": {boot: "other", age: 20 * time.Second, renewed: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: v1.NodeStatus{
				NodeInfo: v1.NodeSystemInfo{BootID: c.boot}, Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "10.0.0.9"}},
			}})
			leases := client.CoordinationV1().Leases(v1.NamespaceNodeLease)
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(time.Now().Add(-c.age)))}}
			if c.age >= 0 {
				if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			patience := time.Second
			if c.renewed {
				patience = time.Minute // it ends at the renewal
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { // as the other machine's kubelet
					for ctx.Err() == nil {
						next := lease.DeepCopy()
						next.Spec.RenewTime = ptr.To(metav1.NowMicro())
						_, _ = leases.Update(ctx, next, metav1.UpdateOptions{})
						select {
						case <-ctx.Done():
						case <-time.After(100 * time.Millisecond):
						}
					}
				}()
			}
			err := taken(t.Context(), client, "n1", "own", patience)
			if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "another machine (address 10.0.0.9, boot ID other) runs as node n1: stop one of them") {
				t.Errorf("%v", err)
			}
		})
	}
}

// The wait is longer than between two renewals, and its last look is at its end.
func TestTakenSeesTheLatestRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const latest = leaseRenew + 2*statusCheck // due just after a check, written after the next one
		client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: v1.NodeStatus{NodeInfo: v1.NodeSystemInfo{BootID: "other"}}},
			&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n1", Namespace: v1.NamespaceNodeLease}, Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NowMicro())}})
		go func() {
			time.Sleep(latest)
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NowMicro())}}
			_, _ = client.CoordinationV1().Leases(v1.NamespaceNodeLease).Update(t.Context(), lease, metav1.UpdateOptions{})
		}()
		if err := taken(t.Context(), client, "n1", "own", takenPatience); err == nil {
			t.Error("a copy is not refused")
		}
	})
}
