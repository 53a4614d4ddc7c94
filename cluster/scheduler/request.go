package scheduler

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/journal"
)

// request is one scheduling cycle: the pod, the cluster, and what is computed once for all
// nodes.
type request struct {
	*podInfo
	cluster *cluster
	nodes   *nodeMatch // nil: any
	pods    *podTerms  // nil when no pod has terms that matter
	spread  []spreadRule
	peers   map[string]int  // by node: the pods of the pod's services and controller
	only    map[string]bool // the names of the only nodes that come into question; nil is any
	claims  *podClaims

	preferredNodes []v1.PreferredSchedulingTerm

	judged *[]journal.Node // what is to be remembered of nodes; nil: nothing is
}

// reject remembers why a node is not feasible. Half of what is remembered is for those that are.
func (r *request) reject(n *nodeInfo, v *rejection) {
	if r.judged != nil && len(*r.judged) < journal.MostNodes/2 {
		r.judge(n, nil, v)
	}
}

// judge remembers what became of a node.
func (r *request) judge(n *nodeInfo, score *int64, v *rejection) {
	if r.judged == nil || len(*r.judged) >= journal.MostNodes {
		return
	}
	j := journal.Node{Name: n.name, Score: score}
	if v != nil {
		j.Reasons = v.reasons
	}
	*r.judged = append(*r.judged, j)
}

// newRequest computes what all nodes share. peers selects the pods to spread
// from; nil when there are none.
func newRequest(c *cluster, i *podInfo, claims *podClaims, peers []labels.Selector) *request {
	r := &request{podInfo: i, cluster: c, claims: claims, nodes: newNodeMatch(i.pod)}
	if a := i.pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		r.preferredNodes = a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	}
	r.only = namedNodes(i.pod)
	r.pods = newPodTerms(&c.index, i)
	r.spread = newSpreadRules(&c.index, i.pod, r.nodes)
	if len(peers) > 0 && len(r.spread) == 0 {
		r.peers = c.livePods(i.pod.Namespace, peers...).by(byNode)
	}
	return r
}

// namedNodes returns the nodes that the pod's required node affinity names, as that of a
// DaemonSet's pod does; nil if it could be any.
func namedNodes(p *v1.Pod) map[string]bool {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	names := map[string]bool{}
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		var of []string
		for _, f := range t.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == v1.NodeSelectorOpIn {
				of = append(of, f.Values...)
			}
		}
		if len(of) == 0 {
			return nil
		}
		for _, name := range of {
			names[name] = true
		}
	}
	return names
}
