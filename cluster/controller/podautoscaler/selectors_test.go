package podautoscaler

import (
	"fmt"
	"slices"
	"testing"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func scaler(namespace, name string) *autoscaling.HorizontalPodAutoscaler {
	return &autoscaling.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// What an autoscaler is compared with are those of its own namespace: the work does not grow with the rest of the
// cluster.
func TestOnlyTheOwnNamespaceIsCompared(t *testing.T) {
	c := &Controller{selectors: selectors{}}
	web := labels.SelectorFromSet(labels.Set{"app": "web"})
	pods := []*v1.Pod{{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}}}
	own := scaler("mine", "one")
	c.selecting(own, web, pods)
	alone := testing.AllocsPerRun(10, func() { c.selecting(own, web, pods) })
	for i := range 1000 {
		c.selecting(scaler(fmt.Sprintf("other-%d", i), "one"), web, pods)
	}
	if among := testing.AllocsPerRun(10, func() { c.selecting(own, web, pods) }); among > alone {
		t.Errorf("%v allocations among the autoscalers of 1,000 other namespaces, %v without them", among, alone)
	}
	c.selecting(scaler("mine", "two"), labels.Nothing(), pods)
	c.selecting(scaler("mine", "three"), labels.Everything(), pods)
	var names []string
	for _, n := range c.selecting(own, web, pods) {
		names = append(names, n.String())
	}
	if want := []string{"mine/one", "mine/three"}; !slices.Equal(names, want) {
		t.Errorf("selected by %v, want %v", names, want)
	}
	c.forget("mine/three")
	if got := c.selecting(own, web, pods); len(got) != 1 {
		t.Errorf("after the other was deleted: %v", got)
	}
}
