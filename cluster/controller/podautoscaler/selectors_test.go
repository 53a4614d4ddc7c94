package podautoscaler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/record"
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

// A scale without a selector, or with one that cannot be read, is reported with upstream's reasons.
func TestSelectorOfAScale(t *testing.T) {
	for selector, want := range map[string][2]string{
		"":      {"SelectorRequired", "the HPA target's scale is missing a selector"},
		"a in(": {"InvalidSelector", "couldn't convert selector into a corresponding internal selector object: "},
	} {
		events := record.NewFakeRecorder(1)
		c := &Controller{selectors: selectors{}, now: time.Now}
		c.Recorder = events
		h := scaler("default", "web")
		target := &autoscalingv1.Scale{Status: autoscalingv1.ScaleStatus{Selector: selector}}
		if best, err := c.measureAll(t.Context(), h, target); best != nil || err == nil {
			t.Fatalf("%q: %v, %v", selector, best, err)
		}
		if got := <-events.Events; !strings.HasPrefix(got, "Warning "+want[0]+" ") {
			t.Errorf("%q: event %s", selector, got)
		}
		if got := h.Status.Conditions; len(got) != 1 || got[0].Reason != "InvalidSelector" || !strings.HasPrefix(got[0].Message, want[1]) {
			t.Errorf("%q: conditions %+v", selector, got)
		}
	}
}
