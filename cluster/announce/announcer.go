// Package announce makes the machines on the nodes' link send to one node what is for an address
// of the load balancers' pool: one node of the cluster answers for it by ARP and neighbour
// discovery, and announces it twice a second. The node's proxy then serves what comes.
//
// The address is on no interface. A process that ends, however it ends, answers no more, and no
// program of the node, such as its SSH server, can be reached at the address.
//
// The API says who may answer (election.go); who does is decided on the link itself: a candidate
// that hears no announcement takes over. That needs no write of the API, and works while the API
// server is away. Of two that answer, after a partition of the link, one stops as soon as it
// hears the other.
//
// It owns two raw sockets on the interface with the node's address, and the memberships of
// multicast groups. It changes no address, no route and no rule. What it receives is anybody's:
// the work for a frame is bounded, frames that it has no time for are dropped, and a machine
// that is no node of the cluster never makes a node stop.
package announce

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
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
)

const (
	late          = time.Second // a loop that has not run for this long listens before it answers
	strangerEvery = time.Minute // between two events about one address
)

// Config is what the announcer is given. The caller starts the informers after New.
type Config struct {
	Informers *client.SharedInformers
	NodeName  string
	NodeIP    netip.Addr                          // addresses are announced on the interface that has it
	Enter     func(f func() error) error          // runs f in the node's network namespace; nil: the process's own
	Recorder  record.EventRecorder                // of who announces, and of conflicts; may be nil
	Serves    func(labels map[string]string) bool // whether the node's proxy serves a service with these labels; nil: all
	Log       *slog.Logger
}

// Announcer is one node's part. Make it with New.
type Announcer struct {
	cfg      Config
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	nodes    corelisters.NodeLister
	synced   []cache.InformerSynced
	changed  chan struct{}

	// Of the loop of Run.
	claims map[netip.Addr]*claim
	names  map[mac]string // of nodes, by nodeID
	link   *link
	down   string // what is wrong with the link, as it was logged
	last   time.Time
}

// New registers with the informers; nothing is sent before Run.
func New(cfg Config) (*Announcer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Enter == nil {
		cfg.Enter = func(f func() error) error { return f() }
	}
	services, endpoints, nodes := cfg.Informers.Core().V1().Services(), cfg.Informers.Discovery().V1().EndpointSlices(), cfg.Informers.Core().V1().Nodes()
	a := &Announcer{
		cfg: cfg, services: services.Lister(), slices: endpoints.Lister(), nodes: nodes.Lister(),
		changed: make(chan struct{}, 1), claims: map[netip.Addr]*claim{},
	}
	notify := func(any) {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{services.Informer(), endpoints.Informer(), nodes.Informer()} {
		reg, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: notify, UpdateFunc: func(_, o any) { notify(o) }, DeleteFunc: notify})
		if err != nil {
			return nil, err
		}
		a.synced = append(a.synced, reg.HasSynced)
	}
	return a, nil
}

// Run announces until ctx ends. While no service has an address of the pool it has no socket
// and no timer.
func (a *Announcer) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), a.synced...) {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the sockets' readers
	defer func() { a.disconnect("") }()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		var due <-chan time.Time
		var frames <-chan []byte
		if len(a.claims) > 0 {
			due = ticks.C
		}
		if a.link != nil {
			frames = a.link.frames
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.changed:
			if err := a.replan(); err != nil {
				return err
			}
		case <-due:
			a.turn(ctx, time.Now())
		case frame := <-frames:
			a.receive(frame, time.Now())
		}
	}
}

// replan reads what is to be announced from the informers' caches.
func (a *Announcer) replan() error {
	s := snapshot{slices: map[types.NamespacedName][]*discovery.EndpointSlice{}}
	services, err := a.services.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, svc := range services {
		if a.cfg.Serves == nil || a.cfg.Serves(svc.Labels) {
			s.services = append(s.services, svc)
		}
	}
	if s.nodes, err = a.nodes.List(labels.Everything()); err != nil {
		return err
	}
	list, err := a.slices.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, slice := range list {
		key := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discovery.LabelServiceName]}
		s.slices[key] = append(s.slices[key], slice)
	}
	a.names = make(map[mac]string, len(s.nodes))
	for _, n := range s.nodes {
		a.names[nodeID(n.Name)] = n.Name
	}
	now, wanted := time.Now(), plan(s)
	if len(a.claims) == 0 {
		a.last = now // no turn was due
	}
	for ip, want := range wanted {
		c := a.claims[ip]
		if c == nil {
			c = &claim{}
			c.begin(now)
			a.claims[ip] = c
		}
		c.address, c.rank = want, slices.Index(want.candidates, a.cfg.NodeName)
		c.holds = c.holds && c.rank >= 0
	}
	maps.DeleteFunc(a.claims, func(ip netip.Addr, _ *claim) bool { _, ok := wanted[ip]; return !ok })
	if len(a.claims) == 0 {
		a.disconnect("")
	}
	return nil
}

// turn looks at the link and announces what is due.
func (a *Announcer) turn(ctx context.Context, now time.Time) {
	if now.Sub(a.last) > late {
		a.restart(now)
	}
	a.last = now
	if !a.connect(ctx, now) {
		return
	}
	for ip, c := range a.claims {
		before := c.holds
		if !c.step(now) {
			continue
		}
		a.announce(ip)
		if !before {
			a.report(c, v1.EventTypeNormal, "AddressAnnounced", fmt.Sprintf("Node %s answers for %s on %s", a.cfg.NodeName, ip, a.link.iface.Name))
		}
	}
}

// connect opens the sockets on the interface that has the node's address now. It reports
// whether there is one.
func (a *Announcer) connect(ctx context.Context, now time.Time) bool {
	var partly error // what concerns some addresses only
	err := a.cfg.Enter(func() error {
		iface, err := findLink(a.cfg.NodeIP)
		if err != nil {
			return err
		}
		if a.link != nil && a.link.iface.Index == iface.Index && slices.Equal(a.link.iface.HardwareAddr, iface.HardwareAddr) {
			partly = a.link.follow(ctx, a.claims)
			return nil
		}
		a.disconnect("")
		opened, err := openLink(ctx, iface)
		if err != nil {
			return err
		}
		a.link = opened
		a.restart(now)
		partly = a.link.follow(ctx, a.claims)
		return nil
	})
	if err != nil {
		a.disconnect(err.Error())
		return false
	}
	switch {
	case partly == nil:
		a.down = ""
	case partly.Error() != a.down:
		a.down = partly.Error()
		a.cfg.Log.Warn("some addresses of load balancers are not announced", "reason", partly)
	}
	return true
}

// disconnect closes the sockets: nobody can hear this node.
func (a *Announcer) disconnect(why string) {
	if a.link != nil {
		a.link.close()
		a.link = nil
	}
	if why != "" && why != a.down {
		a.cfg.Log.Warn("no load balancer's address is announced", "reason", why)
	}
	a.down = why
	for _, c := range a.claims {
		c.holds = false
	}
}

// restart drops what was received meanwhile, and listens.
func (a *Announcer) restart(now time.Time) {
	for a.link != nil && len(a.link.frames) > 0 {
		<-a.link.frames
	}
	for _, c := range a.claims {
		c.begin(now)
	}
}

// receive answers a question for an address that this node holds, and hears announcements.
func (a *Announcer) receive(frame []byte, now time.Time) {
	m, ok := parse(frame)
	if !ok || m.from == a.link.own {
		return
	}
	c := a.claims[m.address]
	switch {
	case c == nil:
	case !m.announces:
		if c.holds && now.Sub(a.last) <= late {
			a.send(answer(m, a.link.own), m.address)
		}
	default:
		a.heard(c, m, now)
	}
}

func (a *Announcer) heard(c *claim, m message, now time.Time) {
	node, known := a.names[m.node]
	if known && node != a.cfg.NodeName {
		if c.hear(now, node) {
			a.announce(m.address)
		}
		return
	}
	if now.Sub(c.stranger) > strangerEvery && c.holds {
		c.stranger = now
		a.report(c, v1.EventTypeWarning, "AddressConflict", fmt.Sprintf(
			"A machine with the Ethernet address %s, which is no node of the cluster, announces %s on %s: give it another address, or take this one out of --load-balancer-pool",
			net.HardwareAddr(m.from[:]), m.address, a.link.iface.Name))
	}
	if c.defend(now) {
		a.announce(m.address)
	}
}

func (a *Announcer) announce(ip netip.Addr) {
	a.send(announcement(ip, a.link.own, nodeID(a.cfg.NodeName)), ip)
}

func (a *Announcer) send(frame []byte, ip netip.Addr) {
	if err := a.link.send(frame, ip.Is4()); err != nil {
		a.cfg.Log.Debug("a frame is not sent", "address", ip, "err", err)
	}
}

func (a *Announcer) report(c *claim, kind, reason, text string) {
	a.cfg.Log.Info(text, "service", c.service.Namespace+"/"+c.service.Name)
	if a.cfg.Recorder != nil {
		a.cfg.Recorder.Event(c.service, kind, reason, text)
	}
}
