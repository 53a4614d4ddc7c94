package persistentvolume

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/volume"
)

// nodeFor returns the node for a claim's volume: the one that the scheduler selected, or,
// for a class that does not wait, the ready node with the fewest volumes, or nil.
func (c *Controller) nodeFor(claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass) (*v1.Node, error) {
	if name, ok := claim.Annotations[volume.AnnSelectedNode]; ok {
		n, err := c.nodes.Get(name)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return n, err
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	all, err := c.volumes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	have := map[string]int{}
	for _, pv := range all {
		have[nodeOf(pv)]++
	}
	return leastUsed(nodes, have, class.AllowedTopologies), nil
}

func leastUsed(nodes []*v1.Node, have map[string]int, topologies []v1.TopologySelectorTerm) *v1.Node {
	var best *v1.Node
	for _, n := range nodes {
		if !takesPods(n) || !allowed(topologies, n) {
			continue
		}
		less := best == nil || have[hostname(n)] < have[hostname(best)]
		if less || have[hostname(n)] == have[hostname(best)] && n.Name < best.Name {
			best = n
		}
	}
	return best
}

// takesPods reports whether pods without tolerations can be scheduled to the node.
func takesPods(n *v1.Node) bool {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c v1.NodeCondition) bool {
		return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue
	})
	tainted := slices.ContainsFunc(n.Spec.Taints, func(t v1.Taint) bool { return t.Effect != v1.TaintEffectPreferNoSchedule })
	return ready && !tainted && !n.Spec.Unschedulable
}

func allowed(topologies []v1.TopologySelectorTerm, n *v1.Node) bool {
	return len(topologies) == 0 || slices.ContainsFunc(topologies, func(t v1.TopologySelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchLabelExpressions, func(e v1.TopologySelectorLabelRequirement) bool {
			return !slices.Contains(e.Values, n.Labels[e.Key])
		})
	})
}

// hostname returns the node's name in the affinity of volumes.
func hostname(n *v1.Node) string {
	if name, ok := n.Labels[v1.LabelHostname]; ok {
		return name
	}
	return n.Name
}

// onlyOn returns the affinity of a volume on one node.
func onlyOn(n *v1.Node) *v1.VolumeNodeAffinity {
	return &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
		MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{hostname(n)}}},
	}}}}
}

// nodeOf returns the host name of the node of a provisioned volume.
func nodeOf(pv *v1.PersistentVolume) string {
	a := pv.Spec.NodeAffinity
	if pv.Annotations[volume.AnnDynamicallyProvisioned] != Provisioner || a == nil || a.Required == nil {
		return ""
	}
	for _, t := range a.Required.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			if e.Key == v1.LabelHostname && len(e.Values) == 1 {
				return e.Values[0]
			}
		}
	}
	return ""
}

// mismatches returns by reason how many volumes do not fit a claim, for the event.
func mismatches(claim *v1.PersistentVolumeClaim, volumes []*v1.PersistentVolume) string {
	if len(volumes) == 0 {
		return ": there are no persistent volumes"
	}
	counts := map[string]int{}
	for _, pv := range volumes {
		counts[mismatch(claim, pv)]++
	}
	var parts []string
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return fmt.Sprintf(": of %d persistent volumes %s", len(volumes), strings.Join(parts, ", "))
}

func mismatch(claim *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) string {
	want, have := claim.Spec.Resources.Requests[v1.ResourceStorage], pv.Spec.Capacity[v1.ResourceStorage]
	switch {
	case pv.DeletionTimestamp != nil:
		return "being deleted"
	case pv.Spec.ClaimRef != nil && pv.Status.Phase == v1.VolumeReleased:
		return "released but not yet free again"
	case pv.Spec.ClaimRef != nil && !volume.IsVolumeBoundToClaim(pv, claim):
		return "bound to another claim"
	case volume.GetPersistentVolumeClass(pv) != volume.GetPersistentVolumeClaimClass(claim):
		return "of another storage class"
	case have.Cmp(want) < 0:
		return fmt.Sprintf("smaller than %s", want.String())
	case !volume.CheckAccessModes(claim, pv):
		return "without the access modes asked for"
	case volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec):
		return "of another volumeMode"
	case pv.Status.Phase != v1.VolumeAvailable:
		return "not available yet"
	}
	return "not selected by its labels"
}
