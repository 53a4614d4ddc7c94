package node

import (
	"context"
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// annotate writes the annotation by which a kubelet is asked how long to cache. It is a patch without a
// resourceVersion, as upstream's: the node writes its first status at the same time.
func (c *Controller) annotate(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	c.mu.Lock()
	c.ttlStep = ttlStep(c.ttlStep, len(c.registered))
	seconds := ttlSteps[c.ttlStep].seconds
	c.mu.Unlock()
	if have, err := strconv.Atoi(node.Annotations[v1.ObjectTTLAnnotationKey]); err == nil && have == seconds {
		return node, nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, v1.ObjectTTLAnnotationKey, seconds)
	next, err := c.Client.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return nil, fmt.Errorf("annotate node: %w", err)
	}
	return next, nil
}
