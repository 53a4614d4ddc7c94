package garbage

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var kind = schema.GroupVersionResource{Version: "v1", Resource: "things"}

// here resolves every reference to the dependent's own namespace.
func here(ref metav1.OwnerReference, ns string) object { return object{kind, ns, ref.Name, ref.UID} }

func set(g *graph, ns, name string, edit ...func(*metav1.ObjectMeta)) []string {
	m := &metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(name)}
	for _, e := range edit {
		e(m)
	}
	return names(g.set(object{kind, ns, name, m.UID}, m, here))
}

func owners(block bool, uids ...types.UID) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		for _, u := range uids {
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{Name: string(u), UID: u, BlockOwnerDeletion: &block})
		}
	}
}

func dying(finalizer string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		m.DeletionTimestamp, m.Finalizers = &metav1.Time{}, []string{finalizer}
	}
}

func names(tasks []task) []string {
	out := []string{}
	for _, t := range tasks {
		s := string(t.uid)
		if t.orphan {
			s += " orphan"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestGraph(t *testing.T) {
	g := newGraph()
	expect(t, "a dependent before its owner: is the owner there?", set(g, "ns", "pod", owners(true, "rc")), "rc")
	expect(t, "another of the same owner", set(g, "ns", "pod2", owners(false, "rc")))
	if !g.get("rc").virtual {
		t.Error("nobody has seen the owner yet")
	}
	expect(t, "the owner comes", set(g, "ns", "rc"))
	if g.get("rc").virtual || len(g.get("rc").dependents) != 2 {
		t.Error("the owner should be real, and own two")
	}
	expect(t, "the owner goes in the foreground", set(g, "ns", "rc", dying(metav1.FinalizerDeleteDependents)), "pod", "pod2", "rc")
	if b := g.get("rc").blocking(); len(b) != 1 || b[0].name != "pod" {
		t.Errorf("only one dependent blocks: %v", b)
	}
	expect(t, "a dependent goes: the owner waits for it", names(g.remove("pod")), "rc")
	expect(t, "the owner is gone", names(g.remove("rc")), "pod2")
	expect(t, "and removed from the graph", names(g.remove("rc")))
}

// A reference from another namespace names a place where its owner is not; the owner's own
// vertex is not touched by it, in whichever order the two are met.
func TestGraphOwnerInAnotherNamespace(t *testing.T) {
	g := newGraph()
	expect(t, "a stray before its owner", set(g, "ns", "stray", owners(false, "owner")), "owner")
	absent := g.get("owner").object
	expect(t, "the owner comes elsewhere: the stray is to be checked", set(g, "other", "owner"), "stray")
	expect(t, "the owner's own dependent comes", set(g, "other", "own", owners(false, "owner")))
	expect(t, "nothing is where the stray's reference points", names(g.absent(absent)), "own", "stray")
	if owner := g.get("owner"); owner == nil || owner.virtual || owner.namespace != "other" {
		t.Fatalf("the owner is %v", owner)
	}
	expect(t, "the owner is gone: its own dependent is to be collected", names(g.remove("owner")), "own", "stray")

	expect(t, "another stray", set(g, "ns", "stray2", owners(false, "nobody")), "nobody")
	expect(t, "its owner is nowhere", names(g.absent(g.get("nobody").object)), "stray2")
	if g.get("nobody") != nil {
		t.Error("the owner that is nowhere is still in the graph")
	}
}

func TestGraphOrphans(t *testing.T) {
	g := newGraph()
	set(g, "ns", "rc")
	set(g, "ns", "pod", owners(true, "rc"))
	expect(t, "the owner lets its dependents be", set(g, "ns", "rc", dying(metav1.FinalizerOrphanDependents)), "rc orphan")
	expect(t, "the dependent no longer refers to its owner", set(g, "ns", "pod"))
	if len(g.get("rc").dependents) != 0 {
		t.Error("the edge is still there")
	}
}

func TestOwnerInAnotherNamespace(t *testing.T) {
	g := newGraph()
	set(g, "other", "rc")
	expect(t, "it is no owner, so the dependent is looked at", set(g, "ns", "pod", owners(true, "rc")), "pod")
}
