package serviceallocator

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"

	"wheelhouse/cluster/store/etcd"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
)

// A claim that a crashed write left is freed at the second comparison; one of a
// write under way, or of a Service, never.
func TestRepair(t *testing.T) {
	ctx := context.Background()
	etcd, stop, err := etcd.StartEmbedded(ctx, etcd.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	claims := NewEtcdClaims(etcd)
	o := authztest.New()
	o.Put("", "services", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.247.0.9", ClusterIPs: []string{"10.247.0.9"}},
	})
	a, err := New(Config{CIDR: netip.MustParsePrefix("10.247.0.0/16"), Claims: claims}, o, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	for owner, key := range map[string]string{"a/crashed": "ip/10.247.0.7", "a/running": "ip/10.247.0.8"} {
		if taken, err := claims.Take(ctx, owner, []string{key}); taken != "" || err != nil {
			t.Fatal(taken, err)
		}
	}
	a.startClaim("ip/10.247.0.8", "a/running")
	for pass, want := range []int{3, 2, 2} {
		if _, err := a.reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		all, err := claims.All(ctx)
		if err != nil || len(all) != want {
			t.Fatalf("pass %d: %v, %v", pass, all, err)
		}
	}
}

// A late release does not free what was claimed again since.
func TestLateReleaseFreesNothingNew(t *testing.T) {
	ctx := context.Background()
	etcd, stop, err := etcd.StartEmbedded(ctx, etcd.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c := NewEtcdClaims(etcd)
	keys := []string{"ip/10.247.0.7", "port/30080"}
	take := func(owner string) string {
		taken, err := c.Take(ctx, owner, keys)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	if taken := take("a/one"); taken != "" {
		t.Fatal(taken)
	}
	resp, err := etcd.Put(ctx, "service-deleted", "")
	if err != nil {
		t.Fatal(err)
	}
	deletedAt := resp.Header.Revision
	if taken := take("a/two"); taken == "" {
		t.Fatal("two owners at once")
	}
	for range 2 { // two API servers observe it
		if err := c.Release(ctx, keys, deletedAt); err != nil {
			t.Fatal(err)
		}
		if taken := take("a/two"); taken != "" {
			t.Fatalf("%s is not free, or was freed twice", taken)
		}
	}
	if taken := take("a/three"); taken == "" {
		t.Error("the second, late release freed the new owner's claim")
	}
	if err := c.Give(ctx, "a/one", keys); err != nil {
		t.Fatal(err)
	}
	if taken := take("a/three"); taken == "" {
		t.Error("somebody else gave it back")
	}
}
