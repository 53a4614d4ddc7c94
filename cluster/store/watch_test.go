package store

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
)

func follow(t testing.TB, c *Collection, namespace string, o WatchOptions) *Watcher {
	t.Helper()
	w, err := c.Watch(t.Context(), namespace, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func tier(value string) func(api.Object) bool {
	return func(o api.Object) bool { return o.GetLabels()["tier"] == value }
}

func TestWatch(t *testing.T) {
	c, ctx := newStore(t).Of(pods), t.Context()
	first := must(t)(c.Create(ctx, pod("default", "a")))
	must(t)(c.Create(ctx, pod("other", "b")))
	since := WatchOptions{ResourceVersion: strconv.FormatInt(first.Revision(), 10)}

	all, one := follow(t, c, "", WatchOptions{}), follow(t, c, "other", WatchOptions{ResourceVersion: "0"})
	fromNow := follow(t, c, "", WatchOptions{SendInitialEvents: ptr.To(false)})
	resumed := follow(t, c, "", since)
	expect(t, all, "ADDED default/a", "ADDED other/b")
	expect(t, one, "ADDED other/b")

	must(t)(c.Update(ctx, "other", "b", edit(func(p *corev1.Pod) { p.Labels["x"] = "y" })))
	must(t)(c.Delete(ctx, "default", "a", nil))
	must(t)(c.Delete(ctx, "other", "b", nil))
	expect(t, all, "MODIFIED other/b", "DELETED default/a", "DELETED other/b")
	expect(t, one, "MODIFIED other/b", "DELETED other/b")
	expect(t, fromNow, "MODIFIED other/b", "DELETED default/a", "DELETED other/b")
	expect(t, resumed, "ADDED other/b", "MODIFIED other/b", "DELETED default/a", "DELETED other/b")
	expect(t, follow(t, c, "default", since), "DELETED default/a")
	all.Stop()
	all.Stop()
	if _, open := <-all.Events(); open {
		t.Error("an event after Stop")
	}
}

// An object that begins or ceases to match a selector appears and disappears.
func TestWatchSelected(t *testing.T) {
	c, ctx := newStore(t).Of(pods), t.Context()
	since := strconv.FormatInt(must(t)(c.Create(ctx, pod("default", "seed"))).Revision(), 10)
	a := follow(t, c, "", WatchOptions{ResourceVersion: since, Keep: tier("a")})
	b := follow(t, c, "", WatchOptions{ResourceVersion: since, Keep: tier("b")})
	n1 := follow(t, c, "", WatchOptions{ResourceVersion: since, Bucket: "n1"})
	n2 := follow(t, c, "", WatchOptions{ResourceVersion: since, Bucket: "n2", Keep: tier("b")})
	set := func(change func(p *corev1.Pod)) { must(t)(c.Update(ctx, "default", "x", edit(change))) }
	must(t)(c.Create(ctx, pod("default", "x")))
	set(func(p *corev1.Pod) { p.Spec.NodeName = "n1" })
	set(func(p *corev1.Pod) { p.Labels["tier"] = "b" })
	set(func(p *corev1.Pod) { p.Spec.NodeName = "n2" })
	must(t)(c.Delete(ctx, "default", "x", nil))
	check := func(a, b, n1, n2 *Watcher) {
		t.Helper()
		expect(t, a, "ADDED default/x", "MODIFIED default/x", "DELETED default/x")
		expect(t, b, "ADDED default/x", "MODIFIED default/x", "DELETED default/x")
		expect(t, n1, "ADDED default/x", "MODIFIED default/x", "DELETED default/x")
		expect(t, n2, "ADDED default/x", "DELETED default/x")
		for _, w := range []*Watcher{a, b, n1, n2} {
			if len(w.Events()) > 0 {
				t.Errorf("one event too many: %+v", <-w.Events())
			}
		}
	}
	check(a, b, n1, n2)
	check(
		follow(t, c, "", WatchOptions{ResourceVersion: since, Keep: tier("a")}),
		follow(t, c, "", WatchOptions{ResourceVersion: since, Keep: tier("b")}),
		follow(t, c, "", WatchOptions{ResourceVersion: since, Bucket: "n1"}),
		follow(t, c, "", WatchOptions{ResourceVersion: since, Bucket: "n2", Keep: tier("b")}))
}

func TestWatchSendInitialEvents(t *testing.T) {
	c, ctx := newStore(t).Of(pods), t.Context()
	made := must(t)(c.Create(ctx, pod("default", "a")))
	for _, rv := range []string{"", "0", strconv.FormatInt(made.Revision(), 10)} {
		w := follow(t, c, "", WatchOptions{ResourceVersion: rv, SendInitialEvents: ptr.To(true), Bookmarks: true, Match: metav1.ResourceVersionMatchNotOlderThan})
		expect(t, w, "ADDED default/a")
		mark := next(t, w)
		if mark.Type != watch.Bookmark || mark.Item.Object().GetAnnotations()["k8s.io/initial-events-end"] != "true" || mark.Revision < made.Revision() {
			t.Errorf("resourceVersion %q: after the initial events came %s at %d with %v", rv, mark.Type, mark.Revision, mark.Item.Object().GetAnnotations())
		}
		w.Stop()
	}
}

func TestBookmarks(t *testing.T) {
	s, stop := open(t, embedded(t, t.TempDir()), true)
	c := s.Of(pods)
	must(t)(c.Create(t.Context(), pod("default", "a")))
	with, without := follow(t, c, "", WatchOptions{ResourceVersion: "0", Bookmarks: true}), follow(t, c, "", WatchOptions{ResourceVersion: "0"})
	expect(t, with, "ADDED default/a")
	expect(t, without, "ADDED default/a")
	elsewhere := must(t)(s.Of(nodes).Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}))
	c.tick()
	if e := next(t, with); e.Type != watch.Bookmark || e.Revision != elsewhere.Revision() {
		t.Errorf("got %s at %d, want a bookmark at %d", e.Type, e.Revision, elsewhere.Revision())
	}
	// The end of the server brings another, and closes the stream.
	stop()
	if e := next(t, with); e.Type != watch.Bookmark {
		t.Errorf("at the end: %s", e.Type)
	}
	for _, w := range []*Watcher{with, without} {
		if e, open := <-w.Events(); open {
			t.Errorf("after the end: %+v", e)
		}
	}
}

// A watcher that does not read is ended; writers and other watchers do not wait for it.
func TestSlowWatcherIsDropped(t *testing.T) {
	c := newStore(t).Of(pods)
	slow, quick := follow(t, c, "", WatchOptions{}), follow(t, c, "", WatchOptions{})
	seen := make(chan int)
	go func() {
		n := 0
		for range quick.Events() {
			if n++; n == backlog+10 {
				break
			}
		}
		seen <- n
	}()
	must(t)(c.Create(t.Context(), pod("default", "a")))
	for range backlog + 9 {
		must(t)(c.Update(t.Context(), "default", "a", edit(func(p *corev1.Pod) { p.Generation++ })))
	}
	select {
	case n := <-seen:
		if n != backlog+10 {
			t.Errorf("the quick watcher saw %d events", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("the quick watcher did not see all events")
	}
	n := 0
	var last *Event
	for last = range slow.Events() {
		n++
	}
	if n != backlog {
		t.Errorf("the slow watcher had %d events", n)
	}
	again := follow(t, c, "", WatchOptions{ResourceVersion: strconv.FormatInt(last.Revision, 10)})
	if got := len(again.Events()); got != 10 {
		t.Errorf("%d events are waiting where it went on, not 10", got)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	c := newStore(t).Of(pods)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := c.Watch(ctx, "", WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-w.Events():
	case <-time.After(10 * time.Second):
		t.Error("the watch goes on")
	}
}

func TestWatchVersions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	first := must(t)(c.Create(ctx, pod("default", "a"))).Revision()
	if _, err := c.Watch(ctx, "", WatchOptions{ResourceVersion: "seven"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a version that is no number: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Watch(short, "", WatchOptions{ResourceVersion: "1000000"}); !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("a version of the future: %v", err)
	}
	for range 2 * historySize {
		must(t)(c.Update(ctx, "default", "a", edit(func(p *corev1.Pod) { p.Generation++ })))
	}
	_, err := c.Watch(ctx, "", WatchOptions{ResourceVersion: strconv.FormatInt(first, 10)})
	if want := fmt.Sprintf("too old resource version: %d (", first); !apierrors.IsResourceExpired(err) || err.Error()[:len(want)] != want {
		t.Errorf("a compacted version: %v", err)
	}
	// What was shed from memory can still be had.
	now := s.Revision()
	w := follow(t, c, "", WatchOptions{ResourceVersion: strconv.FormatInt(now-historySize+10, 10), Keep: tier("a")})
	if e := next(t, w); e.Type != watch.Modified || e.Item.Object().GetResourceVersion() != fmt.Sprint(now-historySize+11) {
		t.Errorf("an old event: %s %s", e.Type, e.Item.Object().GetResourceVersion())
	} else if frame, err := e.Frame(JSON); err != nil || len(frame) < 100 {
		t.Errorf("its frame: %q, %v", frame, err)
	}
}

// A watch that was open when the server went down goes on at the next.
func TestWatchGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	client, stopEtcd, err := etcd.StartEmbedded(t.Context(), etcd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s, stop := open(t, client, true)
	must(t)(s.Of(pods).Create(t.Context(), pod("default", "a")))
	seen := must(t)(s.Of(pods).Create(t.Context(), pod("default", "b"))).Revision()
	must(t)(s.Of(pods).Delete(t.Context(), "default", "a", nil))
	must(t)(s.Of(pods).Update(t.Context(), "default", "b", edit(func(p *corev1.Pod) { p.Generation++ })))
	stop()
	stopEtcd()

	for _, more := range []int{0, rewind - 10, rewind} {
		client, stopEtcd, err = etcd.StartEmbedded(t.Context(), etcd.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s, stop = open(t, client, true)
		w, err := s.Of(pods).Watch(t.Context(), "", WatchOptions{ResourceVersion: strconv.FormatInt(seen, 10)})
		if err != nil {
			if !apierrors.IsResourceExpired(err) || more < rewind {
				t.Fatalf("after a restart: %v", err)
			}
		} else {
			expect(t, w, "DELETED default/a", "MODIFIED default/b")
		}
		for i := range more {
			must(t)(s.Of(nodes).Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", more, "-", i)}}))
		}
		stop()
		stopEtcd()
	}
}

// When etcd has compacted what the watch has not yet delivered, the cache is read again
// and watchers get the difference.
func TestReplaceAfterCompaction(t *testing.T) {
	s, stop := open(t, embedded(t, t.TempDir()), false)
	c, ctx := s.Of(pods), t.Context()
	for _, name := range []string{"gone", "changed", "kept", "again"} {
		must(t)(c.Create(ctx, pod("default", name)))
	}
	stop()
	other, _ := open(t, s.Client, false)
	must(t)(other.Of(pods).Delete(ctx, "default", "gone", nil))
	must(t)(other.Of(pods).Update(ctx, "default", "changed", edit(func(p *corev1.Pod) { p.Generation++ })))
	must(t)(other.Of(pods).Create(ctx, pod("default", "new")))
	must(t)(other.Of(pods).Delete(ctx, "default", "again", nil))
	last := must(t)(other.Of(pods).Create(ctx, pod("default", "again"))).Revision()
	if _, err := s.Client.Compact(ctx, last); err != nil {
		t.Fatal(err)
	}
	w := follow(t, c, "", WatchOptions{ResourceVersion: strconv.FormatInt(s.Revision(), 10)})
	if _, err := s.load(ctx, false); err != nil {
		t.Fatal(err)
	}
	expect(t, w, "MODIFIED default/changed", "ADDED default/new", "DELETED default/again", "ADDED default/again", "DELETED default/gone")
	if c.Len() != 4 || s.Revision() != last {
		t.Errorf("%d pods at %d", c.Len(), s.Revision())
	}
}
