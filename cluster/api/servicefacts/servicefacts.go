// Package servicefacts says of a Service what the controller of load balancers, the proxy's
// announcer and clients have to agree on. It does no I/O and changes nothing.
package servicefacts

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

const (
	// Class is the class of load balancers that are addresses of the cluster's pool. A service
	// without a class is of it, too.
	Class = "wheelhouse"
	// FromPool is the condition of a service whose load balancer addresses are of the pool: in its
	// status, which only controllers write. Addresses without it are another program's.
	FromPool = "wheelhouse.dev/AddressFromPool"
	// CleanupFinalizer keeps a service until its load balancer is released, as upstream's
	// k8s.io/cloud-provider/service/helpers.
	CleanupFinalizer = "service.kubernetes.io/load-balancer-cleanup"
	// AnnotationIPs asks for addresses of the pool, one of each family, separated by a comma. It
	// comes before spec.loadBalancerIP, which upstream has deprecated.
	AnnotationIPs = "wheelhouse.dev/load-balancer-ips"
)

// WantsAddress reports whether a service is to have addresses of the pool.
func WantsAddress(svc *v1.Service) bool {
	class := svc.Spec.LoadBalancerClass
	return svc.Spec.Type == v1.ServiceTypeLoadBalancer && svc.DeletionTimestamp == nil && (class == nil || *class == Class)
}

// PoolAddresses returns the addresses that a service has from the pool, in the order of its status.
func PoolAddresses(svc *v1.Service) (list []netip.Addr) {
	if !meta.IsStatusConditionTrue(svc.Status.Conditions, FromPool) {
		return nil
	}
	return BalancerAddresses(svc)
}

// BalancerAddresses returns the addresses of a service's load balancer, whoever wrote them.
func BalancerAddresses(svc *v1.Service) (list []netip.Addr) {
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if ip, err := netip.ParseAddr(in.IP); err == nil {
			list = append(list, ip.Unmap())
		}
	}
	return list
}
