// Loadbalancer gives every service of type LoadBalancer the addresses of the ready nodes, for
// a network in which nothing else hands out addresses. The service proxy of each node answers
// at them, as it does at any address of a load balancer. It needs an account that may read
// nodes and services, and patch the status of services.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var version = "1.0.0" // the image's tag; build.sh sets it

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx)
	stop()
	if err != nil {
		slog.Error("the load balancer ends", "err", err)
		os.Exit(1)
	}
}

// run keeps the services' addresses up to date until ctx is done.
func run(ctx context.Context) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := typedcorev1.NewForConfig(cfg)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { notify(changed) }, UpdateFunc: func(any, any) { notify(changed) }, DeleteFunc: func(any) { notify(changed) },
	}
	services := cache.NewSharedIndexInformer(cache.NewListWatchFromClient(client.RESTClient(), "services", metav1.NamespaceAll, fields.Everything()), &corev1.Service{}, 0, cache.Indexers{})
	nodes := cache.NewSharedIndexInformer(cache.NewListWatchFromClient(client.RESTClient(), "nodes", metav1.NamespaceAll, fields.Everything()), &corev1.Node{}, 0, cache.Indexers{})
	for _, informer := range []cache.SharedIndexInformer{services, nodes} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
		go informer.Run(ctx.Done())
	}
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced, nodes.HasSynced) {
		return ctx.Err()
	}
	slog.Info("the load balancer begins", "version", version)
	for {
		for _, p := range Assign(all[*corev1.Service](services.GetStore()), all[*corev1.Node](nodes.GetStore())) {
			if err := write(ctx, client, p); err != nil {
				slog.Error("the addresses are written at the next change or in ten seconds", "service", p.Namespace+"/"+p.Name, "err", err)
				time.AfterFunc(10*time.Second, func() { notify(changed) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// notify makes the next turn of the loop begin.
func notify(changed chan struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

func all[T any](store cache.Store) (list []T) {
	for _, o := range store.List() {
		list = append(list, o.(T))
	}
	return list
}

func write(ctx context.Context, client typedcorev1.ServicesGetter, a Assignment) error {
	body, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": a.Ingress}}})
	if err != nil {
		return err
	}
	_, err = client.Services(a.Namespace).Patch(ctx, a.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}
