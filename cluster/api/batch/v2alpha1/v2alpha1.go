// Package v2alpha1 has the Go types of batch/v2alpha1, which k8s.io/api no longer has: a CronJob of the shape of
// batch/v1beta1. It has no rules; those are in the package batch.
package v2alpha1

import (
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is batch/v2alpha1.
var GroupVersion = schema.GroupVersion{Group: batchv1beta1.GroupName, Version: "v2alpha1"}

// CronJob is the kind CronJob. Its schema has the name that it has in batch/v1beta1, by which merge rules are looked up.
type CronJob struct {
	batchv1beta1.CronJob `json:",inline"`
}

// DeepCopyObject implements runtime.Object.
func (c *CronJob) DeepCopyObject() runtime.Object { return &CronJob{CronJob: *c.CronJob.DeepCopy()} }

// CronJobList is a list of them.
type CronJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CronJob `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *CronJobList) DeepCopyObject() runtime.Object {
	out := &CronJobList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*CronJob))
	}
	return out
}

// OpenAPIModelName returns the name of the type's schema.
func (CronJobList) OpenAPIModelName() string { return "io.k8s.api.batch.v2alpha1.CronJobList" }

// AddToScheme adds the types to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &CronJob{}, &CronJobList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
