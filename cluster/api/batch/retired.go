package batch

import (
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"

	"wheelhouse/cluster/api"
)

// CronJobsV1beta1 has the shape of batch/v1.
var CronJobsV1beta1 = api.Retired[*batchv1beta1.CronJob, *batchv1.CronJob]{}.Version()
