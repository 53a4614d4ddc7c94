package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// TestNodeMatchAgrees compares our own reading of node terms, which is quick, with the
// field's, on terms and nodes at random.
func TestNodeMatchAgrees(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	keys, values := []string{"a", "b", "c"}, []string{"1", "2", "10", "x"}
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	requirement := func() v1.NodeSelectorRequirement {
		r := v1.NodeSelectorRequirement{Key: pick(keys)}
		switch rnd.IntN(6) {
		case 0:
			r.Operator, r.Values = v1.NodeSelectorOpIn, []string{pick(values), pick(values)}
		case 1:
			r.Operator, r.Values = v1.NodeSelectorOpNotIn, []string{pick(values)}
		case 2:
			r.Operator = v1.NodeSelectorOpExists
		case 3:
			r.Operator = v1.NodeSelectorOpDoesNotExist
		case 4:
			r.Operator, r.Values = v1.NodeSelectorOpGt, []string{pick(values[:3])}
		case 5:
			r.Operator, r.Values = v1.NodeSelectorOpLt, []string{pick(values[:3])}
		}
		return r
	}
	term := func() (out v1.NodeSelectorTerm) {
		for range rnd.IntN(3) {
			out.MatchExpressions = append(out.MatchExpressions, requirement())
		}
		if rnd.IntN(4) == 0 {
			op := []v1.NodeSelectorOperator{v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn}[rnd.IntN(2)]
			out.MatchFields = append(out.MatchFields, v1.NodeSelectorRequirement{Key: "metadata.name", Operator: op, Values: []string{fmt.Sprint("n", rnd.IntN(2))}})
		}
		return out
	}
	met := 0
	for range 5000 {
		n := makeNode(fmt.Sprint("n", rnd.IntN(2)))
		for _, k := range keys {
			if rnd.IntN(2) == 0 {
				n.Labels[k] = pick(values)
			}
		}
		p := makePod("p")
		if rnd.IntN(3) == 0 {
			p.Spec.NodeSelector = map[string]string{pick(keys): pick(values)}
		}
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{term(), term()},
		}}}
		want, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n)
		if err != nil {
			t.Fatal(err)
		}
		if want {
			met++
		}
		if got := newNodeMatch(p).matches(n); got != want {
			t.Fatalf("got %v, want %v for labels %v, selector %v, terms %+v", got, want, n.Labels, p.Spec.NodeSelector, p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		terms := []v1.PreferredSchedulingTerm{{Weight: 3, Preference: term()}, {Weight: 5, Preference: term()}}
		all, err := nodeaffinity.NewPreferredSchedulingTerms(terms)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := preferredNodes(terms, n), all.Score(n); got != want {
			t.Fatalf("preferred: got %d, want %d for %v, %+v", got, want, n.Labels, terms)
		}
	}
	if met < 500 || met > 4500 {
		t.Errorf("%d of 5000 matched: the terms say little", met)
	}
}
