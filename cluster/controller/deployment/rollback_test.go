package deployment

import (
	"testing"

	apps "k8s.io/api/apps/v1"
)

// Deployments of the first versions were rolled back by the server.
func TestRollBack(t *testing.T) {
	w := newWorld(t, 1, limits("1", "1"))
	w.settle(nil)
	w.d.Annotations["note"] = "of v2"
	w.image("v2")
	w.settle(nil)
	for _, c := range []struct {
		name, revision, image, reason, message string
	}{
		{"the last", "0", "v1", "DeploymentRollback", `Rolled back deployment "web" to revision 1`},
		{"the first", "1", "v1", "DeploymentRollback", `Rolled back deployment "web" to revision 1`},
		{"the present", "2", "v2", "DeploymentRollbackTemplateUnchanged", `The rollback revision contains the same template as current deployment "web"`},
		{"none", "7", "v2", "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to."},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := w.d.DeepCopy()
			d.Annotations[apps.DeprecatedRollbackTo] = c.revision
			to, asked := rollbackTo(d)
			if !asked {
				t.Fatal("nothing was asked")
			}
			next, _, reason, message := rolledBack(d, w.sets, to)
			if got := next.Spec.Template.Spec.Containers[0].Image; got != c.image || reason != c.reason || message != c.message {
				t.Errorf("image %s, %s: %s", got, reason, message)
			}
			if _, asked := rollbackTo(next); asked {
				t.Error("it would be asked again")
			}
			if _, hashed := next.Spec.Template.Labels[apps.DefaultDeploymentUniqueLabelKey]; hashed {
				t.Error("the template has the label of its set")
			}
			if has := next.Annotations["note"] != ""; has != (c.image == "v2") {
				t.Errorf("annotations: %v", next.Annotations)
			}
		})
	}
	_, _, reason, message := rolledBack(w.d, w.sets[:1], 0)
	if reason != "DeploymentRollbackRevisionNotFound" || message != "Unable to find last revision." {
		t.Errorf("with one revision: %s: %s", reason, message)
	}
}
