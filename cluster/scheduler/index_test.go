package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestCountsAreKept adds, removes and changes pods and nodes at random, and compares
// the counts that are kept with those of a cluster that is built again.
func TestCountsAreKept(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	c := newCluster()
	web := labels.SelectorFromSet(labels.Set{"app": "web"})
	anti := podAffinity(true, v1.LabelTopologyZone, map[string]string{"app": "web"})
	nodes, pods := map[string]*v1.Node{}, map[string]*v1.Pod{}
	ask := func(c *cluster) string {
		s := c.livePods("default", web)
		out := fmt.Sprint(s.by(v1.LabelTopologyZone), s.by(byNode), c.nodesBy(v1.LabelTopologyZone), c.priorities, c.imageNodes)
		for _, term := range c.terms {
			out += fmt.Sprint(term.counts, term.pods)
		}
		for _, n := range c.list {
			out += fmt.Sprint(n.name == "", n.used, n.podCount)
		}
		return out
	}
	for step := range 2000 {
		name := fmt.Sprint("n", rnd.IntN(5))
		switch rnd.IntN(6) {
		case 0:
			n := makeNode(name, nodeLabel(v1.LabelTopologyZone, fmt.Sprint(rnd.IntN(2))))
			nodes[name] = n
			c.setNode(n)
		case 1:
			delete(nodes, name)
			c.removeNode(name)
		case 2, 3:
			p := makePod(fmt.Sprint("p", rnd.IntN(20)), on(name), requests("cpu", "1m"), podLabel("app", []string{"web", "db"}[rnd.IntN(2)]))
			if rnd.IntN(2) == 0 {
				anti(p)
			}
			p.Generation = int64(step)
			pods[p.Name] = p
			c.setPod(p)
		case 4:
			if p := pods[fmt.Sprint("p", rnd.IntN(20))]; p != nil {
				ending := p.DeepCopy()
				ending.DeletionTimestamp = &metav1.Time{}
				pods[p.Name] = ending
				c.setPod(ending)
			}
		case 5:
			p := fmt.Sprint("p", rnd.IntN(20))
			if pods[p] != nil {
				c.removePod(pods[p].UID)
				delete(pods, p)
			}
		}
		fresh := newCluster()
		for _, n := range c.list {
			fresh.setNode(nodes[n.name])
		}
		for p := range maps.Values(pods) {
			fresh.setPod(p)
		}
		if got, want := ask(c), ask(fresh); got != want {
			t.Fatalf("after step %d: kept\n%s\nbuilt again\n%s", step, got, want)
		}
	}
}

func TestRemovedSelections(t *testing.T) {
	c := makeCluster(manyNodes(1), makePod("x", on("node-0"), podLabel("app", "web")))
	web := labels.SelectorFromSet(labels.Set{"app": "web"})
	c.livePods("default", web)
	for i := range 2 * mostSelections {
		c.livePods(fmt.Sprint("ns-", i), web)
	}
	if len(c.selections) > mostSelections {
		t.Errorf("%d selections are cached", len(c.selections))
	}
	if n := len(c.groups[groupKey(c.pods["x"].info.pod)].in); n != 0 {
		t.Errorf("the pods still count for %d removed selections", n)
	}
	if n := c.livePods("default", web).by(byNode)["node-0"]; n != 1 {
		t.Errorf("asked again: %d pods", n)
	}
}
