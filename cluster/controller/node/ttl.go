package node

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
)

// ttlSteps are how many seconds kubelets may cache Secrets and ConfigMaps, by the number of nodes, as upstream's
// ttl controller: a step holds from min to max nodes. The steps overlap, so that a node that comes and goes does
// not change all others.
var ttlSteps = []struct{ min, max, seconds int }{
	{0, 100, 0}, {90, 500, 15}, {450, 1000, 30}, {900, 2000, 60}, {1800, int(^uint(0) >> 1), 300},
}

// ttlStep returns the step for a number of nodes, from the step before.
func ttlStep(step, nodes int) int {
	for nodes > ttlSteps[step].max {
		step++
	}
	for nodes < ttlSteps[step].min {
		step--
	}
	return step
}

// withTTL sets the annotation by which a kubelet is asked how long to cache, and reports whether that is
// another than it was.
func (c *Controller) withTTL(node *v1.Node) bool {
	c.mu.Lock()
	c.ttlStep = ttlStep(c.ttlStep, len(c.registered))
	seconds := ttlSteps[c.ttlStep].seconds
	c.mu.Unlock()
	if have, err := strconv.Atoi(node.Annotations[v1.ObjectTTLAnnotationKey]); err == nil && have == seconds {
		return false
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	node.Annotations[v1.ObjectTTLAnnotationKey] = strconv.Itoa(seconds)
	return true
}
