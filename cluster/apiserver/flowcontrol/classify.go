package flowcontrol

import (
	"net/netip"
	"slices"
	"strings"
)

// Request is what a request is classified by.
type Request struct {
	User   string
	Groups []string
	Remote string // the client's address and port
	Path   string
	// Of requests for resources:
	Verb, Group, Resource, Namespace string
}

const (
	serviceAccountPrefix = "system:serviceaccount:"
	kubeSystem           = "kube-system"
)

// Classify returns the level and the flow of a request. The rules are those of upstream's
// suggested flow schemas, with two exceptions. The service accounts of a namespace share one
// flow: a user who may create one may create any number. And unauthenticated clients have a
// flow for each address, probes included, where upstream has one for
// all of them and exempts probes.
func Classify(r *Request) (level, flow string) {
	has := func(group string) bool { return slices.Contains(r.Groups, group) }
	switch {
	case has("system:masters"):
		return Exempt, ""
	case r.Path == "/healthz" || r.Path == "/livez" || r.Path == "/readyz":
		return Probes, SourceOf(r.Remote)
	case has("system:nodes"):
		if r.Resource == "nodes" || (r.Resource == "leases" && r.Namespace == "kube-node-lease") {
			return NodeHigh, r.User
		}
		return System, r.User
	case isComponent(r.User):
		if r.Resource == "leases" && r.Namespace == kubeSystem {
			return LeaderElection, r.User
		}
		return WorkloadHigh, r.User
	case strings.HasPrefix(r.User, serviceAccountPrefix):
		namespace, _, _ := strings.Cut(r.User[len(serviceAccountPrefix):], ":")
		return WorkloadLow, namespace
	case has("system:authenticated"):
		return GlobalDefault, r.User
	}
	return CatchAll, SourceOf(r.Remote)
}

// SourceOf returns the address of a client; of IPv6 the network, in which one machine has many.
func SourceOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// isComponent reports whether a user is a part of the control plane or an add-on.
func isComponent(user string) bool {
	switch user {
	case "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:apiserver":
		return true
	}
	return strings.HasPrefix(user, serviceAccountPrefix+kubeSystem+":")
}
