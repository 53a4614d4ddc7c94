package scheduler

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// nodeInfo is a node with the sums over its pods, kept up to date by cluster.
type nodeInfo struct {
	name       string
	node       *v1.Node // nil: pods name it, but it does not exist
	can        resources
	maxPods    int64
	images     map[string]int64 // size by name
	used       resources
	nonzeroCPU int64
	nonzeroMem int64
	pods       map[types.UID]*podInfo
	ports      map[hostPort]int
	groups     map[*group]int
	affine     map[types.UID]*podInfo // pods with terms on other pods
}

// cluster is the scheduler's picture of all nodes and the pods on them, assumed
// ones included. It is not safe for concurrent use.
type cluster struct {
	nodes      map[string]*nodeInfo
	list       []*nodeInfo // those that exist, in order of arrival
	groups     map[string]*group
	pods       map[types.UID]*placed
	namespaces map[string]labels.Set
	imageNodes map[string]int // on how many nodes an image is
	affine     int            // pods with terms on other pods
	next       int            // where the next search for nodes begins
}

type placed struct {
	info    *podInfo
	on      string
	assumed bool // by us, and not yet seen in the API
}

func newCluster() *cluster {
	return &cluster{
		nodes:      map[string]*nodeInfo{},
		groups:     map[string]*group{},
		pods:       map[types.UID]*placed{},
		namespaces: map[string]labels.Set{},
		imageNodes: map[string]int{},
	}
}

func (c *cluster) nodeFor(name string) *nodeInfo {
	n := c.nodes[name]
	if n == nil {
		n = &nodeInfo{
			name: name, pods: map[types.UID]*podInfo{}, ports: map[hostPort]int{},
			groups: map[*group]int{}, affine: map[types.UID]*podInfo{},
		}
		c.nodes[name] = n
	}
	return n
}

// setNode adds or updates a node.
func (c *cluster) setNode(node *v1.Node) {
	n := c.nodeFor(node.Name)
	if n.node == nil {
		c.list = append(c.list, n)
	}
	n.node = node
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

func (c *cluster) countImages(n *nodeInfo, sign int) {
	for name := range n.images {
		if c.imageNodes[name] += sign; c.imageNodes[name] <= 0 {
			delete(c.imageNodes, name)
		}
	}
}

func (c *cluster) removeNode(name string) {
	n := c.nodes[name]
	if n == nil || n.node == nil {
		return
	}
	c.countImages(n, -1)
	n.images, n.node = nil, nil
	c.list = slices.DeleteFunc(c.list, func(o *nodeInfo) bool { return o == n })
	c.dropIfEmpty(n)
}

func (c *cluster) dropIfEmpty(n *nodeInfo) {
	if n.node == nil && len(n.pods) == 0 {
		delete(c.nodes, n.name)
	}
}

// assume places a pod before the API server knows.
func (c *cluster) assume(i *podInfo, node string) {
	c.place(i, node, true)
}

// setPod places a pod as the API has it, and so confirms one that was assumed.
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

// sameForScheduling says whether the sums need no change: everything else that
// they depend on is fixed once a pod exists.
func sameForScheduling(a, b *v1.Pod) bool {
	if (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || !labels.Equals(a.Labels, b.Labels) {
		return false
	}
	// Requests of a placed pod change only by an in-place resize.
	return a.Generation == b.Generation || a.Spec.NodeName == ""
}

func (c *cluster) place(i *podInfo, node string, assumed bool) {
	n := c.nodeFor(node)
	uid := i.pod.UID
	c.pods[uid] = &placed{i, node, assumed}
	n.pods[uid] = i
	key := groupKey(i.pod)
	g := c.groups[key]
	if g == nil {
		g = &group{key: key, namespace: i.pod.Namespace, labels: i.pod.Labels, terminating: i.pod.DeletionTimestamp != nil}
		c.groups[key] = g
	}
	i.group = g
	g.pods++
	n.groups[g]++
	n.count(i, 1)
	if i.hasTerms() {
		n.affine[uid] = i
		c.affine++
	}
}

// removePod forgets a pod, whether assumed or confirmed.
func (c *cluster) removePod(uid types.UID) bool {
	p := c.pods[uid]
	if p == nil {
		return false
	}
	delete(c.pods, uid)
	n, i := c.nodes[p.on], p.info
	delete(n.pods, uid)
	if n.groups[i.group]--; n.groups[i.group] == 0 {
		delete(n.groups, i.group)
	}
	if i.group.pods--; i.group.pods == 0 {
		delete(c.groups, i.group.key)
	}
	n.count(i, -1)
	if i.hasTerms() {
		delete(n.affine, uid)
		c.affine--
	}
	c.dropIfEmpty(n)
	return true
}

func (i *podInfo) hasTerms() bool {
	return len(i.affinity)+len(i.antiAffinity)+len(i.preferred) > 0
}

func (n *nodeInfo) count(i *podInfo, sign int64) {
	n.used.add(&i.requests, sign)
	n.nonzeroCPU += sign * i.nonzeroCPU
	n.nonzeroMem += sign * i.nonzeroMem
	for _, p := range i.ports {
		if n.ports[p] += int(sign); n.ports[p] == 0 {
			delete(n.ports, p)
		}
	}
}

// countGroups is how many of the node's pods are in one of the groups.
func (n *nodeInfo) countGroups(groups []*group) int {
	sum := 0
	for _, g := range groups {
		sum += n.groups[g]
	}
	return sum
}

// groupsWhere are the groups for which keep is true.
func (c *cluster) groupsWhere(keep func(*group) bool) []*group {
	var out []*group
	for _, g := range c.groups {
		if keep(g) {
			out = append(out, g)
		}
	}
	return out
}
