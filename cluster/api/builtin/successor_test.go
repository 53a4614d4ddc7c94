package builtin

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestSuccessor(t *testing.T) {
	for _, c := range []struct{ version, name, want string }{
		{"extensions/v1beta1", "Job", "extensions/v1beta1 Job is not served; use batch/v1 Job"},
		{"extensions/v1beta1", "horizontalpodautoscalers", "extensions/v1beta1 HorizontalPodAutoscaler is not served; use autoscaling/v2 HorizontalPodAutoscaler"},
		{"autoscaling/v2beta2", "HorizontalPodAutoscaler", ""},
		{"batch/v2alpha1", "CronJob", ""},
		{"autoscaling/v2beta1", "HorizontalPodAutoscaler", ""},
		{"apps/v1alpha1", "PetSet", "apps/v1alpha1 PetSet is not served; use apps/v1 StatefulSet"},
		{"batch/v2alpha1", "ScheduledJob", "batch/v2alpha1 ScheduledJob is not served; use batch/v1 CronJob"},
		{"policy/v1beta1", "podsecuritypolicies", "policy/v1beta1 PodSecurityPolicy is not served; use the label pod-security.kubernetes.io/enforce of a namespace"},
		{"v1beta3", "Pod", "v1beta3 Pod is not served; use v1 Pod"},
		{"authentication.k8s.io/v1beta1", "TokenReview", ""},
		{"autoscaling/v2alpha1", "HorizontalPodAutoscaler", "autoscaling/v2alpha1 HorizontalPodAutoscaler is not served; use autoscaling/v2 HorizontalPodAutoscaler"},
		{"certificates.k8s.io/v1alpha1", "CertificateSigningRequest", "certificates.k8s.io/v1alpha1 CertificateSigningRequest is not served; use certificates.k8s.io/v1 CertificateSigningRequest"},
		{"apps/v1", "Deployment", ""},
		{"apps/v1beta1", "Deployment", ""},
		{"example.com/v1", "Deployment", ""},
		{"apps/v1", "Widget", ""},
	} {
		gv, err := schema.ParseGroupVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		if got := Table().Successor(gv, c.name); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.version, c.name, got, c.want)
		}
	}
}
