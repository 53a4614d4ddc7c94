package why

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Short names for the table of kinds.
type (
	deployment  = appsv1.Deployment
	statefulSet = appsv1.StatefulSet
	daemonSet   = appsv1.DaemonSet
	replicaSet  = appsv1.ReplicaSet
	job         = batchv1.Job
	cronJob     = batchv1.CronJob
	ingress     = networkingv1.Ingress
	autoscaler  = autoscalingv2.HorizontalPodAutoscaler
)
