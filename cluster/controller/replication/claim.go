package replication

import (
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// claims sorts the pods of a namespace from one set's view.
type claims struct {
	owned   []*v1.Pod // controlled by the set, and match
	adopt   []*v1.Pod // match, and nobody controls them
	release []*v1.Pod // controlled by the set, and no longer match
}

// sortClaims decides whose each pod is. It does not touch pods of other controllers.
func sortClaims(s *Set, pods []*v1.Pod) claims {
	var c claims
	uid := s.Object.GetUID()
	dying := s.Object.GetDeletionTimestamp() != nil
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		matches := s.Selector.Matches(labels.Set(p.Labels))
		switch {
		case ref != nil && ref.UID != uid:
		case ref != nil && matches:
			c.owned = append(c.owned, p)
		case ref != nil && !dying:
			c.release = append(c.release, p)
		case ref == nil && matches && !dying && Active(p):
			c.adopt = append(c.adopt, p)
		}
	}
	return c
}

// adoptPatch makes ref the pod's controller. The uid guards against another pod of the same name.
func adoptPatch(p *v1.Pod, ref metav1.OwnerReference) ([]byte, error) {
	return ownerPatch(p, ref)
}

func releasePatch(p *v1.Pod, owner *Set) ([]byte, error) {
	return ownerPatch(p, map[string]any{"$patch": "delete", "uid": owner.Object.GetUID()})
}

func ownerPatch(p *v1.Pod, ref any) ([]byte, error) {
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             p.UID,
		"ownerReferences": []any{ref},
	}})
}
