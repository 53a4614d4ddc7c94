package batch

import (
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/batch/v2alpha1"
)

// The versions of 2017 to 2022 have the shape of batch/v1.
var (
	CronJobsV1beta1  = api.Retired[*batchv1beta1.CronJob, *batchv1.CronJob]{}.Version()
	cronJobsV2alpha1 = api.Retired[*v2alpha1.CronJob, *batchv1.CronJob]{
		Deprecated: "batch/v2alpha1 CronJob is deprecated in v1.8+, unavailable in v1.21+; use batch/v1 CronJob",
	}.Version()
)
