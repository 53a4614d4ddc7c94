package batch

import (
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"

	"wheelhouse/cluster/api"
)

// CronJobsV1beta1 differs in its name alone.
var CronJobsV1beta1 = api.Retired[*batchv1beta1.CronJob, *batchv1.CronJob]{
	GroupVersion: batchv1beta1.SchemeGroupVersion, Of: CronJobs,
	Object: &batchv1beta1.CronJob{}, List: &batchv1beta1.CronJobList{},
}.Kind()
