package loadbalancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/servicefacts"
)

// taken are the addresses that a service cannot have, and who has them.
type taken map[netip.Addr]string

// takenFrom returns the addresses of all other services, of nodes and of the cluster itself. Of
// two services with one address the older one has it, as in the proxy's rules: a service keeps
// an address that a younger one has, too.
func takenFrom(svc *v1.Service, services []*v1.Service, nodes []*v1.Node, reserved []netip.Addr) taken {
	out := taken{}
	for _, other := range services {
		if other.Namespace == svc.Namespace && other.Name == svc.Name {
			continue
		}
		addresses := servicefacts.BalancerAddresses(other)
		for _, text := range other.Spec.ExternalIPs {
			if ip, err := netip.ParseAddr(text); err == nil {
				addresses = append(addresses, ip.Unmap())
			}
		}
		for _, ip := range addresses {
			if older(other, svc) || !slices.Contains(servicefacts.PoolAddresses(svc), ip) {
				out[ip] = "service " + other.Namespace + "/" + other.Name
			}
		}
	}
	for _, n := range nodes {
		for _, a := range n.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				out[ip.Unmap()] = "node " + n.Name
			}
		}
	}
	for _, ip := range reserved {
		out[ip] = "the cluster itself"
	}
	return out
}

func older(a, b *v1.Service) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name)) < 0
}

// allocate returns the addresses that the service is to have: those that it asks for, else those
// that it has, else the first ones that are free. It is deterministic. An error says what to do.
func allocate(pool Pool, svc *v1.Service, t taken) ([]netip.Addr, error) {
	asked, err := requested(svc)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for i, family := range svc.Spec.IPFamilies {
		is4 := family == v1.IPv4Protocol
		if i > 0 && !pool.Has(is4) && len(asked) == 0 {
			continue // the second family of a service is served where that is possible
		}
		ip, err := pick(pool, svc, is4, asked, t)
		if err != nil {
			return nil, err
		}
		out = append(out, ip)
	}
	for _, ip := range asked {
		if !slices.Contains(out, ip) {
			return nil, fmt.Errorf("address %s is not of a family of the service, which are %v", ip, svc.Spec.IPFamilies)
		}
	}
	return out, nil
}

func pick(pool Pool, svc *v1.Service, is4 bool, asked []netip.Addr, t taken) (netip.Addr, error) {
	isOurs := func(ip netip.Addr) bool { return ip.Is4() == is4 }
	if i := slices.IndexFunc(asked, isOurs); i >= 0 {
		ip := asked[i]
		switch by, used := t[ip]; {
		case !pool.Contains(ip):
			return ip, fmt.Errorf("address %s is not in the pool %s: ask for one that is, or for none", ip, pool)
		case used:
			return ip, fmt.Errorf("address %s is used by %s: ask for another one, or for none", ip, by)
		}
		return ip, nil
	}
	has := servicefacts.PoolAddresses(svc)
	if i := slices.IndexFunc(has, isOurs); i >= 0 && pool.Contains(has[i]) && t[has[i]] == "" {
		return has[i], nil
	}
	ip, ok := pool.Free(is4, func(ip netip.Addr) bool { return t[ip] != "" })
	switch {
	case ok:
		return ip, nil
	case !pool.Has(is4):
		return ip, fmt.Errorf("the pool %s has no addresses of the family: give the server some with --load-balancer-pool", pool)
	}
	return ip, fmt.Errorf("no address of the pool %s is free: delete a service of type LoadBalancer, or give the server more with --load-balancer-pool", pool)
}

// requested returns the addresses that a service asks for.
func requested(svc *v1.Service) (list []netip.Addr, err error) {
	texts := []string{svc.Spec.LoadBalancerIP}
	where := "spec.loadBalancerIP"
	if a, ok := svc.Annotations[servicefacts.AnnotationIPs]; ok {
		texts, where = strings.SplitN(a, ",", 3), "annotation "+servicefacts.AnnotationIPs
	}
	for _, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return nil, fmt.Errorf("%s: %.60q is not an IP address", where, text)
		}
		list = append(list, ip.Unmap())
	}
	return list, nil
}
