package pki

import (
	"net"

	"wheelhouse/cluster/client"
)

// The identities that RBAC's default bindings know.
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

// ServerRequest is the API server's own certificate, for the names under which
// pods know it (domain is the cluster's, "cluster.local"), for localhost, and for
// the addresses and names it is reached at.
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

// AdminRequest is for the person who owns the cluster.
func AdminRequest() Request {
	return Request{CommonName: "kubernetes-admin", Organization: []string{Admins}, Client: true}
}

// KubeletClientRequest is what the API server shows to kubelets. It is good for nothing
// else: the API server itself refuses it.
func KubeletClientRequest() Request {
	return Request{CommonName: KubeletClient, Organization: []string{KubeletClients}, Client: true}
}

// NodeRequest is for a kubelet: its identity towards the API server.
func NodeRequest(node string) Request {
	return Request{CommonName: NodePrefix + node, Organization: []string{Nodes}, Client: true, Life: nodeLife}
}

// ProxierRequest is for the proxy and the routes of a node.
func ProxierRequest(node string) Request {
	return Request{CommonName: ProxierPrefix + node, Organization: []string{Proxiers}, Client: true, Life: nodeLife}
}

// NodeServingRequest is for a kubelet's own HTTPS server.
func NodeServingRequest(node string, addresses ...net.IP) Request {
	return Request{
		CommonName: NodePrefix + node, Organization: []string{Nodes},
		DNSNames: []string{node}, IPs: addresses, Server: true, Life: nodeLife,
	}
}
