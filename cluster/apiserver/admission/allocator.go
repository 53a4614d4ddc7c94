package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
)

// ServicesConfig says which addresses Services get.
type ServicesConfig struct {
	CIDR      netip.Prefix // 10.247.0.0/16
	NodePorts PortRange    // 30000-32767 when zero
	Claims    Claims       // NewMemoryClaims when nil
}

// repairEvery is how often claims are compared with the Services. A claim that
// no Service has at two comparisons was left by a crash.
const repairEvery = time.Minute

var servicesResource = schema.GroupResource{Resource: "services"}

// allocator keeps the account of addresses and ports. The Services in the store
// are the truth; claims bridge the moment between choosing an address and
// storing the Service that has it, and are made from the Services at start.
type allocator struct {
	cidr    netip.Prefix
	ports   PortRange
	claims  Claims
	objects authz.Objects
	log     *slog.Logger
	repair  time.Duration
	ready   chan struct{}

	mu      sync.Mutex
	held    map[string][]string       // by namespace/name of the Service: its keys
	holders map[string]int            // by key: Services that have it
	flight  map[string]map[string]int // by key and owner: writes under way that want it
	suspect map[string]int64          // claims without a Service at the last comparison
}

func newAllocator(c ServicesConfig, objects authz.Objects, log *slog.Logger) (*allocator, error) {
	if !c.CIDR.IsValid() || !c.CIDR.Addr().Is4() || c.CIDR.Bits() > 30 {
		return nil, fmt.Errorf("admission: the service range %s must be IPv4, of 4 addresses or more", c.CIDR)
	}
	if c.NodePorts == (PortRange{}) {
		c.NodePorts = PortRange{30000, 32767}
	}
	if c.NodePorts.First < 1 || c.NodePorts.Last > 65535 || c.NodePorts.First > c.NodePorts.Last {
		return nil, fmt.Errorf("admission: node ports %s are no range", c.NodePorts)
	}
	if c.Claims == nil {
		c.Claims = NewMemoryClaims()
	}
	return &allocator{
		cidr: c.CIDR.Masked(), ports: c.NodePorts, claims: c.Claims, objects: objects, log: log,
		repair: repairEvery, ready: make(chan struct{}),
		held: map[string][]string{}, holders: map[string]int{}, flight: map[string]map[string]int{}, suspect: map[string]int64{},
	}, nil
}

func (a *allocator) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.follow(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("following services", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// follow reads all Services, makes the claims agree, and follows changes until
// the watch breaks.
func (a *allocator) follow(ctx context.Context) error {
	revision, err := a.reconcile(ctx)
	if err != nil {
		return err
	}
	select {
	case <-a.ready:
	default:
		close(a.ready)
	}
	ctx, cancel := context.WithCancel(ctx) // ends the watch with this function
	defer cancel()
	changes, err := a.objects.Watch(ctx, servicesResource, revision)
	if err != nil {
		return fmt.Errorf("watching services: %w", err)
	}
	tick := time.NewTicker(a.repair)
	defer tick.Stop()
	for {
		select {
		case ch, ok := <-changes:
			if !ok {
				return nil
			}
			if err := a.apply(ctx, ch); err != nil {
				return err
			}
		case <-tick.C:
			if _, err := a.reconcile(ctx); err != nil {
				return err
			}
		}
	}
}

// reconcile makes held and the claims what the Services say.
func (a *allocator) reconcile(ctx context.Context) (int64, error) {
	list, revision, err := a.objects.List(ctx, servicesResource, "", true)
	if err != nil {
		return 0, fmt.Errorf("listing services: %w", err)
	}
	a.mu.Lock()
	a.held, a.holders = map[string][]string{}, map[string]int{}
	for _, o := range list {
		if s, ok := o.(*corev1.Service); ok {
			a.hold(s)
		}
	}
	held := make(map[string][]string, len(a.held))
	for owner, keys := range a.held {
		held[owner] = slices.Clone(keys)
	}
	a.mu.Unlock()
	claimed, err := a.claims.All(ctx)
	if err != nil {
		return 0, err
	}
	for owner, keys := range held {
		for _, k := range keys {
			if _, ok := claimed[k]; ok {
				delete(claimed, k)
				continue
			}
			if taken, err := a.claims.Take(ctx, owner, []string{k}); err != nil {
				return 0, err
			} else if taken != "" {
				a.log.Warn("two services have the same address or port", "service", owner, "key", k)
			}
		}
	}
	return revision, a.dropOrphans(ctx, claimed)
}

// dropOrphans frees the claims that had no Service now and at the last
// comparison, and are not of a write under way here.
func (a *allocator) dropOrphans(ctx context.Context, orphans map[string]int64) error {
	a.mu.Lock()
	was := a.suspect
	a.suspect = map[string]int64{}
	var drop []string
	for k, revision := range orphans {
		switch before, seen := was[k]; {
		case a.used(k):
		case seen && before == revision:
			drop = append(drop, k)
		default:
			a.suspect[k] = revision
		}
	}
	a.mu.Unlock()
	for _, k := range drop {
		a.log.Info("freeing what a crashed write had claimed", "key", k)
		if err := a.claims.Release(ctx, []string{k}, orphans[k]+1); err != nil {
			return err
		}
	}
	return nil
}

// apply follows one change: what a Service no longer has is free.
func (a *allocator) apply(ctx context.Context, ch authz.Change) error {
	s, ok := ch.Object.(*corev1.Service)
	if !ok {
		return nil
	}
	a.mu.Lock()
	old := a.unhold(s)
	if ch.Type != watch.Deleted {
		a.hold(s)
	}
	var free []string
	for _, k := range old {
		if a.holders[k] == 0 {
			free = append(free, k)
		}
	}
	a.mu.Unlock()
	free, err := a.reallyFree(ctx, s, free)
	if err != nil || len(free) == 0 {
		return err
	}
	return a.claims.Release(ctx, free, ch.Revision)
}

// reallyFree leaves out what the Service has again by now, or is about to have:
// a change back may have been written before the event of the first arrived.
func (a *allocator) reallyFree(ctx context.Context, s *corev1.Service, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var has []string
	switch o, err := a.objects.Get(ctx, servicesResource, s.Namespace, s.Name, true); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("reading service %s: %w", ownerOf(s), err)
	default:
		if now, ok := o.(*corev1.Service); ok {
			has = a.keysOf(now)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(keys, func(k string) bool { return slices.Contains(has, k) || a.flight[k][ownerOf(s)] > 0 }), nil
}

func (a *allocator) hold(s *corev1.Service) {
	keys := a.keysOf(s)
	if len(keys) == 0 {
		return
	}
	a.held[ownerOf(s)] = keys
	for _, k := range keys {
		a.holders[k]++
	}
}

func (a *allocator) unhold(s *corev1.Service) []string {
	owner := ownerOf(s)
	keys := a.held[owner]
	delete(a.held, owner)
	for _, k := range keys {
		if a.holders[k]--; a.holders[k] <= 0 {
			delete(a.holders, k)
		}
	}
	return keys
}

func ownerOf(s api.Object) string { return s.GetNamespace() + "/" + s.GetName() }

// keysOf is what a Service occupies of the ranges.
func (a *allocator) keysOf(s *corev1.Service) []string {
	var keys []string
	add := func(k string) {
		if !slices.Contains(keys, k) { // TCP and UDP may share a port
			keys = append(keys, k)
		}
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName {
		for _, text := range s.Spec.ClusterIPs {
			if ip, err := netip.ParseAddr(text); err == nil && a.cidr.Contains(ip) {
				add(ipKey(ip))
			}
		}
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			add(portKey(p.NodePort))
		}
	}
	if p := s.Spec.HealthCheckNodePort; p != 0 {
		add(portKey(p))
	}
	return keys
}

// used tells whether a key is known to be taken. Another server may know better:
// the claim decides.
func (a *allocator) used(key string) bool {
	return a.holders[key] > 0 || len(a.flight[key]) > 0
}

var errTaken = errors.New("taken")

// reservation is what one write took.
type reservation struct {
	owner string
	keys  []string
}

// take claims a certain key for r; errTaken if another has it.
func (a *allocator) take(ctx context.Context, r *Request, key string) error {
	if slices.Contains(r.reservation.keys, key) {
		return nil
	}
	if r.DryRun {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.used(key) {
			return errTaken
		}
		r.reservation.keys = append(r.reservation.keys, key)
		return nil
	}
	a.takeOff(key, r.reservation.owner)
	taken, err := a.claims.Take(ctx, r.reservation.owner, []string{key})
	if err == nil && taken == "" {
		r.reservation.keys = append(r.reservation.keys, key)
		return nil
	}
	a.land([]string{key}, r.reservation.owner)
	if err != nil {
		return err
	}
	return errTaken
}

// pick claims some free key of s for r; "" if there is none.
func (a *allocator) pick(ctx context.Context, r *Request, s span) (string, error) {
	refused := map[string]bool{}
	for {
		a.mu.Lock()
		key := s.pick(func(k string) bool { return refused[k] || a.used(k) || slices.Contains(r.reservation.keys, k) })
		a.mu.Unlock()
		if key == "" {
			return "", nil
		}
		switch err := a.take(ctx, r, key); {
		case err == nil:
			return key, nil
		case errors.Is(err, errTaken):
			refused[key] = true
		default:
			return "", err
		}
	}
}

func (a *allocator) takeOff(key, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flight[key] == nil {
		a.flight[key] = map[string]int{}
	}
	a.flight[key][owner]++
}

func (a *allocator) land(keys []string, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		by := a.flight[k]
		if by[owner]--; by[owner] <= 0 {
			delete(by, owner)
		}
		if len(by) == 0 {
			delete(a.flight, k)
		}
	}
}

// done ends r's reservation: the Service has what it took, or it is free again.
func (a *allocator) done(ctx context.Context, r *Request, failure error) {
	res := r.reservation
	if res == nil || len(res.keys) == 0 {
		return
	}
	r.reservation = nil
	if r.DryRun {
		return // nothing was claimed
	}
	ctx = context.WithoutCancel(ctx) // the client may be gone; the address must not be
	if failure == nil {
		a.settle(r, res)
		a.land(res.keys, res.owner)
		return
	}
	a.land(res.keys, res.owner)
	if free := a.unneeded(ctx, r, res); len(free) > 0 {
		if err := a.claims.Give(ctx, res.owner, free); err != nil {
			a.log.Warn("an address stays claimed for a while", "keys", free, "err", err)
		}
	}
}

// settle counts what a stored Service has before its watch event comes, so that
// nothing is free in between.
func (a *allocator) settle(r *Request, res *reservation) {
	s, ok := r.Object.(*corev1.Service)
	if !ok || s.Name == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.held[res.owner]; !ok {
		a.hold(s)
	}
}

// unneeded is what of a failed write's keys nobody else has under the same name:
// a Service that exists already, or another write of it.
func (a *allocator) unneeded(ctx context.Context, r *Request, res *reservation) []string {
	var have []string
	o, err := a.objects.Get(ctx, servicesResource, r.Namespace, nameOf(r), true)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		a.log.Warn("an address stays claimed for a while", "keys", res.keys, "err", err)
		return nil
	default:
		if s, ok := o.(*corev1.Service); ok {
			have = a.keysOf(s)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var free []string
	for _, k := range res.keys {
		if !slices.Contains(have, k) && a.flight[k][res.owner] == 0 {
			free = append(free, k)
		}
	}
	return free
}
