package dns

import (
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/client"
)

const (
	byService = "dns-service" // slices by namespace/service
	byAddress = "dns-address" // services by cluster IP, slices by endpoint
)

// informerView is the View of the informers' caches.
type informerView struct {
	namespaces, services, slices cache.SharedIndexInformer
}

func newInformerView(f *client.SharedInformers) (*informerView, error) {
	l := &informerView{
		namespaces: f.Core().V1().Namespaces().Informer(),
		services:   f.Core().V1().Services().Informer(),
		slices:     f.Discovery().V1().EndpointSlices().Informer(),
	}
	err := l.services.AddIndexers(cache.Indexers{byAddress: func(obj any) ([]string, error) {
		return obj.(*v1.Service).Spec.ClusterIPs, nil
	}})
	if err != nil {
		return nil, err
	}
	return l, l.slices.AddIndexers(cache.Indexers{
		byService: func(obj any) ([]string, error) {
			s := obj.(*discovery.EndpointSlice)
			return []string{s.Namespace + "/" + s.Labels[discovery.LabelServiceName]}, nil
		},
		byAddress: func(obj any) (ips []string, err error) {
			for _, e := range obj.(*discovery.EndpointSlice).Endpoints {
				ips = append(ips, e.Addresses...)
			}
			return ips, nil
		},
	})
}

func (l *informerView) synced() []cache.InformerSynced {
	return []cache.InformerSynced{l.namespaces.HasSynced, l.services.HasSynced, l.slices.HasSynced}
}

// Namespace implements View.
func (l *informerView) Namespace(name string) bool {
	_, ok, err := l.namespaces.GetIndexer().GetByKey(name)
	return ok && err == nil
}

// Service implements View.
func (l *informerView) Service(namespace, name string) *v1.Service {
	obj, ok, err := l.services.GetIndexer().GetByKey(namespace + "/" + name)
	if !ok || err != nil {
		return nil
	}
	return obj.(*v1.Service)
}

// Slices implements View.
func (l *informerView) Slices(namespace, service string) []*discovery.EndpointSlice {
	return found[*discovery.EndpointSlice](l.slices, byService, namespace+"/"+service)
}

// At implements View.
func (l *informerView) At(ip string) (*v1.Service, []*discovery.EndpointSlice) {
	slices := found[*discovery.EndpointSlice](l.slices, byAddress, ip)
	if services := found[*v1.Service](l.services, byAddress, ip); len(services) > 0 {
		return services[0], slices
	}
	return nil, slices
}

func found[T any](informer cache.SharedIndexInformer, index, key string) (list []T) {
	objs, err := informer.GetIndexer().ByIndex(index, key)
	if err != nil { // only for an index that does not exist
		return nil
	}
	for _, obj := range objs {
		list = append(list, obj.(T))
	}
	return list
}
