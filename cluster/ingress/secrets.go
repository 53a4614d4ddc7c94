package ingress

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
)

// tlsSecrets returns the informers of Secrets that are certificates: this process has no other one in memory.
func tlsSecrets(c kubernetes.Interface) *client.SharedInformers {
	only := fields.OneTermEqualSelector("type", string(corev1.SecretTypeTLS)).String()
	return client.InformersOf(c, func(o *metav1.ListOptions) { o.FieldSelector = only })
}
