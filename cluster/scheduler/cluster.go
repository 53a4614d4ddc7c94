package scheduler

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// cluster is the scheduler's cache of all nodes and the pods on them, assumed ones included.
// It is not safe for concurrent use.
type cluster struct {
	index
	nodes      map[string]*nodeInfo
	pods       map[types.UID]*placed
	nominated  map[types.UID]*nodeInfo
	imageNodes map[string]int // on how many nodes an image is
	claims     map[string]int // pods that use a claim, by namespace/name
	priorities map[int32]int  // placed pods by priority
	next       int            // where the next search for nodes begins
}

type placed struct {
	info    *podInfo
	on      string
	assumed bool // by us, and not yet seen in the API
}

func newCluster() *cluster {
	return &cluster{
		index:      newIndex(),
		nodes:      map[string]*nodeInfo{},
		pods:       map[types.UID]*placed{},
		nominated:  map[types.UID]*nodeInfo{},
		imageNodes: map[string]int{},
		claims:     map[string]int{},
		priorities: map[int32]int{},
	}
}

func (c *cluster) nodeFor(name string) *nodeInfo {
	n := c.nodes[name]
	if n == nil {
		n = &nodeInfo{
			name: name, pods: map[types.UID]*podInfo{}, ports: map[hostPort]int{}, nominated: map[types.UID]*podInfo{},
		}
		c.nodes[name] = n
	}
	return n
}

// setNode adds or updates a node.
func (c *cluster) setNode(node *v1.Node) {
	c.invalidateNodes()
	n := c.nodeFor(node.Name)
	if n.node == nil {
		c.list = append(c.list, n)
	}
	if n.node != nil && maps.Equal(n.node.Labels, node.Labels) {
		n.node = node
	} else {
		c.recount(n, func() {
			n.node = node
			n.host, n.zone = labelOf(node, v1.LabelHostname), labelOf(node, v1.LabelTopologyZone)
		})
	}
	n.can = resourcesOf(node.Status.Allocatable)
	n.maxPods = node.Status.Allocatable.Pods().Value()
	c.countImages(n, -1)
	n.images = map[string]int64{}
	for _, img := range node.Status.Images {
		for _, name := range img.Names {
			n.images[name] = img.SizeBytes
		}
	}
	c.countImages(n, 1)
}

// invalidateNodes clears what was computed from the nodes' labels and taints.
func (c *cluster) invalidateNodes() {
	clear(c.spans)
	clear(c.members)
	clear(c.labelled)
}

func (c *cluster) countImages(n *nodeInfo, sign int) {
	for name := range n.images {
		addTo(c.imageNodes, name, sign)
	}
}

func (c *cluster) removeNode(name string) {
	n := c.nodes[name]
	if n == nil || n.node == nil {
		return
	}
	c.invalidateNodes()
	c.countImages(n, -1)
	n.images = nil
	c.recount(n, func() { n.node = nil })
	c.list = slices.DeleteFunc(c.list, func(o *nodeInfo) bool { return o == n })
	c.dropIfEmpty(n)
}

func (c *cluster) dropIfEmpty(n *nodeInfo) {
	if n.node == nil && len(n.pods)+len(n.nominated) == 0 {
		delete(c.nodes, n.name)
	}
}

// assume adds a pod to a node before its Binding is written.
func (c *cluster) assume(i *podInfo, node string) {
	c.place(i, node, true)
}

// setPod adds a pod as the API has it, and so confirms an assumed one.
func (c *cluster) setPod(p *v1.Pod) {
	if was := c.pods[p.UID]; was != nil {
		if was.on == p.Spec.NodeName && sameForScheduling(was.info.pod, p) {
			was.assumed = false
			was.info.pod = p
			return
		}
		c.removePod(p.UID)
	}
	c.place(newPodInfo(p), p.Spec.NodeName, false)
}

// sameForScheduling reports whether the sums stay the same: all else that they depend on is
// immutable.
func sameForScheduling(a, b *v1.Pod) bool {
	if (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || !labels.Equals(a.Labels, b.Labels) {
		return false
	}
	// Requests of a bound pod change only by an in-place resize.
	return a.Spec.NodeName == "" || a.Generation == b.Generation && sameSize(a, b)
}

func (c *cluster) place(i *podInfo, node string, assumed bool) {
	uid := i.pod.UID
	c.unnominate(uid)
	n := c.nodeFor(node)
	c.pods[uid] = &placed{i, node, assumed}
	n.pods[uid] = i
	i.group = c.groupOf(i.pod)
	i.group.pods++
	i.group.nodes[n]++
	n.count(i, 1)
	c.priorities[i.priority]++
	for _, name := range i.claims {
		addTo(c.claims, name, 1)
	}
	if i.hasTerms() {
		c.enterTerms(i)
	}
	c.count(i, n, 1)
}

// removePod removes a pod, assumed or confirmed.
func (c *cluster) removePod(uid types.UID) bool {
	p := c.pods[uid]
	if p == nil {
		return false
	}
	delete(c.pods, uid)
	n, i := c.nodes[p.on], p.info
	c.count(i, n, -1)
	delete(n.pods, uid)
	c.leaveGroup(i, n)
	c.leaveTerms(i)
	n.count(i, -1)
	if c.priorities[i.priority]--; c.priorities[i.priority] == 0 {
		delete(c.priorities, i.priority)
	}
	for _, name := range i.claims {
		addTo(c.claims, name, -1)
	}
	c.dropIfEmpty(n)
	return true
}

// nominate reserves a node for a preempting pod: pods of no higher priority must fit beside
// it.
func (c *cluster) nominate(i *podInfo, node string) {
	c.unnominate(i.pod.UID)
	n := c.nodeFor(node)
	n.nominated[i.pod.UID] = i
	c.nominated[i.pod.UID] = n
}

func (c *cluster) unnominate(uid types.UID) {
	n := c.nominated[uid]
	if n == nil {
		return
	}
	delete(c.nominated, uid)
	delete(n.nominated, uid)
	c.dropIfEmpty(n)
}
