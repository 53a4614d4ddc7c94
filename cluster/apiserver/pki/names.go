package pki

import (
	"net"

	"wheelhouse/cluster/client"
)

// The identities of RBAC's default bindings.
const (
	Admins            = "system:masters"
	Nodes             = client.Nodes
	NodePrefix        = client.NodePrefix
	Proxiers          = client.Proxiers
	ProxierPrefix     = client.ProxierPrefix
	Scheduler         = "system:kube-scheduler"
	ControllerManager = "system:kube-controller-manager"
	Proxy             = "system:kube-proxy"
	Monitoring        = "system:monitoring"
	KubeletClient     = "kube-apiserver-kubelet-client"
	KubeletClients    = "system:kubelet-api-clients"
)

// ServerRequest returns the request for the API server's own certificate: for the names that
// pods use (domain is the cluster's, "cluster.local"), for localhost, and for the addresses
// and names at which it is reached.
func ServerRequest(domain string, serviceIP net.IP, addresses []net.IP, names ...string) Request {
	ips := append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, addresses...)
	if serviceIP != nil {
		ips = append(ips, serviceIP)
	}
	return Request{
		CommonName: "kube-apiserver",
		DNSNames:   append(serverNames(domain), names...),
		IPs:        ips,
		Server:     true,
	}
}

func serverNames(domain string) []string {
	return []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain, "localhost"}
}

// AdminRequest returns the request for the owner of the cluster.
func AdminRequest() Request {
	return Request{CommonName: "kubernetes-admin", Organization: []string{Admins}, Client: true}
}

// KubeletClientRequest returns the request for the API server's connections to kubelets. The
// certificate is valid for nothing else: the API server itself refuses it.
func KubeletClientRequest() Request {
	return Request{CommonName: KubeletClient, Organization: []string{KubeletClients}, Client: true}
}

// NodeRequest returns the request for a kubelet as a client of the API server.
func NodeRequest(node string) Request {
	return Request{CommonName: NodePrefix + node, Organization: []string{Nodes}, Client: true, Life: nodeLife}
}

// ProxierRequest returns the request for the proxy and the routes of a node.
func ProxierRequest(node string) Request {
	return Request{CommonName: ProxierPrefix + node, Organization: []string{Proxiers}, Client: true, Life: nodeLife}
}

// NodeServingRequest returns the request for a kubelet's own HTTPS server.
func NodeServingRequest(node string, addresses ...net.IP) Request {
	return Request{
		CommonName: NodePrefix + node, Organization: []string{Nodes},
		DNSNames: []string{node}, IPs: addresses, Server: true, Life: nodeLife,
	}
}
