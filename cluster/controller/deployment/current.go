package deployment

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	revisionKey = "deployment.kubernetes.io/revision"
	historyKey  = "deployment.kubernetes.io/revision-history"
	desiredKey  = "deployment.kubernetes.io/desired-replicas"
	maxKey      = "deployment.kubernetes.io/max-replicas"

	// historyLength is how many characters of former revisions a set keeps.
	historyLength = 2000
)

// notCopied are the annotations of a Deployment that its sets do not get.
var notCopied = map[string]bool{
	v1.LastAppliedConfigAnnotation: true,
	revisionKey:                    true,
	historyKey:                     true,
	desiredKey:                     true,
	maxKey:                         true,
	apps.DeprecatedRollbackTo:      true,
}

// adoptCurrent updates revision and annotations of the present set, if there is one.
func (r *round) adoptCurrent() {
	rs := r.current
	if rs == nil {
		return
	}
	annotated := r.annotate(rs, r.lastRevision()+1)
	if annotated || rs.Spec.MinReadySeconds != r.d.Spec.MinReadySeconds {
		rs.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
		r.changed(rs, size(rs))
	}
	r.setRevision(rs.Annotations[revisionKey])
	if set(r.d.Spec.ProgressDeadlineSeconds) && condition(&r.d.Status, apps.DeploymentProgressing) == nil {
		r.progress(v1.ConditionTrue, "FoundNewReplicaSet", fmt.Sprintf("Found new replica set %q", rs.Name))
	}
}

// ensureCurrent is adoptCurrent, and adds the set to the step if there is none.
func (r *round) ensureCurrent() {
	if r.current != nil {
		r.adoptCurrent()
		return
	}
	hash := templateHash(&r.d.Spec.Template, r.d.Status.CollisionCount)
	template := *r.d.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels, apps.DefaultDeploymentUniqueLabelKey, hash)
	selector := r.d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, apps.DefaultDeploymentUniqueLabelKey, hash)
	rs := &apps.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: nameOfSet(r.d.Name, hash), Namespace: r.d.Namespace, Labels: maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, kind)},
		},
		Spec: apps.ReplicaSetSpec{MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: selector, Template: template},
	}
	revision := r.lastRevision() + 1
	n := r.sizeOfCurrent(0)
	rs.Spec.Replicas = &n
	r.annotate(rs, revision)
	r.annotateSizes(rs)
	r.current, r.create = rs, rs
	r.setRevision(strconv.FormatInt(revision, 10))
	if set(r.d.Spec.ProgressDeadlineSeconds) {
		r.progress(v1.ConditionTrue, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", rs.Name))
	}
}

func nameOfSet(deployment, hash string) string {
	if most := validation.DNS1123SubdomainMaxLength - len(hash) - 1; len(deployment) > most {
		deployment = deployment[:most]
	}
	return deployment + "-" + hash
}

func with(in map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range in {
		if k != key {
			out[k] = v
		}
	}
	return out
}

func (r *round) owns(uid types.UID) bool {
	for _, rs := range r.all() {
		if rs.UID == uid {
			return true
		}
	}
	return false
}

func (r *round) lastRevision() int64 {
	var last int64
	for _, rs := range r.old {
		last = max(last, revision(rs))
	}
	return last
}

func revision(rs *apps.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[revisionKey], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r *round) setRevision(n string) {
	if r.d.Annotations[revisionKey] != n {
		r.d.Annotations = with(r.d.Annotations, revisionKey, n)
	}
}

// annotate copies the Deployment's annotations to the set, and sets a newer revision. A set
// of a rollback had one already, and keeps it in its history.
func (r *round) annotate(rs *apps.ReplicaSet, next int64) (changed bool) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range r.d.Annotations {
		if has, ok := rs.Annotations[k]; !notCopied[k] && (!ok || has != v) {
			rs.Annotations[k] = v
			changed = true
		}
	}
	was, had := rs.Annotations[revisionKey]
	if revision(rs) >= next {
		return changed
	}
	rs.Annotations[revisionKey] = strconv.FormatInt(next, 10)
	if had {
		rs.Annotations[historyKey] = addToHistory(rs.Annotations[historyKey], was)
	}
	return true
}

// addToHistory returns history with revision, without the oldest ones if there are too many.
func addToHistory(history, revision string) string {
	if history == "" {
		return revision
	}
	history += "," + revision
	for len(history) > historyLength {
		_, rest, more := strings.Cut(history, ",")
		if !more {
			break
		}
		history = rest
	}
	return history
}

// annotateSizes sets the Deployment's replicas in the set's annotations.
func (r *round) annotateSizes(rs *apps.ReplicaSet) (changed bool) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for key, n := range map[string]int32{desiredKey: r.replicas, maxKey: r.replicas + r.surge()} {
		if text := strconv.Itoa(int(n)); rs.Annotations[key] != text {
			rs.Annotations[key] = text
			changed = true
		}
	}
	return changed
}

// number returns an annotation's number.
func number(rs *apps.ReplicaSet, key string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[key], 10, 32)
	return int32(n), err == nil
}
