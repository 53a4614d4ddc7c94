package netpol

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// recheck is when the pods are looked at again that are known by their interface alone.
const recheck = time.Second

// attached are this node's pods as the node has them. The API server has a pod's address after its containers have started,
// and a pod that is deleted by force, or that has just terminated, is gone there before its interface is.
type attached struct {
	mu       sync.Mutex
	pods     map[types.UID]attachedPod
	waiting  []chan<- error // for the end of a synchronization that begins after now
	recheck  *time.Timer    // of the next synchronization while pods are known by their interface alone
	failures int            // synchronizations since the last success
	failure  error          // of the last of them
}

// attachedPod is a pod of this node with its address.
type attachedPod struct {
	pod      *v1.Pod
	starting bool // with an address that the API server may not have yet
}

// Starting makes the policies hold for the address of a pod of this node before its containers start. It returns nil when rules with it
// are written, or at once where no policy selects the pod. It returns an error if they are not written before ctx ends, or
// cannot be written on this node.
func (e *Enforcer) Starting(ctx context.Context, pod *v1.Pod, ip netip.Addr) error {
	if e.cfg.Attached == nil {
		return nil
	}
	done := e.attach(pod, ip)
	e.changes.Notify()
	var failed error
	for {
		if selected, err := e.selects(pod); err != nil || !selected {
			return err
		}
		if err := e.cannot(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), failed)
		case failed = <-done:
			if failed == nil {
				return nil
			}
			done = e.attach(pod, ip) // for the next attempt of Run
		case <-time.After(retry): // it may have begun before that
			e.changes.Notify()
		}
	}
}

// end passes the result of a synchronization on to those that have waited for it.
func (e *Enforcer) end(waiting []chan<- error, err error) {
	a := &e.attached
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure = err; err == nil {
		a.failures = 0
	} else {
		a.failures++
	}
	for _, done := range waiting {
		done <- err
	}
}

// failuresOfNode is after how many synchronizations without success a node counts as one that cannot enforce policies, such as
// one whose kernel has no sets: nothing waits for it.
const failuresOfNode = 2

// cannot returns why the node cannot enforce policies, nil if it can or has not tried often enough.
func (e *Enforcer) cannot() error {
	select {
	case <-e.ready:
		return nil
	default:
	}
	a := &e.attached
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failures < failuresOfNode {
		return nil
	}
	return a.failure
}

// attach records a pod that starts, and returns what gets the result of a synchronization that begins after now.
func (e *Enforcer) attach(pod *v1.Pod, ip netip.Addr) <-chan error {
	a, done := &e.attached, make(chan error, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pods[pod.UID] = attachedPod{withAddress(pod, ip.String()), true}
	a.waiting = append(a.waiting, done)
	return done
}

// selects reports whether a policy selects the pod, as any may while policies are not known yet.
func (e *Enforcer) selects(pod *v1.Pod) (bool, error) {
	if slices.ContainsFunc(e.synced, func(has cache.InformerSynced) bool { return !has() }) {
		return true, nil
	}
	list, err := e.policies.NetworkPolicies(pod.Namespace).List(labels.Everything())
	for _, p := range list {
		if selector(&p.Spec.PodSelector).Matches(labels.Set(pod.Labels)) {
			return true, err
		}
	}
	return false, err
}

// withAddress returns the pod with an address, as one that has not terminated.
func withAddress(pod *v1.Pod, ip string) *v1.Pod {
	out := *pod
	out.Status = v1.PodStatus{PodIP: ip}
	return &out
}

// begin returns the pods of all nodes, those of this one as they are attached, and who waits for the end of this synchronization.
func (e *Enforcer) begin(stored []*v1.Pod) (pods []*v1.Pod, waiting []chan<- error) {
	a := &e.attached
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting, a.waiting = a.waiting, nil
	if e.cfg.Attached == nil {
		return stored, waiting
	}
	seen, addresses, held := map[types.UID]bool{}, map[string]bool{}, false
	for _, pod := range stored {
		if pod.Spec.NodeName == e.cfg.NodeName {
			seen[pod.UID] = true
			now := e.asAttached(pod)
			held = held || now != pod
			pod = now
			addresses[pod.Status.PodIP] = true
		}
		pods = append(pods, pod)
	}
	for uid, have := range a.pods {
		switch {
		case seen[uid]:
		case !e.cfg.Attached(uid):
			delete(a.pods, uid)
		case !addresses[have.pod.Status.PodIP]: // else a static pod, whose mirror has another uid
			pods, held = append(pods, have.pod), true
		}
	}
	if held {
		a.recheck.Reset(recheck)
	}
	return pods, waiting
}

// asAttached returns a stored pod of this node, with the address that its interface has where the stored one is none or an older one.
func (e *Enforcer) asAttached(pod *v1.Pod) *v1.Pod {
	have, known := e.attached.pods[pod.UID]
	ip, ok := address(pod)
	switch {
	case ok && (!known || !have.starting || have.pod.Status.PodIP == ip.String()):
		e.attached.pods[pod.UID] = attachedPod{pod: pod}
	case known && e.cfg.Attached(pod.UID):
		pod = withAddress(pod, have.pod.Status.PodIP)
		e.attached.pods[pod.UID] = attachedPod{pod, have.starting}
	default:
		delete(e.attached.pods, pod.UID)
	}
	return pod
}
