//go:build labs

package features_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

// How many labs are proved at a time: on one cluster, and on clusters of their own.
const (
	labsTogether = 3
	labsAlone    = 2
)

// slower is how many times slower than usual the machine may be: several labs run at a time.
const slower = "3"

// TestLabSteps proves each step of each lab (`lab test`). Labs that need nothing but their namespace, or Docker, share a
// cluster, the others have one to themselves, one after the other.
func TestLabSteps(t *testing.T) {
	root, err := catalog.Root("..")
	if err != nil {
		t.Fatal(err)
	}
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	// The longest first.
	slices.SortStableFunc(labs, func(a, b *catalog.Lab) int { return len(b.Steps) - len(a.Steps) })
	together, alone := make(chan *catalog.Lab, len(labs)), make(chan *catalog.Lab, len(labs))
	for _, lab := range labs {
		if lab.Alone() && !lab.Has("docker") {
			alone <- lab
		} else {
			together <- lab
		}
	}
	close(together)
	close(alone)
	var clusters []*testCluster
	for i := range labsAlone + 1 {
		clusters = append(clusters, bringUp(t, fmt.Sprintf("labs-%d", i+1), 2))
	}
	var wg sync.WaitGroup
	prove := func(c *testCluster, queue <-chan *catalog.Lab) {
		wg.Go(func() {
			for lab := range queue {
				t.Run(lab.ID(), func(t *testing.T) { c.proveLab(t, root, lab.ID()) })
			}
		})
	}
	for range labsTogether {
		prove(clusters[0], together)
	}
	for _, c := range clusters[1:] {
		prove(c, alone)
	}
	wg.Wait()
}

// proveLab runs `wheelhouse lab test LAB` on the cluster.
func (c *testCluster) proveLab(t *testing.T, root, lab string) {
	t.Helper()
	c.labs(t, root, "test", "--slow", slower, lab)
}
