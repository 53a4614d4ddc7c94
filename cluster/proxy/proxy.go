// Package proxy makes services reachable on one node: it turns services and
// endpoint slices into iptables rules, in the network namespace that the process
// runs in.
//
// It owns the KUBE-* chains of the tables nat and filter and the jumps to them, and
// nothing else. rules.go computes what they should hold, apply.go makes it so. It answers
// the health checks of load balancers at the services' health check node ports. The
// rules stay when the process ends, so that traffic flows while it is restarted;
// Cleanup removes them.
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
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

const (
	gather   = 3 * time.Millisecond // one change rarely comes alone
	maxPause = time.Second
	retry    = time.Second
	check    = 5 * time.Second // how long a flushed table stays unnoticed
	resync   = 5 * time.Minute
)

// ProxyName is the label of a service that some other proxy serves.
const ProxyName = "service.kubernetes.io/service-proxy-name"

// Config says what to follow. The caller starts the informers after New.
type Config struct {
	Informers   informers.SharedInformerFactory
	NodeName    string
	ClusterCIDR string               // all pods, such as 10.246.0.0/16
	ServiceCIDR string               // all cluster IPs, such as 10.247.0.0/16; may be empty
	Recorder    record.EventRecorder // of what a service asks for and does not get; may be nil
	Log         *slog.Logger
}

// Proxy keeps one node's rules.
type Proxy struct {
	cfg      Config
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	nodes    corelisters.NodeLister
	synced   []cache.InformerSynced
	reported map[types.UID]string // by service, what it was refused
	changed  chan struct{}
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
		changed: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	for _, informer := range []cache.SharedIndexInformer{services.Informer(), endpoints.Informer(), nodes.Informer()} {
		reg, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: p.poke, UpdateFunc: p.changedFrom, DeleteFunc: p.poke,
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

func (p *Proxy) poke(any) {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// changedFrom passes over nodes' heartbeats: only zones, addresses and ports matter here.
func (p *Proxy) changedFrom(old, now any) {
	before, isNode := old.(*v1.Node)
	after, ok := now.(*v1.Node)
	if isNode && ok && before.Labels[v1.LabelTopologyZone] == after.Labels[v1.LabelTopologyZone] &&
		slices.Equal(before.Status.Addresses, after.Status.Addresses) && before.Status.DaemonEndpoints == after.Status.DaemonEndpoints {
		return
	}
	p.poke(now)
}

// zone is the node's zone, "" while it is not known.
func (p *Proxy) zone() string {
	if node, err := p.nodes.Get(p.cfg.NodeName); err == nil {
		return node.Labels[v1.LabelTopologyZone]
	}
	return ""
}

// Run keeps the rules until ctx ends, and leaves them.
func (p *Proxy) Run(ctx context.Context) error {
	apply, err := newApplier()
	if err != nil {
		return err
	}
	p.tune()
	if !cache.WaitForCacheSync(ctx.Done(), p.synced...) {
		return ctx.Err()
	}
	rules := &compiler{node: Node{Name: p.cfg.NodeName, ClusterCIDR: p.cfg.ClusterCIDR, ServiceCIDR: p.cfg.ServiceCIDR, RandomFully: apply.ipt.HasRandomFully()}}
	var udp flusher
	health := newHealth(p.cfg.Log)
	defer health.close()
	checks, resyncs := time.NewTicker(check), time.NewTicker(resync)
	defer checks.Stop()
	defer resyncs.Stop()
	first := true
	for {
		wait := time.Duration(-1) // for the next event
		began := time.Now()
		if err := p.sync(ctx, rules, apply, &udp, health); err != nil {
			health.failed()
			p.cfg.Log.Error("service rules", "error", err)
			wait = retry
		} else if first {
			close(p.ready)
			first = false
		}
		if len(p.changed) > 0 {
			// While changes keep coming, half of the time at most goes into rules.
			sleep(ctx, min(time.Since(began), maxPause))
		}
		if !p.await(ctx, wait, apply, checks.C, resyncs.C) {
			return ctx.Err()
		}
	}
}

// tune sets what the rules ask of the kernel, each for the network namespace.
func (p *Proxy) tune() {
	for _, s := range []struct{ name, value, otherwise string }{
		// KUBE-FIREWALL keeps others out.
		{"ipv4/conf/all/route_localnet", "1", "node ports will not answer on localhost"},
		// A translated connection must not be forgotten while one side has only half
		// closed it; one that nobody closed need not be kept for five days.
		{"netfilter/nf_conntrack_tcp_timeout_close_wait", "3600", "half-closed connections may break after a minute"},
		{"netfilter/nf_conntrack_tcp_timeout_established", "86400", "dead connections are remembered for long"},
	} {
		if err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0o644); err != nil {
			p.cfg.Log.Warn(s.otherwise, "error", err)
		}
	}
}

// await returns when there is something to do, false when ctx ended.
func (p *Proxy) await(ctx context.Context, wait time.Duration, apply *applier, checks, resyncs <-chan time.Time) bool {
	var again <-chan time.Time
	if wait >= 0 {
		again = time.After(wait)
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-again:
			return true
		case <-p.changed:
			return sleep(ctx, gather)
		case <-resyncs:
			apply.forget()
			return true
		case <-checks:
			if !apply.intact() {
				p.cfg.Log.Warn("somebody removed the service rules; writing them again")
				apply.forget()
				return true
			}
		}
	}
}

func (p *Proxy) sync(ctx context.Context, rules *compiler, apply *applier, udp *flusher, health *health) error {
	select { // what has come until here is in the snapshot
	case <-p.changed:
	default:
	}
	snapshot, err := p.snapshot()
	if err != nil {
		return err
	}
	rules.inZone(p.zone())
	want := rules.rules(snapshot)
	if err := apply.apply(ctx, want); err != nil {
		return err
	}
	health.update(want.Health)
	p.report(want.Refused)
	return udp.flush(want.UDP)
}

// report records an event about each service that does not get all it asks for, once for
// each reason.
func (p *Proxy) report(refused []Refusal) {
	text := map[types.UID]string{}
	for _, r := range refused {
		text[r.Service.UID] += "Nodes do not serve " + r.At + ": " + r.Why + ". "
	}
	for _, r := range refused {
		if uid := r.Service.UID; p.cfg.Recorder != nil && p.reported[uid] != text[uid] {
			p.cfg.Recorder.Event(r.Service, v1.EventTypeWarning, "AddressRefused", strings.TrimSpace(text[uid]))
			p.cfg.Log.Warn("a service asks for what is not its own", "service", r.Service.Namespace+"/"+r.Service.Name, "reason", text[uid])
		}
		if p.reported == nil {
			p.reported = map[types.UID]string{}
		}
		p.reported[r.Service.UID] = text[r.Service.UID]
	}
	maps.DeleteFunc(p.reported, func(uid types.UID, _ string) bool { return text[uid] == "" })
}

// ourLabels leave out services and slices of another proxy, and those that somebody
// calls headless: nobody is led to them.
func ourLabels(labels map[string]string) bool {
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
		if ourLabels(svc.Labels) {
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
		if svc := slice.Labels[discovery.LabelServiceName]; svc != "" && ourLabels(slice.Labels) {
			key := types.NamespacedName{Namespace: slice.Namespace, Name: svc}
			s.Slices[key] = append(s.Slices[key], slice)
		}
	}
	for _, of := range s.Slices { // in the same order each time, for the compiler
		slices.SortFunc(of, func(a, b *discovery.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
