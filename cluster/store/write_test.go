package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
)

func TestCreateGetUpdateDelete(t *testing.T) {
	c, ctx := newStore(t).Of(pods), t.Context()
	made := must(t)(c.Create(ctx, pod("default", "a")))
	if got := made.Object().GetResourceVersion(); got != fmt.Sprint(made.Revision()) || made.Revision() == 0 {
		t.Errorf("resourceVersion %q at revision %d", got, made.Revision())
	}
	if _, err := c.Create(ctx, pod("default", "a")); !apierrors.IsAlreadyExists(err) || err.Error() != `pods "a" already exists` {
		t.Errorf("a second create: %v", err)
	}
	if got := must(t)(c.Get(ctx, "default", "a", "")); got != made {
		t.Error("Get does not share the item that Create returned")
	}
	changed := must(t)(c.Update(ctx, "default", "a", edit(func(p *corev1.Pod) { p.Labels["x"] = "y" })))
	if changed.Revision() <= made.Revision() || changed.Object().GetLabels()["x"] != "y" || made.Object().GetLabels()["x"] != "" {
		t.Errorf("update: revision %d after %d, labels %v", changed.Revision(), made.Revision(), changed.Object().GetLabels())
	}
	refusal := errors.New("no")
	if _, err := c.Delete(ctx, "default", "a", func(*Item) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("a delete that its check refuses: %v", err)
	}
	gone := must(t)(c.Delete(ctx, "default", "a", nil))
	if gone.Revision() <= changed.Revision() || gone.Object().GetLabels()["x"] != "y" {
		t.Errorf("the deleted item: revision %d, labels %v", gone.Revision(), gone.Object().GetLabels())
	}
	for what, err := range map[string]error{
		"get":    second(c.Get(ctx, "default", "a", "")),
		"update": second(c.Update(ctx, "default", "a", edit(func(*corev1.Pod) {}))),
		"delete": second(c.Delete(ctx, "default", "a", nil)),
		"odd":    second(c.Get(ctx, "default", "a/b", "")),
	} {
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
}

func second(_ *Item, err error) error { return err }

func TestUpdateWithoutChangeIsNotWritten(t *testing.T) {
	for _, sole := range []bool{true, false} {
		s, _ := open(t, embedded(t, t.TempDir()), sole)
		c := s.Of(pods)
		made := must(t)(c.Create(t.Context(), pod("default", "a")))
		same := must(t)(c.Update(t.Context(), "default", "a", edit(func(p *corev1.Pod) { p.ResourceVersion = "" })))
		resp, err := s.Client.Get(t.Context(), "/registry/pods/default/a")
		if err != nil {
			t.Fatal(err)
		}
		if same != made || resp.Kvs[0].Version != 1 || resp.Header.Revision != made.Revision() {
			t.Errorf("OnlyWriter=%v: revision %d and %d writes after an update that changes nothing", sole, resp.Header.Revision, resp.Kvs[0].Version)
		}
	}
}

// Many writers of one object through two servers: each increment is there.
func TestUpdateContention(t *testing.T) {
	client := embedded(t, t.TempDir())
	a, _ := open(t, client, false)
	b, _ := open(t, client, false)
	must(t)(a.Of(pods).Create(t.Context(), pod("default", "a")))
	const each, parallel = 25, 8
	var all sync.WaitGroup
	var calls atomic.Int64
	for n := range parallel {
		c := []*Store{a, b}[n%2].Of(pods)
		all.Go(func() {
			for range each {
				_, err := c.Update(t.Context(), "default", "a", edit(func(p *corev1.Pod) { calls.Add(1); p.Generation++ }))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, s := range []*Store{a, b} {
		if got := must(t)(s.Of(pods).Get(t.Context(), "default", "a", "")).Object().GetGeneration(); got != each*parallel {
			t.Errorf("%d increments are left of %d", got, each*parallel)
		}
	}
	t.Logf("%d updates took %d tries", each*parallel, calls.Load())
}

// What a write returned is seen by any read that begins afterwards, on the same server
// always, and with resourceVersion "" on another.
func TestReadsSeeAcknowledgedWrites(t *testing.T) {
	t.Parallel()
	client := embedded(t, t.TempDir())
	a, _ := open(t, client, false)
	b, _ := open(t, client, false)
	alone, _ := open(t, embedded(t, t.TempDir()), true)
	for _, way := range []struct {
		name        string
		write, read *Store
	}{{"same server", a, a}, {"other server", a, b}, {"only writer", alone, alone}} {
		t.Run(way.name, func(t *testing.T) {
			w, r := way.write.Of(pods), way.read.Of(pods)
			var all sync.WaitGroup
			for n := range 8 {
				all.Go(func() {
					ctx := t.Context()
					for i := range 60 {
						name := fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(way.name, " ", ""), n, i)
						made := must(t)(w.Create(ctx, pod("default", name)))
						if got, err := r.Get(ctx, "default", name, ""); err != nil || got.Revision() != made.Revision() {
							t.Errorf("get of %s after its create: %v", name, err)
							return
						}
						page, err := r.List(ctx, "default", ListOptions{Keep: func(o api.Object) bool { return o.GetName() == name }})
						if err != nil || len(page.Items) != 1 || page.Revision < made.Revision() {
							t.Errorf("list after the create of %s: %v, %+v", name, err, page)
							return
						}
						if _, err := w.Delete(ctx, "default", name, nil); err != nil {
							t.Error(err)
						}
						if _, err := r.Get(ctx, "default", name, ""); !apierrors.IsNotFound(err) {
							t.Errorf("get of %s after its delete: %v", name, err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// A server that has not yet observed another's write neither refuses nor skips an
// update because of it.
func TestUpdateBelievesEtcdNotAnOldCache(t *testing.T) {
	client := embedded(t, t.TempDir())
	a, _ := open(t, client, false)
	b, _ := open(t, client, false)
	for i := range 100 {
		name := fmt.Sprint("p-", i)
		must(t)(a.Of(pods).Create(t.Context(), pod("default", name)))
		rev := must(t)(a.Of(pods).Update(t.Context(), "default", name, edit(func(p *corev1.Pod) { p.Labels["x"] = "1" }))).Revision()
		_, err := b.Of(pods).Update(t.Context(), "default", name, func(cur *Item) (api.Object, error) {
			if cur.Revision() != rev {
				return nil, fmt.Errorf("conflict: %d, not %d", cur.Revision(), rev)
			}
			p := cur.Object().(*corev1.Pod).DeepCopy()
			p.Labels["x"] = "2"
			return p, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsHaveALease(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"a", "b"} {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		must(t)(s.Of(events).Create(t.Context(), e))
	}
	must(t)(s.Of(events).Update(t.Context(), "default", "a", func(cur *Item) (api.Object, error) {
		e := cur.Object().(*corev1.Event).DeepCopy()
		e.Count = 2
		return e, nil
	}))
	resp, err := s.Client.Get(t.Context(), "/registry/events/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) != 2 || resp.Kvs[0].Lease == 0 || resp.Kvs[0].Lease != resp.Kvs[1].Lease {
		t.Fatalf("leases of the events: %v", resp.Kvs)
	}
	// The end of the lease deletes both at one revision.
	w, err := s.Of(events).Watch(t.Context(), "", WatchOptions{ResourceVersion: fmt.Sprint(resp.Header.Revision)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.Revoke(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	expect(t, w, "DELETED default/a", "DELETED default/b")
}

// A value that is no object is named by reads of its key, and harms nothing else.
func TestUnreadableValues(t *testing.T) {
	client := embedded(t, t.TempDir())
	ctx := t.Context()
	put := func(key, value string) {
		if _, err := client.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	put("/registry/pods/default/before", "garbage")
	put("/registry/nothing/of/ours", "x")
	s, _ := open(t, client, false)
	c := s.Of(pods)
	made := must(t)(c.Create(ctx, pod("default", "good")))
	w, err := c.Watch(ctx, "", WatchOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	put("/registry/pods/default/after", "k8s\x00\x0a\xff\xff")
	resp, err := client.Get(ctx, "/registry/pods/default/good")
	if err != nil {
		t.Fatal(err)
	}
	put("/registry/minions/good", string(resp.Kvs[0].Value)) // a pod where nodes are
	for _, name := range []string{"before", "after"} {
		_, err := c.Get(ctx, "default", name, "")
		if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "/registry/pods/default/"+name) {
			t.Errorf("get of an unreadable pod: %v", err)
		}
	}
	if _, err := s.Of(nodes).Get(ctx, "", "good", ""); err == nil || !strings.Contains(err.Error(), "v1 Pod") {
		t.Errorf("get of a pod stored as a node: %v", err)
	}
	page, err := c.List(ctx, "", ListOptions{})
	if err != nil || len(page.Items) != 1 || page.Items[0] != made {
		t.Errorf("list beside unreadable values: %v, %+v", err, page)
	}
	put("/registry/pods/default/good", "garbage")
	expect(t, w, "ADDED default/good", "DELETED default/good")
	put("/registry/pods/default/good", string(resp.Kvs[0].Value))
	expect(t, w, "ADDED default/good")
}

func TestContextEnds(t *testing.T) {
	c := newStore(t).Of(pods)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Create(ctx, pod("default", "a"))
	if !apierrors.IsTimeout(err) {
		t.Errorf("create with a context that has ended: %v", err)
	}
	if after, again := apierrors.SuggestsClientDelay(err); again {
		t.Errorf("clients repeat a write that may have been done after %d s: %v", after, err)
	}
}
