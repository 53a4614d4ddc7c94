package podspec

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Seconds is a time in the precision of the API.
func Seconds(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.Truncate(time.Second))
}

// ContainerStatus returns the status of that name, nil if there is none.
func ContainerStatus(status *v1.PodStatus, name string) *v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{status.ContainerStatuses, status.InitContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// SetCondition adds or replaces a condition. The time of the last transition stays where
// the value is the same.
func SetCondition(status *v1.PodStatus, c v1.PodCondition, now time.Time) {
	c.LastTransitionTime = Seconds(now)
	for i := range status.Conditions {
		if old := &status.Conditions[i]; old.Type == c.Type {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			c.LastProbeTime = old.LastProbeTime
			*old = c
			return
		}
	}
	status.Conditions = append(status.Conditions, c)
}
