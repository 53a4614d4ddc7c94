// Package proxy makes services reachable on one node: it turns services and EndpointSlices
// into iptables rules, in the network namespace of the process.
//
// It owns the KUBE-* chains of the tables nat and filter and the anchors that jump to them
// (chains.go), and nothing else. rules.go computes their content, package netfilter writes
// it. It serves the health checks of load balancers at the services' health check node
// ports. The rules stay when the process ends, so that traffic continues while it is
// restarted; the caller removes them with Cleanup.
package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/netfilter"
)

const (
	maxPause = time.Second // between two synchronizations while changes keep coming
	retry    = time.Second
	resync   = 5 * time.Minute
)

// ProxyName is the label of a service that another proxy serves.
const ProxyName = "service.kubernetes.io/service-proxy-name"

// Config is what the proxy is given. The caller starts the informers after New.
type Config struct {
	Informers   *client.SharedInformers
	NodeName    string
	ClusterCIDR string               // all pods, such as 10.246.0.0/16
	ServiceCIDR string               // all cluster IPs, such as 10.247.0.0/16; may be empty
	Recorder    record.EventRecorder // of addresses that a service is refused; may be nil
	Repaired    func(what string)    // is called with what another program has removed and Run has written again; may be nil
	Journal     *journal.Log         // of when the rules of each service were written, by the service's uid; may be nil
	Log         *slog.Logger
}

// Proxy keeps one node's rules. Make it with New.
type Proxy struct {
	cfg      Config
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	nodes    corelisters.NodeLister
	synced   []cache.InformerSynced
	reported map[types.UID]string // by service, the refusals in its last event
	changes  netfilter.Changes
	ready    chan struct{}
}

// New registers with the informers; nothing is changed on the machine before Run.
func New(cfg Config) (*Proxy, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	services, endpoints, nodes := cfg.Informers.Core().V1().Services(), cfg.Informers.Discovery().V1().EndpointSlices(), cfg.Informers.Core().V1().Nodes()
	p := &Proxy{
		cfg: cfg, services: services.Lister(), slices: endpoints.Lister(), nodes: nodes.Lister(),
		changes: netfilter.NewChanges(), ready: make(chan struct{}),
	}
	for _, informer := range []cache.SharedIndexInformer{services.Informer(), endpoints.Informer(), nodes.Informer()} {
		reg, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: p.notify, UpdateFunc: p.changedFrom, DeleteFunc: p.notify,
		})
		if err != nil {
			return nil, err
		}
		p.synced = append(p.synced, reg.HasSynced)
	}
	return p, nil
}

// Ready is closed when the rules are in place for the first time.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

func (p *Proxy) notify(any) { p.changes.Notify() }

// changedFrom ignores nodes' heartbeats: only zones, addresses and ports matter.
func (p *Proxy) changedFrom(old, now any) {
	before, isNode := old.(*v1.Node)
	after, ok := now.(*v1.Node)
	if isNode && ok && before.Labels[v1.LabelTopologyZone] == after.Labels[v1.LabelTopologyZone] &&
		slices.Equal(before.Status.Addresses, after.Status.Addresses) && before.Status.DaemonEndpoints == after.Status.DaemonEndpoints {
		return
	}
	p.notify(now)
}

// zone returns the node's zone, "" while it is unknown.
func (p *Proxy) zone() string {
	if node, err := p.nodes.Get(p.cfg.NodeName); err == nil {
		return node.Labels[v1.LabelTopologyZone]
	}
	return ""
}

// Run keeps the rules until ctx ends, and leaves them.
func (p *Proxy) Run(ctx context.Context) error {
	applier, err := netfilter.NewApplier(owner)
	if err != nil {
		return err
	}
	p.tune()
	if !cache.WaitForCacheSync(ctx.Done(), p.synced...) {
		return ctx.Err()
	}
	rules := &compiler{node: Node{Name: p.cfg.NodeName, ClusterCIDR: p.cfg.ClusterCIDR, ServiceCIDR: p.cfg.ServiceCIDR, RandomFully: applier.RandomFully()}}
	var udp flusher
	health := newHealth(p.cfg.Log)
	defer health.close()
	keeper := netfilter.Keeper{
		Name: "service rules", Rules: applier, Changes: p.changes, Ready: p.ready,
		Sync: func(ctx context.Context) error {
			err := p.sync(ctx, rules, applier, &udp, health)
			if err != nil {
				health.failed()
			}
			return err
		},
		Repaired: p.cfg.Repaired, MaxPause: maxPause, Retry: retry, Resync: resync, Log: p.cfg.Log,
	}
	return keeper.Run(ctx)
}

// tune sets the kernel parameters that the rules need, in the network namespace.
func (p *Proxy) tune() {
	for _, s := range []struct{ name, value, otherwise string }{
		// KUBE-FIREWALL drops packets from other hosts.
		{"ipv4/conf/all/route_localnet", "1", "node ports will not answer on localhost"},
		// A translated connection must be tracked while it is half closed; one that no side
		// closed need not be tracked for five days.
		{"netfilter/nf_conntrack_tcp_timeout_close_wait", "3600", "half-closed connections may break after a minute"},
		{"netfilter/nf_conntrack_tcp_timeout_established", "86400", "dead connections are tracked for long"},
	} {
		if err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0o644); err != nil {
			p.cfg.Log.Warn(s.otherwise, "err", err)
		}
	}
}

func (p *Proxy) sync(ctx context.Context, rules *compiler, applier *netfilter.Applier, udp *flusher, health *healthServer) (err error) {
	began := time.Now()
	defer func() { synced(began, err) }()
	snapshot, err := p.snapshot()
	if err != nil {
		return err
	}
	rules.inZone(p.zone())
	want := rules.rules(snapshot)
	if err := applier.ApplyParts(ctx, netfilter.TableParts{"nat": want.NAT, "filter": want.Filter}); err != nil {
		return err
	}
	p.recordWritten(began, rules)
	health.update(want.Health)
	p.report(want.Refused)
	if err := udp.flush(want.UDP); err != nil {
		return err
	}
	return rules.retryConnections()
}

// report records an event about each service with refused addresses, once for each reason.
func (p *Proxy) report(refused []Refusal) {
	text := map[types.UID]string{}
	for _, r := range refused {
		text[r.Service.UID] += "Nodes do not serve " + r.At + ": " + r.Why + ". "
	}
	for _, r := range refused {
		if uid := r.Service.UID; p.cfg.Recorder != nil && p.reported[uid] != text[uid] {
			p.cfg.Recorder.Event(r.Service, v1.EventTypeWarning, "AddressRefused", strings.TrimSpace(text[uid]))
			p.cfg.Log.Warn("addresses of a service are refused", "service", r.Service.Namespace+"/"+r.Service.Name, "reason", text[uid])
		}
		if p.reported == nil {
			p.reported = map[types.UID]string{}
		}
		p.reported[r.Service.UID] = text[r.Service.UID]
	}
	maps.DeleteFunc(p.reported, func(uid types.UID, _ string) bool { return text[uid] == "" })
}

// Serves reports whether a service or slice with these labels is for this proxy: not for another
// one, and not labelled headless.
func Serves(labels map[string]string) bool {
	_, others := labels[ProxyName]
	_, headless := labels[v1.IsHeadlessService]
	return !others && !headless
}

func (p *Proxy) snapshot() (Snapshot, error) {
	var s Snapshot
	services, err := p.services.List(labels.Everything())
	if err != nil {
		return s, fmt.Errorf("listing services: %w", err)
	}
	for _, svc := range services {
		if Serves(svc.Labels) {
			s.Services = append(s.Services, svc)
		}
	}
	if s.Nodes, err = p.nodes.List(labels.Everything()); err != nil {
		return s, fmt.Errorf("listing nodes: %w", err)
	}
	list, err := p.slices.List(labels.Everything())
	if err != nil {
		return s, fmt.Errorf("listing endpoint slices: %w", err)
	}
	s.Slices = make(map[types.NamespacedName][]*discovery.EndpointSlice, len(list))
	for _, slice := range list {
		if svc := slice.Labels[discovery.LabelServiceName]; svc != "" && Serves(slice.Labels) {
			key := types.NamespacedName{Namespace: slice.Namespace, Name: svc}
			s.Slices[key] = append(s.Slices[key], slice)
		}
	}
	for _, of := range s.Slices { // in the same order each time, for the compiler
		slices.SortFunc(of, func(a, b *discovery.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	}
	return s, nil
}
