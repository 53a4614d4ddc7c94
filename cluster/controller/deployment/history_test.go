package deployment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRevisions(t *testing.T) {
	w := newWorld(t, 1)
	w.d.Annotations = map[string]string{"kubernetes.io/change-cause": "first", v1.LastAppliedConfigAnnotation: "{}"}
	w.settle(nil)
	w.d.Annotations["kubernetes.io/change-cause"] = "second"
	w.image("v2")
	w.settle(nil)
	w.image("v1") // undo
	w.settle(nil)
	want := func(image, revision, history, cause string) {
		t.Helper()
		a := w.of(image).Annotations
		if a[revisionKey] != revision || a[historyKey] != history || a["kubernetes.io/change-cause"] != cause {
			t.Errorf("%s: %v", image, a)
		}
		if _, ok := a[v1.LastAppliedConfigAnnotation]; ok {
			t.Errorf("%s has the configuration that was applied to the Deployment", image)
		}
	}
	want("v1", "3", "1", "second")
	want("v2", "2", "", "second")
	if n := w.d.Annotations[revisionKey]; n != "3" {
		t.Errorf("the Deployment is at revision %q, want 3", n)
	}
	long := ""
	for i := range 1000 {
		long = addToHistory(long, fmt.Sprint(i))
	}
	if len(long) > historyLength || !strings.HasSuffix(long, ",998,999") {
		t.Errorf("%d characters, ending in %s", len(long), long[len(long)-20:])
	}
}

func TestOldRevisionsGo(t *testing.T) {
	w := newWorld(t, 2)
	limit := int32(2)
	w.d.Spec.RevisionHistoryLimit = &limit
	for i := range 6 {
		w.image(fmt.Sprint("v", i))
		w.settle(nil)
	}
	w.wantSizes("v3=0 v4=0 v5=2")
}

func TestSetOfTheTemplate(t *testing.T) {
	w := newWorld(t, 1)
	w.step()
	rs := w.sets[0]
	hash := rs.Labels[apps.DefaultDeploymentUniqueLabelKey]
	if hash == "" || rs.Name != "web-"+hash || rs.Spec.Selector.MatchLabels["app"] != "web" ||
		rs.Spec.Selector.MatchLabels[apps.DefaultDeploymentUniqueLabelKey] != hash || rs.Spec.Template.Labels[apps.DefaultDeploymentUniqueLabelKey] != hash {
		t.Errorf("got %s with labels %v, selector %v, template %v", rs.Name, rs.Labels, rs.Spec.Selector, rs.Spec.Template.Labels)
	}
	if !metav1.IsControlledBy(rs, w.d) {
		t.Errorf("owners are %v", rs.OwnerReferences)
	}
	one := int32(1)
	if other := templateHash(&w.d.Spec.Template, &one); other == hash {
		t.Error("after a collision the name should be another")
	}
	if name := nameOfSet(strings.Repeat("x", 253), hash); len(name) > 253 || !strings.HasSuffix(name, hash) {
		t.Errorf("%d characters: %s", len(name), name)
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(t, 3)
	w.settle(nil)
	w.d.Spec.Paused = true
	w.image("v2")
	w.settle(nil)
	w.wantSizes("v1=3")
	w.wantReason(apps.DeploymentProgressing, "Unknown DeploymentPaused")
	w.scale(5)
	w.settle(nil)
	w.wantSizes("v1=5")
	w.d.Spec.Paused = false
	w.d.Generation++
	s := decide(snapshot{d: w.d, sets: w.sets, now: w.now})
	if c := condition(&s.deployment.Status, apps.DeploymentProgressing); c == nil || c.Reason != "NewReplicaSetCreated" {
		t.Errorf("resumed with a new template: %+v", c)
	}
	w.settle(nil)
	w.wantSizes("v1=0 v2=5")
	w.d.Spec.Paused = true
	w.settle(nil)
	w.d.Spec.Paused = false
	w.step()
	w.wantReason(apps.DeploymentProgressing, "True NewReplicaSetAvailable")
}

func TestProgressDeadline(t *testing.T) {
	w := newWorld(t, 2)
	w.step()
	w.wantReason(apps.DeploymentProgressing, "True NewReplicaSetCreated")
	w.wantReason(apps.DeploymentAvailable, "False MinimumReplicasUnavailable")
	w.settle(nil)
	w.wantReason(apps.DeploymentProgressing, "True NewReplicaSetAvailable")
	w.wantReason(apps.DeploymentAvailable, "True MinimumReplicasAvailable")

	w.image("bad")
	w.broken["bad"] = true
	w.settle(nil)
	s := w.step()
	if s.after <= 0 || s.after > 601*time.Second {
		t.Errorf("it should look again when the deadline is over, not after %v", s.after)
	}
	w.wantReason(apps.DeploymentProgressing, "True ReplicaSetUpdated")
	w.now = w.now.Add(s.after)
	if s = w.step(); s.after != 0 {
		t.Errorf("after the deadline there is nothing to wait for, not %v", s.after)
	}
	w.wantReason(apps.DeploymentProgressing, "False ProgressDeadlineExceeded")
	if c := condition(&w.d.Status, apps.DeploymentProgressing); !strings.Contains(c.Message, "has timed out progressing.") {
		t.Error(c.Message)
	}
	w.image("v1")
	w.settle(nil)
	w.wantReason(apps.DeploymentProgressing, "True NewReplicaSetAvailable")
}

func TestFailureOfASetIsTold(t *testing.T) {
	w := newWorld(t, 2)
	w.step()
	w.sets[0].Status.Conditions = []apps.ReplicaSetCondition{{
		Type: apps.ReplicaSetReplicaFailure, Status: v1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota: small",
	}}
	w.step()
	w.wantReason(apps.DeploymentReplicaFailure, "True FailedCreate")
	w.sets[0].Status.Conditions = nil
	w.step()
	w.wantReason(apps.DeploymentReplicaFailure, "")
}
