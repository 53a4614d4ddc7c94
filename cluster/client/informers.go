package client

import (
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apps "k8s.io/client-go/informers/apps/v1"
	autoscaling "k8s.io/client-go/informers/autoscaling/v2"
	batch "k8s.io/client-go/informers/batch/v1"
	coordination "k8s.io/client-go/informers/coordination/v1"
	core "k8s.io/client-go/informers/core/v1"
	discovery "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/informers/internalinterfaces"
	networking "k8s.io/client-go/informers/networking/v1"
	policy "k8s.io/client-go/informers/policy/v1"
	rbac "k8s.io/client-go/informers/rbac/v1"
	storage "k8s.io/client-go/informers/storage/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// SharedInformers are the informers of one process, each kind's objects once, without managedFields: no
// component reads those, and they are half of an object. A write without them leaves them to the API server.
// It is client-go's SharedInformerFactory for the groups and versions that components read; that one has all
// of them, which would be a fiftieth of the program.
type SharedInformers struct {
	client kubernetes.Interface
	tweak  func(*metav1.ListOptions)

	mu        sync.Mutex
	informers map[reflect.Type]*sharedInformer
	running   sync.WaitGroup
	ended     bool
}

type sharedInformer struct {
	cache.SharedIndexInformer
	started bool
}

// Informers returns informers of all objects. Start starts those that were asked for.
func Informers(c kubernetes.Interface) *SharedInformers { return InformersOf(c, nil) }

// InformersOf returns informers of the objects that tweak selects.
func InformersOf(c kubernetes.Interface, tweak func(*metav1.ListOptions)) *SharedInformers {
	return &SharedInformers{client: c, tweak: tweak, informers: map[reflect.Type]*sharedInformer{}}
}

// V1 is a group with the informers of its version v1.
type V1[T any] struct{ of T }

// V1 returns them.
func (g V1[T]) V1() T { return g.of }

// V2 is a group with the informers of its version v2.
type V2[T any] struct{ of T }

// V2 returns them.
func (g V2[T]) V2() T { return g.of }

// Core returns the informers of the core group.
func (f *SharedInformers) Core() V1[core.Interface] {
	return V1[core.Interface]{core.New(f, "", f.tweak)}
}

// Apps returns the informers of apps.
func (f *SharedInformers) Apps() V1[apps.Interface] {
	return V1[apps.Interface]{apps.New(f, "", f.tweak)}
}

// Autoscaling returns the informers of autoscaling.
func (f *SharedInformers) Autoscaling() V2[autoscaling.Interface] {
	return V2[autoscaling.Interface]{autoscaling.New(f, "", f.tweak)}
}

// Batch returns the informers of batch.
func (f *SharedInformers) Batch() V1[batch.Interface] {
	return V1[batch.Interface]{batch.New(f, "", f.tweak)}
}

// Coordination returns the informers of coordination.k8s.io.
func (f *SharedInformers) Coordination() V1[coordination.Interface] {
	return V1[coordination.Interface]{coordination.New(f, "", f.tweak)}
}

// Discovery returns the informers of discovery.k8s.io.
func (f *SharedInformers) Discovery() V1[discovery.Interface] {
	return V1[discovery.Interface]{discovery.New(f, "", f.tweak)}
}

// Networking returns the informers of networking.k8s.io.
func (f *SharedInformers) Networking() V1[networking.Interface] {
	return V1[networking.Interface]{networking.New(f, "", f.tweak)}
}

// Policy returns the informers of policy.
func (f *SharedInformers) Policy() V1[policy.Interface] {
	return V1[policy.Interface]{policy.New(f, "", f.tweak)}
}

// Rbac returns the informers of rbac.authorization.k8s.io.
func (f *SharedInformers) Rbac() V1[rbac.Interface] {
	return V1[rbac.Interface]{rbac.New(f, "", f.tweak)}
}

// Storage returns the informers of storage.k8s.io.
func (f *SharedInformers) Storage() V1[storage.Interface] {
	return V1[storage.Interface]{storage.New(f, "", f.tweak)}
}

// ForResource returns the informer of a resource if components read it as a whole, else nil: what needs only
// the metadata of others watches that.
func (f *SharedInformers) ForResource(r schema.GroupVersionResource) cache.SharedIndexInformer {
	of := whole[r]
	if of == nil {
		return nil
	}
	return of(f)
}

// whole has the resources whose objects a controller, the scheduler or the DNS reads.
var whole = map[schema.GroupVersionResource]func(*SharedInformers) cache.SharedIndexInformer{
	{Version: "v1", Resource: "configmaps"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().ConfigMaps().Informer() },
	{Version: "v1", Resource: "endpoints"}:  func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().Endpoints().Informer() },
	{Version: "v1", Resource: "namespaces"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().Namespaces().Informer() },
	{Version: "v1", Resource: "nodes"}:      func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().Nodes().Informer() },
	{Version: "v1", Resource: "persistentvolumeclaims"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Core().V1().PersistentVolumeClaims().Informer()
	},
	{Version: "v1", Resource: "persistentvolumes"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Core().V1().PersistentVolumes().Informer()
	},
	{Version: "v1", Resource: "pods"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().Pods().Informer() },
	{Version: "v1", Resource: "replicationcontrollers"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Core().V1().ReplicationControllers().Informer()
	},
	{Version: "v1", Resource: "resourcequotas"}:  func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().ResourceQuotas().Informer() },
	{Version: "v1", Resource: "serviceaccounts"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().ServiceAccounts().Informer() },
	{Version: "v1", Resource: "services"}:        func(f *SharedInformers) cache.SharedIndexInformer { return f.Core().V1().Services().Informer() },
	{Group: "apps", Version: "v1", Resource: "controllerrevisions"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Apps().V1().ControllerRevisions().Informer()
	},
	{Group: "apps", Version: "v1", Resource: "daemonsets"}:   func(f *SharedInformers) cache.SharedIndexInformer { return f.Apps().V1().DaemonSets().Informer() },
	{Group: "apps", Version: "v1", Resource: "deployments"}:  func(f *SharedInformers) cache.SharedIndexInformer { return f.Apps().V1().Deployments().Informer() },
	{Group: "apps", Version: "v1", Resource: "replicasets"}:  func(f *SharedInformers) cache.SharedIndexInformer { return f.Apps().V1().ReplicaSets().Informer() },
	{Group: "apps", Version: "v1", Resource: "statefulsets"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Apps().V1().StatefulSets().Informer() },
	{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Autoscaling().V2().HorizontalPodAutoscalers().Informer()
	},
	{Group: "batch", Version: "v1", Resource: "cronjobs"}:             func(f *SharedInformers) cache.SharedIndexInformer { return f.Batch().V1().CronJobs().Informer() },
	{Group: "batch", Version: "v1", Resource: "jobs"}:                 func(f *SharedInformers) cache.SharedIndexInformer { return f.Batch().V1().Jobs().Informer() },
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}: func(f *SharedInformers) cache.SharedIndexInformer { return f.Coordination().V1().Leases().Informer() },
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Discovery().V1().EndpointSlices().Informer()
	},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Policy().V1().PodDisruptionBudgets().Informer()
	},
	{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}: func(f *SharedInformers) cache.SharedIndexInformer {
		return f.Storage().V1().StorageClasses().Informer()
	},
}

// InformerFor implements internalinterfaces.SharedInformerFactory.
func (f *SharedInformers) InformerFor(obj runtime.Object, make internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := reflect.TypeOf(obj)
	if known := f.informers[of]; known != nil {
		return known.SharedIndexInformer
	}
	i := make(f.client, 0)
	_ = i.SetTransform(withoutManagedFields) // it fails only after the start
	f.informers[of] = &sharedInformer{SharedIndexInformer: i}
	return i
}

// InformerName implements internalinterfaces.SharedInformerFactory: the informers have no metrics.
func (f *SharedInformers) InformerName() *cache.InformerName { return nil }

// Start starts the informers that were not started before. They end with stop.
func (f *SharedInformers) Start(stop <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	for _, i := range f.informers {
		if !i.started {
			i.started = true
			f.running.Go(func() { i.Run(stop) })
		}
	}
}

// WaitForCacheSync waits for the informers that were started, and returns which have synced.
func (f *SharedInformers) WaitForCacheSync(stop <-chan struct{}) map[reflect.Type]bool {
	f.mu.Lock()
	started := map[reflect.Type]cache.SharedIndexInformer{}
	for of, i := range f.informers {
		if i.started {
			started[of] = i.SharedIndexInformer
		}
	}
	f.mu.Unlock()
	synced := map[reflect.Type]bool{}
	for of, i := range started {
		synced[of] = cache.WaitForCacheSync(stop, i.HasSynced)
	}
	return synced
}

// Shutdown waits for the informers, after the end of their stop channels. None starts afterwards.
func (f *SharedInformers) Shutdown() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.running.Wait()
}
