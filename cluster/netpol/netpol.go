// Package netpol enforces NetworkPolicies on one node: it turns policies, pods and namespaces into packet rules and sets of addresses,
// in the network namespace of the process.
//
// A packet of a pod of this node is dropped unless, where policies isolate the sending pod, one of them admits the receiver, and where
// policies isolate the receiving pod, one of them admits the sender. Connections that were admitted go on, with their answers, and
// whatever policies say later. Never dropped is what a pod exchanges with its own node, probes included, and with itself. A service's
// address is translated before, a source address that the node gives to what leaves for others after that: policies are
// about the addresses of pods, and of clients outside where their packets reach the pod's node. Pods in the node's network are the node.
// SCTP is admitted where no ports are named only.
//
// Compile is pure. The caller must have the right to list and watch policies, namespaces, EndpointSlices, and pods in the form that the
// API server gives to who may read their addresses; New needs no more of a pod than that.
package netpol

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/netfilter"
)

const (
	maxPause = 200 * time.Millisecond // between two synchronizations while changes keep coming
	retry    = 5 * time.Second        // after a failure
	resync   = 10 * time.Minute       // between two complete writes
)

// dnsService is the Service of the cluster's DNS, in the namespace kube-system.
const dnsService = "kube-dns"

// Config is what an Enforcer needs.
type Config struct {
	Informers *client.SharedInformers
	NodeName  string
	Recorder  record.EventRecorder // of policies whose rules are not in force; may be nil
	Repaired  func(what string)    // is called with what another program has removed and Run has written again; may be nil
	Log       *slog.Logger

	Bridge string // of the pods of this node; may be empty
	// Attached reports whether a pod's interface is on this node. With it policies hold from Starting until the interface
	// is gone; nil: while the API server has the pod's address.
	Attached func(pod types.UID) bool
}

// Enforcer keeps one node's rules. Make it with New.
type Enforcer struct {
	cfg        Config
	policies   networkinglisters.NetworkPolicyLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	slices     discoverylisters.EndpointSliceLister
	synced     []cache.InformerSynced
	reported   map[types.UID]string // by policy, what its last event said
	attached   attached
	changes    netfilter.Changes
	ready      chan struct{}
}

// New registers with the informers; nothing is changed on the machine before Run.
func New(cfg Config) (*Enforcer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	core := cfg.Informers.Core().V1()
	policies, endpoints := cfg.Informers.Networking().V1().NetworkPolicies(), cfg.Informers.Discovery().V1().EndpointSlices()
	e := &Enforcer{
		cfg: cfg, policies: policies.Lister(), pods: core.Pods().Lister(), namespaces: core.Namespaces().Lister(), slices: endpoints.Lister(),
		reported: map[types.UID]string{}, attached: attached{pods: map[types.UID]attachedPod{}}, changes: netfilter.NewChanges(), ready: make(chan struct{}),
	}
	e.attached.recheck = time.AfterFunc(recheck, e.changes.Notify)
	e.attached.recheck.Stop()
	for _, of := range []struct {
		informer cache.SharedIndexInformer
		same     func(old, now any) bool
		others   func(any) bool
	}{
		{policies.Informer(), sameAs(samePolicy), nil},
		{core.Pods().Informer(), sameAs(samePod), nil},
		{core.Namespaces().Informer(), sameAs(sameNamespace), nil},
		{endpoints.Informer(), nil, otherSlice},
	} {
		reg, err := of.informer.AddEventHandler(cache.FilteringResourceEventHandler{
			FilterFunc: func(obj any) bool { return of.others == nil || !of.others(obj) },
			Handler: cache.ResourceEventHandlerFuncs{
				AddFunc: e.notify, DeleteFunc: e.notify,
				UpdateFunc: func(old, now any) {
					if of.same == nil || !of.same(old, now) {
						e.notify(now)
					}
				},
			},
		})
		if err != nil {
			return nil, err
		}
		e.synced = append(e.synced, reg.HasSynced)
	}
	return e, nil
}

func sameAs[T any](same func(old, now T) bool) func(old, now any) bool {
	return func(old, now any) bool {
		before, ok := old.(T)
		after, also := now.(T)
		return ok && also && same(before, after)
	}
}

func samePolicy(old, now *networkingv1.NetworkPolicy) bool {
	return old.UID == now.UID && old.Generation == now.Generation && now.Generation > 0
}

func sameNamespace(old, now *v1.Namespace) bool { return maps.Equal(old.Labels, now.Labels) }

// samePod ignores what the rules do not depend on, which is most of what changes in a pod. The ports of its containers cannot.
func samePod(old, now *v1.Pod) bool {
	before, had := address(old)
	after, has := address(now)
	return old.UID == now.UID && had == has && before == after && old.Spec.NodeName == now.Spec.NodeName && maps.Equal(old.Labels, now.Labels)
}

func otherSlice(obj any) bool {
	slice, ok := obj.(*discovery.EndpointSlice)
	return ok && (slice.Namespace != metav1.NamespaceSystem || slice.Labels[discovery.LabelServiceName] != dnsService)
}

// Ready is closed when the rules are in place for the first time.
func (e *Enforcer) Ready() <-chan struct{} { return e.ready }

func (e *Enforcer) notify(any) { e.changes.Notify() }

// Run keeps the rules until ctx ends, and leaves them.
func (e *Enforcer) Run(ctx context.Context) error {
	chains, err := netfilter.NewApplier(owner)
	if err != nil {
		return err
	}
	if !cache.WaitForCacheSync(ctx.Done(), e.synced...) {
		return ctx.Err()
	}
	k := kernel{chains, netfilter.NewSetApplier(setPrefix)}
	keeper := netfilter.Keeper{
		Name: "rules of network policies", Rules: k, Changes: e.changes, Ready: e.ready,
		Sync:     func(ctx context.Context) error { return e.sync(ctx, k) },
		Repaired: e.cfg.Repaired, MaxPause: maxPause, Retry: retry, Resync: resync, Log: e.cfg.Log,
	}
	return keeper.Run(ctx)
}

// kernel is what writes to the kernel.
type kernel struct {
	chains *netfilter.Applier
	sets   *netfilter.SetApplier
}

// Damage is that of the chains.
func (k kernel) Damage() string { return k.chains.Damage() }

// Holds implements netfilter.Rules. It looks at both in any case, so that one synchronization mends both.
func (k kernel) Holds() bool {
	chains, sets := k.chains.Holds(), k.sets.Holds()
	return chains && sets
}

// Forget implements netfilter.Rules.
func (k kernel) Forget() {
	k.chains.Forget()
	k.sets.Forget()
}

// apply writes rules between what the sets get and what they lose: at no time a pod is without its rules.
func (k kernel) apply(ctx context.Context, want *Ruleset) error {
	err := k.sets.Extend(want.Sets)
	if err == nil {
		err = k.chains.Apply(ctx, netfilter.Tables{table: want.Chains})
	}
	if err == nil {
		err = k.sets.Reduce(want.Sets)
	}
	return err
}

func (e *Enforcer) sync(ctx context.Context, k kernel) (err error) {
	var waiting []chan<- error
	defer func(start time.Time) {
		synced(start, err)
		e.end(waiting, err)
	}(time.Now())
	snapshot, err := e.snapshot()
	snapshot.Pods, waiting = e.begin(snapshot.Pods)
	if err != nil {
		return err
	}
	want := Compile(e.cfg.NodeName, snapshot)
	e.report(want.Refused)
	return k.apply(ctx, want)
}

func (e *Enforcer) snapshot() (s Snapshot, err error) {
	if s.Policies, err = e.policies.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing network policies: %w", err)
	}
	if s.Namespaces, err = e.namespaces.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing namespaces: %w", err)
	}
	if s.Pods, err = e.pods.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing pods: %w", err)
	}
	list, err := e.slices.EndpointSlices(metav1.NamespaceSystem).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: dnsService}))
	if err != nil {
		return s, fmt.Errorf("listing endpoint slices: %w", err)
	}
	s.DNS, s.Bridge = outsideOfPods(list), e.cfg.Bridge
	return s, nil
}

// outsideOfPods returns the addresses and ports of endpoints that are no pods.
func outsideOfPods(list []*discovery.EndpointSlice) (all []netip.AddrPort) {
	for _, slice := range list {
		for _, endpoint := range slice.Endpoints {
			if endpoint.TargetRef != nil || len(endpoint.Addresses) == 0 {
				continue
			}
			ip, err := netip.ParseAddr(endpoint.Addresses[0])
			if err != nil || !ip.Is4() {
				continue
			}
			for _, port := range slice.Ports {
				if port.Port != nil && !slices.Contains(all, netip.AddrPortFrom(ip, uint16(*port.Port))) {
					all = append(all, netip.AddrPortFrom(ip, uint16(*port.Port)))
				}
			}
		}
	}
	return all
}

// report records an event about each policy whose rules are not in force, once for each reason.
func (e *Enforcer) report(refused []Refusal) {
	text := map[types.UID]string{}
	for _, r := range refused {
		uid := r.Policy.UID
		text[uid] = strings.TrimSpace(text[uid] + " Nodes isolate the pods, and admit nothing by this policy: " + r.Why + ".")
		if e.reported[uid] != text[uid] {
			e.cfg.Log.Warn("rules of a network policy are refused", "policy", r.Policy.Namespace+"/"+r.Policy.Name, "reason", r.Why)
			if e.cfg.Recorder != nil {
				e.cfg.Recorder.Event(r.Policy, v1.EventTypeWarning, "PolicyRefused", text[uid])
			}
		}
	}
	e.reported = text
}
