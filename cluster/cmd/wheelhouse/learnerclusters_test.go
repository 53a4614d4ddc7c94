package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFlagsOfLearnersClusters(t *testing.T) {
	for _, x := range []struct {
		o     learnerClusters
		class string
		gives []string
		bad   bool
	}{
		{learnerClusters{mode: inNamespaces, nodes: 1}, "wheelhouse", nil, false},
		{learnerClusters{mode: "machine", nodes: 1}, "wheelhouse", nil, true},
		{learnerClusters{mode: inNamespaces, nodes: 0}, "wheelhouse", nil, true},
		{learnerClusters{mode: inNamespaces, nodes: 1, spare: -1}, "wheelhouse", nil, true},
		{learnerClusters{mode: inClusters, nodes: 1}, "a-name-that-is-too-long", []string{"cluster-admin", "own-limits"}, true},
		{learnerClusters{mode: inClusters, nodes: 2}, strings.Repeat("x", 21), []string{"cluster-admin", "own-limits", "many-nodes"}, true},
	} {
		if err := x.o.check(x.class); (err != nil) != x.bad {
			t.Errorf("%+v: %v", x.o, err)
		}
		if got := x.o.gives(); !slices.Equal(got, x.gives) || (got == nil) != (x.gives == nil) {
			t.Errorf("%+v gives %v", x.o, got)
		}
	}
}
