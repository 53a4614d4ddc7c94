package pki

import "net"

// The identities that RBAC's default bindings know.
const (
	Admins            = "system:masters"
	Nodes             = "system:nodes"
	NodePrefix        = "system:node:"
	Scheduler         = "system:kube-scheduler"
	ControllerManager = "system:kube-controller-manager"
	Proxy             = "system:kube-proxy"
	Monitoring        = "system:monitoring"
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
		DNSNames: append([]string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain, "localhost",
		}, names...),
		IPs:    ips,
		Server: true,
	}
}

// AdminRequest is for the person who owns the cluster.
func AdminRequest() Request {
	return Request{CommonName: "kubernetes-admin", Organization: []string{Admins}, Client: true}
}

// ComponentRequest is for Scheduler, ControllerManager or Proxy.
func ComponentRequest(user string) Request { return Request{CommonName: user, Client: true} }

// KubeletClientRequest is what the API server shows to kubelets.
func KubeletClientRequest() Request {
	return Request{CommonName: "kube-apiserver-kubelet-client", Organization: []string{Admins}, Client: true}
}

// NodeRequest is for a kubelet: its identity towards the API server.
func NodeRequest(node string) Request {
	return Request{CommonName: NodePrefix + node, Organization: []string{Nodes}, Client: true}
}

// NodeServingRequest is for a kubelet's own HTTPS server.
func NodeServingRequest(node string, addresses ...net.IP) Request {
	return Request{
		CommonName: NodePrefix + node, Organization: []string{Nodes},
		DNSNames: []string{node}, IPs: addresses, Server: true,
	}
}
