package etcd_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/store/space"
	"wheelhouse/cluster/wait"
)

// essential stands for the Leases of components.
func essential(_ *api.Kind, obj api.Object) bool { return strings.HasPrefix(obj.GetName(), "lease") }

// modify updates an object of the server.
func (s *server) modify(t *testing.T, name string, f func(m *corev1.ConfigMap)) error {
	t.Helper()
	_, err := s.Update(t.Context(), "default", name, func(cur *store.Item) (api.Object, error) {
		m := cur.Object().DeepCopyObject().(*corev1.ConfigMap)
		f(m)
		return m, nil
	})
	return err
}

// A full database goes on with what deletions need: Leases, statuses, finalizers. What they may add is bounded, and who
// uses that up does not keep the others from it.
func TestUpkeepOfAFullDatabase(t *testing.T) {
	const quota = 24 << 20
	s := start(t, etcd.Config{Dir: t.TempDir(), Quota: quota}, quota/8)
	lease := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "lease", UID: "l"}, Data: map[string]string{"n": "000"}}
	if _, err := s.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	n, err := s.fill(t, -1)
	insufficient(t, err, "--quota-backend-bytes")
	wait.For(t, "a notice", s.told("StorageFull"))
	wait.For(t, "the compaction", s.compacted)
	began := s.Status().InUse
	add := func(m *corev1.ConfigMap) { m.Data["more"] += filler[:8<<10] }
	grown := 0
	err = nil
	for i := 0; err == nil && i < 10*n; i++ { // what anyone may do
		if err = s.modify(t, fmt.Sprint("o", i%n), add); err == nil {
			grown += 8 << 10
		}
	}
	insufficient(t, err, "only deletions")
	if grown == 0 || grown > quota/32*2 {
		t.Errorf("%d bytes were added, and the bound is %d", grown, quota/32*2)
	}
	for i := range 200 {
		if err := s.modify(t, "lease", func(m *corev1.ConfigMap) { m.Data["n"] = fmt.Sprintf("%03d", i) }); err != nil {
			t.Fatalf("renewal %d: %v", i, err)
		}
		if err := s.modify(t, "o0", func(m *corev1.ConfigMap) { m.Data["n"] = fmt.Sprint(i % 10) }); err != nil {
			t.Fatalf("an update that adds nothing: %v", err)
		}
	}
	if _, err := s.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "lease-of-a-node"}}); err != nil {
		t.Errorf("creating what is essential: %v", err)
	}
	_, err = s.Create(t.Context(), large("lease-in-name-only", 1))
	insufficient(t, err, "only deletions")
	_, err = s.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "small"}})
	insufficient(t, err, "only deletions")
	now := metav1.Now()
	for i := range 20 {
		name := fmt.Sprint("o", i)
		for what, f := range []func(m *corev1.ConfigMap){
			func(m *corev1.ConfigMap) { m.DeletionTimestamp = &now },
			func(m *corev1.ConfigMap) { m.Data["status"] = filler[:1<<10] },
			func(m *corev1.ConfigMap) { m.Finalizers, m.Data["by"] = nil, filler[:200] },
		} {
			if err := s.modify(t, name, f); err != nil {
				t.Fatalf("deleting %s, %d: %v", name, what, err)
			}
		}
	}
	insufficient(t, s.modify(t, "o0", func(m *corev1.ConfigMap) { m.Data["large"] = filler }), "only deletions")
	err = nil
	for i := 0; err == nil && i < 10*n; i++ { // objects that stay marked are no way around the bound
		if err = s.modify(t, fmt.Sprint("o", i%20), add); err == nil {
			grown += 8 << 10
		}
	}
	insufficient(t, err, "only deletions")
	if most := quota / 32 * 3; grown > most {
		t.Errorf("%d bytes were added, and the bound is %d", grown, most)
	}
	wait.For(t, "the compaction", s.compacted)
	t.Logf("%d bytes were added; in use are %d of %d", grown, s.Status().InUse, began)
	if st := s.Status(); st.InUse > began+quota/8 { // pages are not full
		t.Errorf("the database has grown from %d: %+v", began, st)
	}
	for i := range n {
		if _, err := s.Delete(t.Context(), "default", fmt.Sprint("o", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, "room again", s.told("StorageHasRoom"))
}

// On a full disk updates end before deletions do.
func TestUpkeepOfAFullDisk(t *testing.T) {
	const reserve = 64 << 20
	left := func(free int64, w space.Write) bool { return etcd.Accepts(free, reserve, w) }
	update := space.Write{Use: space.Upkeep, Size: 1 << 10}
	for _, c := range []struct {
		what string
		free int64
		w    space.Write
		want bool
	}{
		{"a new object", reserve - 1, space.Write{Size: 1, Growth: 1}, false},
		{"an update", reserve - 1, update, true},
		{"an update, and half is left", reserve / 2, update, false},
		{"an update of more than what is left to half", reserve/2 + 1<<20, space.Write{Use: space.Upkeep, Size: 2 << 20}, false},
		{"an update of what is being deleted", reserve / 2, space.Write{Use: space.Ending, Size: 1 << 10}, true},
		{"the same, and a quarter is left", reserve / 4, space.Write{Use: space.Ending, Size: 1 << 10}, false},
		{"a deletion", reserve / 4, space.Write{Use: space.Deletion}, true},
		{"a deletion on a disk that has nothing", reserve / 64, space.Write{Use: space.Deletion}, false},
	} {
		if got := left(c.free, c.w); got != c.want {
			t.Errorf("%s with %d MiB: accepted %v", c.what, c.free>>20, got)
		}
	}
}
