package network

import (
	"fmt"
	"net/netip"
	"sync"
)

// pool records which pod has which address. Addresses are given out in turn, so that
// a freed one rests as long as possible before another pod gets it.
type pool struct {
	prefix netip.Prefix

	mu    sync.Mutex
	owner map[netip.Addr]string
	addr  map[string]netip.Addr
	last  netip.Addr
}

func newPool(p netip.Prefix) *pool {
	return &pool{prefix: p, owner: map[netip.Addr]string{}, addr: map[string]netip.Addr{}, last: p.Addr().Next()}
}

func (p *pool) gateway() netip.Addr { return p.prefix.Addr().Next() }

// usable reports whether a pod may have the address: not the network's own, the
// gateway's or the broadcast address.
func (p *pool) usable(ip netip.Addr) bool {
	return p.prefix.Contains(ip) && ip != p.prefix.Addr() && ip != p.gateway() && p.prefix.Contains(ip.Next())
}

// take gives pod the address ip, or, if ip is zero, the one it has already or a
// free one. fresh reports that the pod had none before.
func (p *pool) take(pod string, ip netip.Addr) (got netip.Addr, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	had, has := p.addr[pod]
	if has && (!ip.IsValid() || ip == had) {
		return had, false, nil
	}
	if !ip.IsValid() {
		if ip, err = p.free(); err != nil {
			return netip.Addr{}, false, err
		}
		p.last = ip
	}
	if !p.usable(ip) {
		return netip.Addr{}, false, fmt.Errorf("address %s is not a pod address of %s", ip, p.prefix)
	}
	if other, taken := p.owner[ip]; taken {
		return netip.Addr{}, false, fmt.Errorf("address %s belongs to pod %s", ip, other)
	}
	if has {
		delete(p.owner, had)
	}
	p.owner[ip], p.addr[pod] = pod, ip
	return ip, !has, nil
}

func (p *pool) free() (netip.Addr, error) {
	ip := p.last
	for {
		if ip = ip.Next(); !p.prefix.Contains(ip) {
			ip = p.prefix.Addr()
		}
		if _, taken := p.owner[ip]; !taken && p.usable(ip) {
			return ip, nil
		}
		if ip == p.last {
			return netip.Addr{}, fmt.Errorf("no free address in %s: %d in use", p.prefix, len(p.owner))
		}
	}
}

// release returns the address that the pod had, if it had one.
func (p *pool) release(pod string) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ip, ok := p.addr[pod]
	if ok {
		delete(p.owner, ip)
		delete(p.addr, pod)
	}
	return ip, ok
}
