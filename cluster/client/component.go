package client

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
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

// Informers returns a factory whose objects have no managedFields: no component reads them, and they
// are half of an object. A write without them leaves them to the API server.
func Informers(c kubernetes.Interface, options ...informers.SharedInformerOption) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(c, 0, append(options, informers.WithTransform(withoutManagedFields))...)
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
