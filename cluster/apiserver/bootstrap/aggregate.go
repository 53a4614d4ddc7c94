package bootstrap

import (
	"context"
	"fmt"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// debounceDelay is the time from a change of the roles until the aggregates are written: the
// first pass creates seventy at once.
const debounceDelay = 200 * time.Millisecond

// aggregate writes into aggregating ClusterRoles the rules that result, for people who read
// them; the authorizer computes its own.
func (b *Bootstrap) aggregate(ctx context.Context) {
	changed := make(chan struct{}, 1)
	notify := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	// Rules come with every change of a role and are not needed for long: only the objects
	// of the last change are kept beside the cache.
	f := client.Informers(b.Client)
	informer := f.Rbac().V1().ClusterRoles().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, n any) { notify(n) }, DeleteFunc: notify,
	})
	if err != nil {
		b.Log.Error("following cluster roles", "err", err)
		return
	}
	f.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return
	}
	for {
		select {
		case <-ctx.Done():
			f.Shutdown()
			return
		case <-changed:
		}
		select {
		case <-ctx.Done():
			continue
		case <-time.After(debounceDelay):
		}
		if err := b.writeSums(ctx, informer.GetStore()); err != nil && ctx.Err() == nil {
			b.Log.Warn("aggregating cluster roles", "err", err)
			notify(nil)
		}
	}
}

func (b *Bootstrap) writeSums(ctx context.Context, store cache.Store) error {
	var all []*rbacv1.ClusterRole
	for _, o := range store.List() {
		if r, ok := o.(*rbacv1.ClusterRole); ok {
			all = append(all, r)
		}
	}
	for _, r := range all {
		if r.AggregationRule == nil {
			continue
		}
		sum := authz.AggregatedRules(r, all)
		if equality.Semantic.DeepEqual(sum, r.Rules) {
			continue
		}
		next := r.DeepCopy()
		next.Rules = sum
		if _, err := b.Client.RbacV1().ClusterRoles().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("cluster role %s: %w", r.Name, err)
		}
	}
	return nil
}
