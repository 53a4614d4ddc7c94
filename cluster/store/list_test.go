package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
)

func list(t testing.TB, c *Collection, namespace string, o ListOptions) (names []string, p *Page) {
	t.Helper()
	p, err := c.List(t.Context(), namespace, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range p.Items {
		names = append(names, i.Object().GetNamespace()+"/"+i.Object().GetName())
	}
	return names, p
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestListIsOrderedAndScoped(t *testing.T) {
	c := newStore(t).Of(pods)
	for _, p := range [][2]string{{"b", "z"}, {"a-b", "y"}, {"a", "2"}, {"a", "10"}, {"ab", "x"}} {
		must(t)(c.Create(t.Context(), pod(p[0], p[1])))
	}
	all, p := list(t, c, "", ListOptions{})
	same(t, "all namespaces", all, []string{"a-b/y", "a/10", "a/2", "ab/x", "b/z"})
	if p.Revision != c.store.Revision() {
		t.Errorf("revision %d, the store is at %d", p.Revision, c.store.Revision())
	}
	one, _ := list(t, c, "a", ListOptions{ResourceVersion: "0"})
	same(t, "one namespace", one, []string{"a/10", "a/2"})
	none, _ := list(t, c, "c", ListOptions{})
	same(t, "no namespace", none, nil)
}

// TestListEndsWithItsContext: nobody waits any more for what a selector would find.
func TestListEndsWithItsContext(t *testing.T) {
	c := newStore(t).Of(pods)
	var writers errgroup.Group
	for i := range 2 * checkEvery {
		writers.Go(func() error {
			_, err := c.Create(t.Context(), pod("default", fmt.Sprint(i)))
			return err
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	looked := 0
	_, err := c.List(ctx, "", ListOptions{ResourceVersion: "0", Keep: func(api.Object) bool {
		cancel()
		looked++
		return true
	}})
	if !errors.Is(err, context.Canceled) || looked > checkEvery {
		t.Errorf("it looked at %d objects: %v", looked, err)
	}
}

// Later pages show the state of the first, whatever happens in between.
func TestListInPages(t *testing.T) {
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	for i := range 7 {
		must(t)(c.Create(ctx, pod("default", fmt.Sprint(i))))
	}
	must(t)(c.Create(ctx, pod("other", "x")))
	one, p1 := list(t, c, "default", ListOptions{Limit: 3})
	same(t, "first page", one, []string{"default/0", "default/1", "default/2"})
	if p1.Remaining == nil || *p1.Remaining != 4 {
		t.Errorf("remaining: %v", p1.Remaining)
	}
	two, p2 := list(t, c, "default", ListOptions{Limit: 3, Continue: p1.Continue})
	same(t, "second page, unchanged", two, []string{"default/3", "default/4", "default/5"})

	must(t)(c.Delete(ctx, "default", "4", nil))
	must(t)(c.Create(ctx, pod("default", "55")))
	two, p2b := list(t, c, "default", ListOptions{Limit: 3, Continue: p1.Continue})
	same(t, "second page, out of the past", two, []string{"default/3", "default/4", "default/5"})
	if p2.Revision != p1.Revision || p2b.Revision != p1.Revision || p2b.Continue != p2.Continue || p2b.Remaining == nil || *p2b.Remaining != 1 {
		t.Errorf("pages at %d, %d, %d; remaining %v", p1.Revision, p2.Revision, p2b.Revision, p2b.Remaining)
	}
	three, p3 := list(t, c, "default", ListOptions{Limit: 3, Continue: p2b.Continue})
	same(t, "third page", three, []string{"default/6"})
	if p3.Continue != "" || p3.Remaining != nil {
		t.Errorf("after the last page: %q %v", p3.Continue, p3.Remaining)
	}
	odd := func(o api.Object) bool { n, _ := strconv.Atoi(o.GetName()); return n%2 == 1 }
	kept, pk := list(t, c, "default", ListOptions{Limit: 2, Keep: odd})
	same(t, "selected", kept, []string{"default/1", "default/3"})
	must(t)(c.Delete(ctx, "default", "0", nil))
	kept, pk = list(t, c, "default", ListOptions{Limit: 5, Keep: odd, Continue: pk.Continue})
	same(t, "selected, out of the past", kept, []string{"default/5", "default/55"})
	if pk.Continue != "" {
		t.Error("more is promised than there is")
	}

	// Once etcd has compacted the revision, the client gets 410, and may continue with the present state.
	if _, err := s.Client.Compact(ctx, s.Revision()); err != nil {
		t.Fatal(err)
	}
	_, err := c.List(ctx, "default", ListOptions{Limit: 3, Continue: p1.Continue})
	status, _ := err.(apierrors.APIStatus)
	if !apierrors.IsResourceExpired(err) || status.Status().Continue == "" {
		t.Fatalf("continue after compaction: %v", err)
	}
	rest, _ := list(t, c, "default", ListOptions{Continue: status.Status().Continue})
	same(t, "the rest, inconsistent", rest, []string{"default/3", "default/5", "default/55", "default/6"})
	for _, bad := range []string{"x!", "e30", encodeContinue("a", 0), encodeContinue("", 5)} {
		if _, err := c.List(ctx, "default", ListOptions{Continue: bad}); !apierrors.IsBadRequest(err) {
			t.Errorf("continue %q: %v", bad, err)
		}
	}
}

func TestListVersions(t *testing.T) {
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	must(t)(c.Create(ctx, pod("default", "a")))
	then := strconv.FormatInt(must(t)(c.Create(ctx, pod("default", "b"))).Revision(), 10)
	must(t)(s.Of(nodes).Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}))
	exact := ListOptions{ResourceVersion: then, Match: metav1.ResourceVersionMatchExact}
	names, p := list(t, c, "", exact)
	same(t, "exact, nothing changed since", names, []string{"default/a", "default/b"})
	must(t)(c.Delete(ctx, "default", "a", nil))
	names, q := list(t, c, "", exact)
	same(t, "exact, changed since", names, []string{"default/a", "default/b"})
	if fmt.Sprint(p.Revision) != then || fmt.Sprint(q.Revision) != then {
		t.Errorf("exact %s gave %d and %d", then, p.Revision, q.Revision)
	}
	for _, o := range []ListOptions{{ResourceVersion: then}, {ResourceVersion: then, Match: metav1.ResourceVersionMatchNotOlderThan, Limit: 5}, {ResourceVersion: "0"}} {
		names, _ := list(t, c, "", o)
		same(t, "not older than", names, []string{"default/b"})
	}
	names, _ = list(t, c, "", ListOptions{ResourceVersion: then, Limit: 5})
	same(t, "a limit and a version are exact", names, []string{"default/a", "default/b"})
	if _, err := s.Client.Compact(ctx, s.Revision()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.List(ctx, "", exact); !apierrors.IsResourceExpired(err) {
		t.Errorf("exact after compaction: %v", err)
	}
}

func TestCompactRounds(t *testing.T) {
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	old := must(t)(c.Create(ctx, pod("default", "a"))).Revision()
	must(t)(c.Delete(ctx, "default", "a", nil))
	round, rev, err := s.compactRound(ctx, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Another server that has had no round yet observes ours only.
	if r, _, err := s.compactRound(ctx, 0, 0); err != nil || r != round {
		t.Errorf("the other server is at round %d: %v", r, err)
	}
	o := ListOptions{ResourceVersion: strconv.FormatInt(old, 10), Match: metav1.ResourceVersionMatchExact}
	if _, err := c.List(ctx, "", o); err != nil {
		t.Errorf("after the first round: %v", err)
	}
	if _, _, err := s.compactRound(ctx, round, rev); err != nil {
		t.Fatal(err)
	}
	if _, err := c.List(ctx, "", o); !apierrors.IsResourceExpired(err) {
		t.Errorf("after the second round: %v", err)
	}
}

// A list in pages is no longer consistent once etcd has compacted its revision, also where
// nothing has changed since: the client always gets an error.
func TestContinueExpires(t *testing.T) {
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	for _, name := range []string{"a", "b", "c"} {
		must(t)(c.Create(ctx, pod("default", name)))
	}
	_, first := list(t, c, "default", ListOptions{Limit: 1})
	must(t)(s.Of(nodes).Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}))
	var round, rev int64
	for n := range 2 {
		names, _ := list(t, c, "default", ListOptions{Continue: first.Continue})
		same(t, fmt.Sprint("after rounds: ", n), names, []string{"default/b", "default/c"})
		var err error
		if round, rev, err = s.compactRound(ctx, round, rev); err != nil {
			t.Fatal(err)
		}
		now, err := s.askRevision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.atLeast(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.List(ctx, "default", ListOptions{Limit: 1, Continue: first.Continue})
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsResourceExpired(err) {
		t.Fatalf("continue after compaction: %v", err)
	}
	names, next := list(t, c, "default", ListOptions{Limit: 1, Continue: status.Status().Continue})
	same(t, "the second page, inconsistent", names, []string{"default/b"})
	if next.Revision == first.Revision {
		t.Errorf("the page is of revision %d, as the first", next.Revision)
	}
	names, _ = list(t, c, "default", ListOptions{Limit: 1, Continue: next.Continue})
	same(t, "the last page", names, []string{"default/c"})
}
