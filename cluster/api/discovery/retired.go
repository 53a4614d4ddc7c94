package discovery

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"

	"wheelhouse/cluster/api"
)

// endpointSlicesV1beta1 has the zone and the node of an endpoint in a map, its topology.
var endpointSlicesV1beta1 = api.Retired[*discoveryv1beta1.EndpointSlice, *discoveryv1.EndpointSlice]{
	ToStored: func(from *discoveryv1beta1.EndpointSlice, to *discoveryv1.EndpointSlice) {
		for i := range to.Endpoints {
			e, topology := &to.Endpoints[i], maps.Clone(from.Endpoints[i].Topology)
			if zone, ok := topology[corev1.LabelTopologyZone]; ok {
				e.Zone = &zone
				delete(topology, corev1.LabelTopologyZone)
			}
			if node, ok := topology[corev1.LabelHostname]; ok && e.NodeName != nil && *e.NodeName == node {
				delete(topology, corev1.LabelHostname)
			}
			if len(topology) > 0 {
				e.DeprecatedTopology = topology
			}
		}
	},
	FromStored: func(from *discoveryv1.EndpointSlice, to *discoveryv1beta1.EndpointSlice) {
		for i := range to.Endpoints {
			e, topology := &from.Endpoints[i], map[string]string{}
			if e.NodeName != nil {
				topology[corev1.LabelHostname] = *e.NodeName
			}
			maps.Copy(topology, e.DeprecatedTopology)
			if e.Zone != nil {
				topology[corev1.LabelTopologyZone] = *e.Zone
			}
			if len(topology) > 0 {
				to.Endpoints[i].Topology = topology
			}
		}
	},
}.Version()
