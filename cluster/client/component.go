package client

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// The names of components, by which the API server and its users know their writes: they are
// the field managers in metadata.managedFields, as upstream.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	Ingress           = "wheelhouse-ingress" // upstream has none
)

// As returns the configuration for a component: its user agent begins with the name.
func As(c *rest.Config, component string) *rest.Config {
	out := rest.CopyConfig(c)
	_, rest, _ := strings.Cut(rest.DefaultKubernetesUserAgent(), "/")
	out.UserAgent = component + "/" + rest
	return out
}

func withoutManagedFields(obj any) (any, error) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if m, err := meta.Accessor(obj); err == nil && m.GetManagedFields() != nil {
		m.SetManagedFields(nil)
	}
	return obj, nil
}
