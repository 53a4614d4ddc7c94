package client

// The user names and groups of a node's identities, as in its certificates.
const (
	// Nodes is the group of kubelets; NodePrefix and the node's name are a kubelet's user name.
	Nodes      = "system:nodes"
	NodePrefix = "system:node:"
	// Proxiers is the group of the proxy and the routes of a node. They read services, endpoints
	// and nodes, and no pods.
	Proxiers      = "system:node-proxiers"
	ProxierPrefix = "system:node-proxier:"
)
