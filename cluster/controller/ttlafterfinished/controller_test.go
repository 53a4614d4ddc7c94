package ttlafterfinished

import (
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLeft(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	ttl := int32(60)
	ended := batch.JobCondition{Type: batch.JobFailed, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-50 * time.Second))}
	running := batch.JobCondition{Type: batch.JobFailureTarget, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}
	tests := []struct {
		name string
		job  batch.Job
		want time.Duration
		ok   bool
	}{
		{"runs", batch.Job{Spec: batch.JobSpec{TTLSecondsAfterFinished: &ttl}, Status: batch.JobStatus{Conditions: []batch.JobCondition{running}}}, 0, false},
		{"may stay", batch.Job{Status: batch.JobStatus{Conditions: []batch.JobCondition{ended}}}, 0, false},
		{"has ended", batch.Job{Spec: batch.JobSpec{TTLSecondsAfterFinished: &ttl}, Status: batch.JobStatus{Conditions: []batch.JobCondition{running, ended}}}, 10 * time.Second, true},
	}
	for _, tt := range tests {
		if got, ok := left(&tt.job, now); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %v, %v", tt.name, got, ok)
		}
	}
}
