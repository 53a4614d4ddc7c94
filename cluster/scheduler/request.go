package scheduler

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// cause is why a pod did not fit, as a set of bits; the queue uses it to tell
// which changes of the cluster are worth another try.
type cause uint

const (
	causeNode     cause = 1 << iota // taints, labels, unschedulable, name
	causeResource                   // cpu, memory, pods, host ports
	causePods                       // pod affinity and spread
	causeVolume
)

// request is one pod on its way through filter and score: the pod, the cluster,
// and what is worked out once for all nodes.
type request struct {
	*podInfo
	cluster      *cluster
	nodeAffinity nodeaffinity.RequiredNodeAffinity
	anyNode      bool // no node selector and no required node affinity
	volumes      []*v1.PersistentVolume
	pods         *podTerms // nil when no pod has terms that matter
	spread       []spreadRule
	peers        []*group // what the pod should spread from: pods of its services and controller

	preferredNodes *nodeaffinity.PreferredSchedulingTerms
}

// newRequest works out what all nodes share. peers selects the pods to spread
// from; nil when there are none.
func newRequest(c *cluster, i *podInfo, volumes []*v1.PersistentVolume, peers []labels.Selector) *request {
	spec := &i.pod.Spec
	r := &request{podInfo: i, cluster: c, volumes: volumes}
	a := spec.Affinity
	r.nodeAffinity = nodeaffinity.GetRequiredNodeAffinity(i.pod)
	hasNodes := a != nil && a.NodeAffinity != nil
	r.anyNode = len(spec.NodeSelector) == 0 &&
		!(hasNodes && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil)
	if hasNodes && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 {
		// Terms that do not parse are skipped; the API server refuses them anyway.
		r.preferredNodes, _ = nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if i.hasTerms() || c.affine > 0 {
		r.pods = newPodTerms(r)
	}
	r.spread = newSpreadRules(r)
	if len(peers) > 0 {
		r.peers = c.groupsWhere(func(g *group) bool {
			if g.namespace != i.pod.Namespace || g.terminating {
				return false
			}
			for _, s := range peers {
				if !s.Matches(g.labels) {
					return false
				}
			}
			return true
		})
	}
	return r
}
