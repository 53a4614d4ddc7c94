package client

// The names of a node's identities, which its certificates show.
const (
	// Nodes is the group of kubelets, NodePrefix with the node's name a kubelet's user name.
	Nodes      = "system:nodes"
	NodePrefix = "system:node:"
	// Proxiers is the group of what else runs on a node: the proxy and the routes to other
	// nodes. They read services, endpoints and nodes, and nothing that is a pod's.
	Proxiers      = "system:node-proxiers"
	ProxierPrefix = "system:node-proxier:"
)
