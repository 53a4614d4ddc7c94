// Package serviceallocator gives Services their cluster addresses and node ports, each to one
// Service only, also with several API servers over one etcd.
//
// It owns the account of what is in use and writes claims, never Services. Callers run it,
// Allocate before a Service is written, and Settle when the outcome is known.
package serviceallocator

import (
	"context"
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

// Config has the ranges.
type Config struct {
	CIDR      netip.Prefix // 10.247.0.0/16
	NodePorts PortRange    // 30000-32767 when zero
	Claims    Claims       // NewMemoryClaims when nil
}

// repairPeriod is how often claims are compared with the Services. A claim that no Service
// has at two comparisons was left by a crash.
const repairPeriod = time.Minute

var servicesResource = schema.GroupResource{Resource: "services"}

// Allocator keeps the account of addresses and ports. The Services in the store are
// authoritative; claims cover the time between choosing an address and storing the Service
// that has it, and are recreated from the Services at start.
type Allocator struct {
	cidr    netip.Prefix
	ports   PortRange
	claims  Claims
	objects authz.Objects
	log     *slog.Logger
	repair  time.Duration
	ready   chan struct{}

	mu       sync.Mutex
	held     map[string][]string       // by namespace/name of the Service: its keys
	holders  map[string]int            // by key: Services that have it
	inFlight map[string]map[string]int // by key and owner: writes in flight that claim it
	suspect  map[string]int64          // claims without a Service at the last comparison
}

// New returns an Allocator. Services can be allocated once Run has read those that exist.
func New(c Config, objects authz.Objects, log *slog.Logger) (*Allocator, error) {
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
	return &Allocator{
		cidr: c.CIDR.Masked(), ports: c.NodePorts, claims: c.Claims, objects: objects, log: log,
		repair: repairPeriod, ready: make(chan struct{}),
		held: map[string][]string{}, holders: map[string]int{}, inFlight: map[string]map[string]int{}, suspect: map[string]int64{},
	}, nil
}

// Run follows the Services until ctx ends.
func (a *Allocator) Run(ctx context.Context) error {
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
func (a *Allocator) follow(ctx context.Context) error {
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

// reconcile makes held and the claims agree with the Services.
func (a *Allocator) reconcile(ctx context.Context) (int64, error) {
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

// dropOrphans releases the claims that had no Service now and at the last comparison, and are
// not of a write in flight here.
func (a *Allocator) dropOrphans(ctx context.Context, orphans map[string]int64) error {
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
		a.log.Info("releasing what a crashed write had claimed", "key", k)
		if err := a.claims.Release(ctx, []string{k}, orphans[k]+1); err != nil {
			return err
		}
	}
	return nil
}

// apply follows one change: what a Service no longer has is released.
func (a *Allocator) apply(ctx context.Context, ch authz.Change) error {
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

// reallyFree returns the keys without those which the Service has again, or is about to have:
// a change back may have been written before the event of the first arrived.
func (a *Allocator) reallyFree(ctx context.Context, s *corev1.Service, keys []string) ([]string, error) {
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
	return slices.DeleteFunc(keys, func(k string) bool { return slices.Contains(has, k) || a.inFlight[k][ownerOf(s)] > 0 }), nil
}

func (a *Allocator) hold(s *corev1.Service) {
	keys := a.keysOf(s)
	if len(keys) == 0 {
		return
	}
	a.held[ownerOf(s)] = keys
	for _, k := range keys {
		a.holders[k]++
	}
}

func (a *Allocator) unhold(s *corev1.Service) []string {
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

// keysOf returns what a Service occupies of the ranges.
func (a *Allocator) keysOf(s *corev1.Service) []string {
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

// used reports whether a key is in use as far as this server has observed. The claim decides.
func (a *Allocator) used(key string) bool {
	return a.holders[key] > 0 || len(a.inFlight[key]) > 0
}
