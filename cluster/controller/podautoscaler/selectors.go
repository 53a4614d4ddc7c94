package podautoscaler

import (
	"maps"
	"slices"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// selectors are those of the targets' pods, by namespace and name of the autoscaler.
type selectors map[string]map[string]labels.Selector

func (s selectors) forget(namespace, name string) {
	delete(s[namespace], name)
	if len(s[namespace]) == 0 {
		delete(s, namespace)
	}
}

// selecting returns the autoscalers of a namespace whose selectors match any of the pods, this
// one's included, which it keeps.
func (c *Controller) selecting(h *autoscaling.HorizontalPodAutoscaler, s labels.Selector, pods []*v1.Pod) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.selectors[h.Namespace]
	if own == nil {
		own = map[string]labels.Selector{}
		c.selectors[h.Namespace] = own
	}
	own[h.Name] = s
	var out []types.NamespacedName
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if slices.ContainsFunc(pods, func(p *v1.Pod) bool { return own[name].Matches(labels.Set(p.Labels)) }) {
			out = append(out, types.NamespacedName{Namespace: h.Namespace, Name: name})
		}
	}
	return out
}
