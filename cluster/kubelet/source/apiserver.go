// Package source has the pods of one node: those of the API server (apiserver.go), and the
// static ones of the node's manifests (static.go), which have mirror pods at the API server
// (mirror.go). It runs nothing: it passes the pods on, and reads and writes at the API server
// only the mirrors. The caller runs Run of each in a goroutine.
package source

import (
	"context"
	"fmt"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// Handler is called for each pod of the node at the API server, mirror pods too.
type Handler interface {
	PodChanged(pod *v1.Pod) // new or changed
	PodRemoved(pod *v1.Pod) // the API server has dropped it
}

// APIServer follows the API server: the node's pods, and all services for the variables that
// describe them.
type APIServer struct {
	handler  Handler
	log      *slog.Logger
	pods     cache.SharedIndexInformer
	services *client.SharedInformers
	lister   listers.ServiceLister
}

// NewAPIServer follows nothing yet.
func NewAPIServer(c kubernetes.Interface, node string, handler Handler, log *slog.Logger) *APIServer {
	pods := client.InformersOf(c, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
	})
	all := client.Informers(c)
	return &APIServer{
		handler: handler, log: log, pods: pods.Core().V1().Pods().Informer(),
		services: all, lister: all.Core().V1().Services().Lister(),
	}
}

// Run passes the node's pods to the kubelet, once the services are listed: environments
// describe them.
func (s *APIServer) Run(ctx context.Context) {
	s.services.Core().V1().Services().Informer()
	s.services.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.services.Core().V1().Services().Informer().HasSynced) {
		return
	}
	if err := s.pods.SetTransform(fromAPI); err != nil {
		s.log.Error("follow the node's pods", "err", err)
		return
	}
	_, err := s.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.handler.PodChanged(o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { s.handler.PodChanged(o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if pod, ok := o.(*v1.Pod); ok {
				s.handler.PodRemoved(pod)
			}
		},
	})
	if err != nil {
		s.log.Error("follow the node's pods", "err", err)
		return
	}
	s.pods.RunWithContext(ctx)
}

// fromAPI marks a pod whose annotation says that it comes from a manifest of the node: whoever makes a pod at the API server
// writes its annotations. Upstream's kubelet replaces the annotation likewise.
func fromAPI(o any) (any, error) {
	if pod, ok := o.(*v1.Pod); ok && podspec.IsStatic(pod) {
		pod = pod.DeepCopy()
		pod.Annotations[podspec.AnnotationSource] = "api"
		return pod, nil
	}
	return o, nil
}

// Synced reports whether the pods of the API server are known.
func (s *APIServer) Synced() bool { return s.pods.HasSynced() }

// Has reports whether the API server has a pod of that uid on this node.
func (s *APIServer) Has(uid string) bool {
	for _, o := range s.pods.GetStore().List() {
		if pod, ok := o.(*v1.Pod); ok && string(pod.UID) == uid {
			return true
		}
	}
	return false
}

// Known are the pods of this node at the API server.
func (s *APIServer) Known() []*v1.Pod {
	var out []*v1.Pod
	for _, o := range s.pods.GetStore().List() {
		if pod, ok := o.(*v1.Pod); ok {
			out = append(out, pod)
		}
	}
	return out
}

// Services are those of all namespaces.
func (s *APIServer) Services() []*v1.Service {
	all, err := s.lister.List(labels.Everything())
	if err != nil { // a cache's lister does not fail
		return nil
	}
	return all
}

// Delete removes a pod's object at once, as nothing of it is left on the node.
func Delete(ctx context.Context, client kubernetes.Interface, ref cri.PodRef) error {
	zero, uid := int64(0), types.UID(ref.UID)
	err := client.CoreV1().Pods(ref.Namespace).Delete(ctx, ref.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete the pod: %w", err)
	}
	return nil
}
