package deployment

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rollbackTo returns the revision to roll back to, 0 for the previous one. Old clients set the
// annotation; current ones write the old template themselves.
func rollbackTo(d *apps.Deployment) (revision int64, asked bool) {
	text, asked := d.Annotations[apps.DeprecatedRollbackTo]
	if !asked {
		return 0, false
	}
	revision, err := strconv.ParseInt(text, 10, 64)
	return revision, err == nil
}

// rolledBack returns the Deployment with the template of the revision and without the
// annotation, and the event.
func rolledBack(d *apps.Deployment, sets []*apps.ReplicaSet, to int64) (next *apps.Deployment, event, reason, message string) {
	next = d.DeepCopy()
	delete(next.Annotations, apps.DeprecatedRollbackTo)
	const notFound = "DeploymentRollbackRevisionNotFound"
	if to == 0 {
		if to = revisionBefore(sets); to == 0 {
			return next, v1.EventTypeWarning, notFound, "Unable to find last revision."
		}
	}
	for _, rs := range sets {
		if revision(rs) != to {
			continue
		}
		if sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
			return next, v1.EventTypeWarning, "DeploymentRollbackTemplateUnchanged",
				fmt.Sprintf("The rollback revision contains the same template as current deployment %q", d.Name)
		}
		next.Spec.Template = *rs.Spec.Template.DeepCopy()
		next.Spec.Template.Labels = withoutHash(next.Spec.Template.Labels)
		for k := range next.Annotations {
			if !notCopied[k] {
				delete(next.Annotations, k)
			}
		}
		for k, v := range rs.Annotations {
			if !notCopied[k] {
				next.Annotations[k] = v
			}
		}
		return next, v1.EventTypeNormal, "DeploymentRollback", fmt.Sprintf("Rolled back deployment %q to revision %d", d.Name, to)
	}
	return next, v1.EventTypeWarning, notFound, "Unable to find the revision to rollback to."
}

// revisionBefore returns the second newest revision, 0 if there is none.
func revisionBefore(sets []*apps.ReplicaSet) int64 {
	if len(sets) < 2 {
		return 0
	}
	var all []int64
	for _, rs := range sets {
		all = append(all, revision(rs))
	}
	slices.Sort(all)
	return all[len(all)-2]
}

// rollBack writes the Deployment of rolledBack; its event enqueues the rollout.
func (c *Controller) rollBack(ctx context.Context, d *apps.Deployment, sets []*apps.ReplicaSet, to int64) error {
	next, event, reason, message := rolledBack(d, sets, to)
	if _, err := c.Client.AppsV1().Deployments(d.Namespace).Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("rolling back: %w", err)
	}
	c.Recorder.Event(d, event, reason, message)
	return nil
}
