package kubelet

import (
	"context"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// informers follows the API server: the node's pods, and all services for the
// variables that describe them.
type podInformers struct {
	k        *Kubelet
	pods     cache.SharedIndexInformer
	services informers.SharedInformerFactory
	lister   listers.ServiceLister
}

func newInformers(client kubernetes.Interface, node string, k *Kubelet) *podInformers {
	pods := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
	}))
	all := informers.NewSharedInformerFactory(client, 0)
	return &podInformers{
		k: k, pods: pods.Core().V1().Pods().Informer(),
		services: all, lister: all.Core().V1().Services().Lister(),
	}
}

// run passes the node's pods to the kubelet, once the services are listed: environments
// describe them.
func (s *podInformers) run(ctx context.Context) {
	s.services.Core().V1().Services().Informer()
	s.services.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.services.Core().V1().Services().Informer().HasSynced) {
		return
	}
	_, err := s.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.k.podChanged(o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { s.k.podChanged(o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if pod, ok := o.(*v1.Pod); ok {
				s.k.podRemoved(pod)
			}
		},
	})
	if err != nil {
		s.k.log.Error("follow the node's pods", "err", err)
		return
	}
	s.pods.RunWithContext(ctx)
}

func (s *podInformers) synced() bool { return s.pods.HasSynced() }

// has reports whether the API server has a pod of that uid on this node.
func (s *podInformers) has(uid string) bool {
	for _, o := range s.pods.GetStore().List() {
		if pod, ok := o.(*v1.Pod); ok && string(pod.UID) == uid {
			return true
		}
	}
	return false
}

// known are the pods of this node at the API server.
func (s *podInformers) known() []*v1.Pod {
	var out []*v1.Pod
	for _, o := range s.pods.GetStore().List() {
		if pod, ok := o.(*v1.Pod); ok {
			out = append(out, pod)
		}
	}
	return out
}

func (s *podInformers) allServices() []*v1.Service {
	all, err := s.lister.List(labels.Everything())
	if err != nil { // a cache's lister does not fail
		return nil
	}
	return all
}
