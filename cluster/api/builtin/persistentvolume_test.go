package builtin

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/core"
)

// The status has the time of the last phase transition, whoever writes the phase.
func TestLastPhaseTransitionTime(t *testing.T) {
	began := time.Now()
	isNow := func(what string, got *metav1.Time) {
		t.Helper()
		if got == nil || got.Time.Before(began) || got.After(time.Now()) {
			t.Errorf("%s: the time is %v", what, got)
		}
	}
	v := &corev1.PersistentVolume{Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound}}
	core.PersistentVolumes.PrepareCreate(v)
	isNow("created "+string(v.Status.Phase), v.Status.LastPhaseTransitionTime)

	past := metav1.NewTime(began.Add(-time.Hour))
	v.Status.LastPhaseTransitionTime = &past
	next := v.DeepCopy()
	next.Status.Message = "as before"
	core.PersistentVolumes.PrepareStatus(next, v)
	if !next.Status.LastPhaseTransitionTime.Equal(&past) {
		t.Errorf("the same phase: the time is %v", next.Status.LastPhaseTransitionTime)
	}
	next.Status.Phase = corev1.VolumeAvailable
	core.PersistentVolumes.PrepareStatus(next, v)
	isNow("a new phase", next.Status.LastPhaseTransitionTime)
	next.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}
	core.PersistentVolumes.PrepareStatus(next, v)
	isNow("a new phase without a time", next.Status.LastPhaseTransitionTime)

	own := metav1.NewTime(began.Add(-time.Minute))
	next = v.DeepCopy()
	next.Status.Phase, next.Status.LastPhaseTransitionTime = corev1.VolumeAvailable, &own
	core.PersistentVolumes.PrepareStatus(next, v)
	if !next.Status.LastPhaseTransitionTime.Equal(&own) {
		t.Errorf("a time that the writer chose: %v", next.Status.LastPhaseTransitionTime)
	}
}
