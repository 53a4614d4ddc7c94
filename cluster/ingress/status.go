package ingress

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// statusRetry is the time between attempts to write statuses that failed.
const statusRetry = time.Second

// statusWriter writes the addresses into the status of Ingresses, one after the other: routes do not wait for it.
type statusWriter struct {
	client kubernetes.Interface
	log    *slog.Logger
	due    chan struct{}

	mu      sync.Mutex
	pending []*networkingv1.Ingress // with the status to write
	written map[types.UID]bool      // has a status of this process
}

// set computes what is to be written. An Ingress that is no longer served loses the status that it got here.
func (w *statusWriter) set(served, all []*networkingv1.Ingress, addresses []netip.Addr) {
	want := make([]networkingv1.IngressLoadBalancerIngress, 0, len(addresses))
	for _, a := range addresses {
		want = append(want, networkingv1.IngressLoadBalancerIngress{IP: a.String()})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = w.pending[:0:0]
	ours, left := map[types.UID]bool{}, map[types.UID]bool{}
	for _, in := range served {
		ours[in.UID] = true
		w.add(in, want)
	}
	for _, in := range all {
		if !ours[in.UID] && w.written[in.UID] && len(in.Status.LoadBalancer.Ingress) > 0 {
			left[in.UID] = true // until it is seen without
			w.add(in, nil)
		}
	}
	w.written = ours
	for uid := range left {
		w.written[uid] = true
	}
	select {
	case w.due <- struct{}{}:
	default:
	}
}

func (w *statusWriter) add(in *networkingv1.Ingress, want []networkingv1.IngressLoadBalancerIngress) {
	if equality.Semantic.DeepEqual(in.Status.LoadBalancer.Ingress, want) {
		return
	}
	next := in.DeepCopy()
	next.Status.LoadBalancer.Ingress = want
	w.pending = append(w.pending, next)
}

func (w *statusWriter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.due:
		}
		w.mu.Lock()
		pending := w.pending
		w.pending = nil
		w.mu.Unlock()
		for _, in := range pending {
			w.write(ctx, in)
		}
	}
}

// write writes one status. After a conflict or a deletion the informer brings what is new, and another round.
func (w *statusWriter) write(ctx context.Context, in *networkingv1.Ingress) {
	_, err := w.client.NetworkingV1().Ingresses(in.Namespace).UpdateStatus(ctx, in, metav1.UpdateOptions{})
	if err == nil || ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return
	}
	w.log.Warn("the status of an Ingress is not written", "ingress", in.Namespace+"/"+in.Name, "err", err)
	time.AfterFunc(statusRetry, func() {
		w.mu.Lock()
		w.pending = append(w.pending, in) // stale by then: a conflict, and nothing is lost
		w.mu.Unlock()
		select {
		case w.due <- struct{}{}:
		default:
		}
	})
}
