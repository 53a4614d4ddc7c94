package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/volume"
)

var (
	volumeElsewhere = &rejection{[]string{"node(s) didn't match PersistentVolume's node affinity"}, true, causeNode | causeVolume}
	otherZone       = &rejection{[]string{"node(s) had no available volume zone"}, true, causeNode | causeVolume}
	noVolume        = &rejection{[]string{"node(s) didn't find available persistent volumes to bind"}, true, causeNode | causeVolume}
	usedElsewhere   = &rejection{[]string{"node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"}, false, causePods}
)

// claimReader reads claims, volumes and classes from listers.
type claimReader struct {
	claim   func(namespace, name string) (*v1.PersistentVolumeClaim, error)
	volume  func(name string) (*v1.PersistentVolume, error)
	volumes func(labels.Selector) ([]*v1.PersistentVolume, error)
	class   func(name string) (*storagev1.StorageClass, error)
	classes func(labels.Selector) ([]*storagev1.StorageClass, error)
}

const (
	unbound = "pod has unbound immediate PersistentVolumeClaims"
	// unclassed is the reason of a new claim that the volume controller is about to give the
	// default class: it gets no warning.
	unclassed = "pod has PersistentVolumeClaims that wait for the default storage class"
	young     = 5 * time.Second
)

// podClaims are the constraints of the pod's claims; nil is none.
type podClaims struct {
	bound   []*v1.PersistentVolume
	alone   []string       // claims of ReadWriteOncePod, namespace/name
	delayed []delayedClaim // those that wait for the pod to choose a node
}

// delayedClaim is bound or provisioned for the node of its first consumer.
type delayedClaim struct {
	claim *v1.PersistentVolumeClaim
	class *storagev1.StorageClass
	can   []*v1.PersistentVolume // unclaimed volumes of the class
}

// volumeBinding is the volume for a delayed claim, or, without one, its provisioning on the
// node.
type volumeBinding struct {
	claim *v1.PersistentVolumeClaim
	pv    *v1.PersistentVolume
}

// of reads the pod's claims. reason is why no node is feasible yet; taken are volumes that are
// reserved for others.
func (c claimReader) of(p *v1.Pod, taken map[string]bool) (out *podClaims, reason string, err error) {
	for i := range p.Spec.Volumes {
		name := claimName(p, &p.Spec.Volumes[i])
		if name == "" {
			continue
		}
		if out == nil {
			out = &podClaims{}
		}
		if reason, err = c.add(out, p.Namespace, name, taken); reason != "" || err != nil {
			return nil, reason, err
		}
	}
	if out != nil {
		// The small ones first: they leave the large volumes to the large ones.
		slices.SortStableFunc(out.delayed, func(a, b delayedClaim) int {
			x, y := a.claim.Spec.Resources.Requests[v1.ResourceStorage], b.claim.Spec.Resources.Requests[v1.ResourceStorage]
			return x.Cmp(y)
		})
	}
	return out, "", nil
}

func (c claimReader) add(out *podClaims, ns, name string, taken map[string]bool) (reason string, err error) {
	claim, err := c.claim(ns, name)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("persistentvolumeclaim %q not found", name), nil
	case err != nil:
		return "", fmt.Errorf("read claim %s: %w", name, err)
	case claim.DeletionTimestamp != nil:
		return fmt.Sprintf("persistentvolumeclaim %q is being deleted", name), nil
	case claim.Status.Phase == v1.ClaimLost:
		return nonexistent(name, claim.Spec.VolumeName), nil
	}
	if slices.Contains(claim.Spec.AccessModes, v1.ReadWriteOncePod) {
		out.alone = append(out.alone, ns+"/"+name)
	}
	if claim.Spec.VolumeName == "" || claim.Annotations[volume.AnnBindCompleted] == "" {
		return c.addUnbound(out, claim, taken)
	}
	pv, err := c.volume(claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) {
		return nonexistent(name, claim.Spec.VolumeName), nil
	}
	if err != nil {
		return "", fmt.Errorf("read volume %s: %w", claim.Spec.VolumeName, err)
	}
	out.bound = append(out.bound, pv)
	return "", nil
}

func nonexistent(claim, pv string) string {
	return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claim, pv)
}

// addUnbound adds a claim that is bound after its pod is scheduled, if its class is
// WaitForFirstConsumer; the volume controller binds other claims first.
func (c claimReader) addUnbound(out *podClaims, claim *v1.PersistentVolumeClaim, taken map[string]bool) (reason string, err error) {
	if !volume.PersistentVolumeClaimHasClass(claim) && time.Since(claim.CreationTimestamp.Time) < young && c.hasDefault() {
		return unclassed, nil
	}
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" || claim.Spec.VolumeName != "" {
		return unbound, nil
	}
	class, err := c.class(name)
	if apierrors.IsNotFound(err) {
		return unbound, nil
	}
	if err != nil {
		return "", fmt.Errorf("read storage class %s: %w", name, err)
	}
	if class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer {
		return unbound, nil
	}
	all, err := c.volumes(labels.Everything())
	if err != nil {
		return "", fmt.Errorf("list volumes: %w", err)
	}
	d := delayedClaim{claim: claim, class: class}
	for _, pv := range all {
		if volume.GetPersistentVolumeClass(pv) == name && !taken[pv.Name] {
			d.can = append(d.can, pv)
		}
	}
	out.delayed = append(out.delayed, d)
	return "", nil
}

func (c claimReader) hasDefault() bool {
	all, err := c.classes(labels.Everything())
	return err == nil && slices.ContainsFunc(all, func(s *storagev1.StorageClass) bool {
		return s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
	})
}

// filter returns why the pod's volumes cannot be on the node.
func (c *podClaims) filter(uses map[string]int, n *nodeInfo, d *difference) *rejection {
	for _, name := range c.alone {
		if uses[name]+d.count(func(i *podInfo) bool { return slices.Contains(i.claims, name) }) > 0 {
			return usedElsewhere
		}
	}
	for _, pv := range c.bound {
		if volume.CheckNodeAffinity(pv, n.node.Labels) != nil {
			return volumeElsewhere
		}
		if !inZone(pv, n.node) {
			return otherZone
		}
	}
	if len(c.delayed) == 0 {
		return nil
	}
	_, v := c.choose(n.node)
	return v
}

// choose returns the volume for each delayed claim on a node.
func (c *podClaims) choose(node *v1.Node) ([]volumeBinding, *rejection) {
	var out []volumeBinding
	excluded := map[string]*v1.PersistentVolume{}
	for i := range c.delayed {
		d := &c.delayed[i]
		if selected, ok := d.claim.Annotations[volume.AnnSelectedNode]; ok {
			if selected != node.Name {
				return nil, noVolume
			}
			out = append(out, volumeBinding{claim: d.claim})
			continue
		}
		pv, err := volume.FindMatchingVolume(d.claim, d.can, node, excluded, true, true)
		switch {
		case err != nil:
			return nil, noVolume
		case pv != nil:
			excluded[pv.Name] = pv
			out = append(out, volumeBinding{d.claim, pv})
		case d.class.Provisioner == volume.NotSupportedProvisioner || d.claim.Spec.Selector != nil || !topologyAllows(d.class, node):
			return nil, noVolume
		default:
			out = append(out, volumeBinding{claim: d.claim})
		}
	}
	return out, nil
}

func topologyAllows(class *storagev1.StorageClass, node *v1.Node) bool {
	if len(class.AllowedTopologies) == 0 {
		return true
	}
	return slices.ContainsFunc(class.AllowedTopologies, func(t v1.TopologySelectorTerm) bool {
		for _, e := range t.MatchLabelExpressions {
			if !slices.Contains(e.Values, node.Labels[e.Key]) {
				return false
			}
		}
		return true
	})
}

// inZone compares the zone and region labels of a volume, which may name several.
func inZone(pv *v1.PersistentVolume, node *v1.Node) bool {
	for _, key := range []string{v1.LabelTopologyZone, v1.LabelTopologyRegion, v1.LabelFailureDomainBetaZone, v1.LabelFailureDomainBetaRegion} {
		want, ok := pv.Labels[key]
		if !ok {
			continue
		}
		have, labelled := node.Labels[key]
		if labelled && !slices.Contains(strings.Split(want, "__"), have) {
			return false
		}
	}
	return true
}

// assignment is a node for a pod, and the volumes for its claims that waited for it.
type assignment struct {
	node    string
	volumes []volumeBinding
}
