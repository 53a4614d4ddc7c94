package client

// The user names and groups of a node's identities, as in its certificates.
const (
	// Nodes is the group of kubelets; NodePrefix and the node's name are a kubelet's user name.
	Nodes      = "system:nodes"
	NodePrefix = "system:node:"
	// Proxiers is the group of the proxy, the routes and the network policies of a node. They read services,
	// endpoints, nodes, policies and namespaces, and of pods no more than labels, ports and addresses.
	Proxiers      = "system:node-proxiers"
	ProxierPrefix = "system:node-proxier:"
)

// What is known of the use of tokens in Secrets, as upstream: labels of the Secret with a day
// (2006-01-02, UTC), and the ConfigMap of kube-system with the day since which uses are recorded.
const (
	LegacyTokenLastUsed     = "kubernetes.io/legacy-token-last-used"
	LegacyTokenInvalidSince = "kubernetes.io/legacy-token-invalid-since"
	LegacyTokenTracking     = "kube-apiserver-legacy-service-account-token-tracking"
	LegacyTokenTrackedSince = "since"
)

// The Ingress controller: the name of its user, the IngressClass of every cluster, the controller that this class
// names, and the Service in kube-system whose endpoints are the masters that serve Ingresses.
const (
	IngressUser       = "system:ingress-controller"
	IngressClass      = "wheelhouse"
	IngressController = "wheelhouse.dev/ingress"
	IngressService    = "ingress"
)
