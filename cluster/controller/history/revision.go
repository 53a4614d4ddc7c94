// Package history keeps the templates that a DaemonSet or StatefulSet has had, as
// ControllerRevisions: `kubectl rollout history` lists them, `rollout undo` returns to one.
//
// Only the number of a revision ever changes: the present template has the highest. A
// revision is owned by its set and deleted with it. The package never reads or writes a
// pod; the controller of the set decides which revisions are used.
package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"

	"wheelhouse/cluster/controller/podcontrol"
)

const (
	// maxPrefix leaves room in a revision's name for the hash.
	maxPrefix = 223
	// defaultLimit is the number of former revisions that are kept.
	defaultLimit = 10
)

// Set is the object whose templates are kept.
type Set struct {
	podcontrol.Owner
	Template   *v1.PodTemplateSpec
	HashLabel  string // the label of a revision that holds its hash
	Collisions int32  // the set's status.collisionCount
	Limit      *int32 // the set's spec.revisionHistoryLimit; negative is no limit
}

// Patch returns what a revision holds: a strategic merge patch that restores the template.
// kubectl compares it byte by byte, so the keys are sorted.
func Patch(template *v1.PodTemplateSpec) ([]byte, error) {
	text, err := json.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	fields["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": fields}})
}

// Template returns the template that a revision holds.
func Template(r *apps.ControllerRevision) (*v1.PodTemplateSpec, error) {
	var patch struct {
		Spec struct {
			Template v1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &patch); err != nil {
		return nil, fmt.Errorf("revision %s: %w", r.Name, err)
	}
	return &patch.Spec.Template, nil
}

// build returns a revision of the set's present template. Its name is derived from the
// template and the collisions, so that two concurrent creates use the same name.
func build(s *Set, number int64, collisions int32) (*apps.ControllerRevision, error) {
	data, err := Patch(s.Template)
	if err != nil {
		return nil, err
	}
	hash := hashOf(data, collisions)
	prefix := s.Object.GetName()
	if len(prefix) > maxPrefix {
		prefix = prefix[:maxPrefix]
	}
	set := labels.Merge(s.Template.Labels, labels.Set{s.HashLabel: hash})
	r := &apps.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       s.Object.GetNamespace(),
			Name:            prefix + "-" + hash,
			Labels:          set,
			Annotations:     map[string]string{},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s.Object, s.Kind)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}
	for k, v := range s.Object.GetAnnotations() {
		r.Annotations[k] = v
	}
	return r, nil
}

func hashOf(data []byte, collisions int32) string {
	h := fnv.New32()
	_, _ = h.Write(data)
	if collisions > 0 {
		_, _ = h.Write([]byte(strconv.Itoa(int(collisions))))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// Same reports whether two revisions hold the same template.
func Same(a, b *apps.ControllerRevision) bool { return bytes.Equal(a.Data.Raw, b.Data.Raw) }

// order sorts revisions, the oldest first.
func order(all []*apps.ControllerRevision) {
	slices.SortStableFunc(all, func(a, b *apps.ControllerRevision) int {
		return cmp.Or(
			cmp.Compare(a.Revision, b.Revision),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
}

// surplus returns the oldest revisions beyond limit that are not used. A negative limit,
// which a StatefulSet may have, is none.
func surplus(old []*apps.ControllerRevision, limit int, used func(*apps.ControllerRevision) bool) []*apps.ControllerRevision {
	if limit < 0 {
		return nil
	}
	n := len(old) - limit
	var out []*apps.ControllerRevision
	for _, r := range old {
		if len(out) < n && !used(r) {
			out = append(out, r)
		}
	}
	return out
}
