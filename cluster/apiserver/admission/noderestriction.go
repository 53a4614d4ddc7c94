package admission

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// nodeOf returns the node whose kubelet u is. The node is "" for a user of the group
// system:nodes with another name.
func nodeOf(u *client.User) (node string, ok bool) {
	if u == nil || !u.InGroup("system:nodes") {
		return "", false
	}
	node, _ = strings.CutPrefix(u.Name, nodeUser)
	if node == u.Name {
		node = ""
	}
	return node, true
}

const nodeUser = "system:node:"

// NodeRestriction restricts a kubelet to its own node, the pods bound to it, and tokens for
// them.
type NodeRestriction struct{ objects authz.Objects }

// Admit implements Mutator.
func (p *NodeRestriction) Admit(ctx context.Context, r *Request) error {
	node, ok := nodeOf(r.User)
	if !ok || r.Verb == Connect {
		return nil
	}
	if node == "" {
		return r.forbidden("could not determine node from user %q", r.User.Name)
	}
	switch r.resource().String() {
	case "pods":
		return p.nodesPod(ctx, node, r)
	case "nodes":
		return nodesNode(node, r)
	case "persistentvolumeclaims":
		return r.forbidden("may only update PVC status") // and this cluster's kubelets do not
	case "serviceaccounts":
		return p.nodesToken(ctx, node, r)
	case "leases.coordination.k8s.io":
		return nodesLease(node, r)
	case "certificatesigningrequests.certificates.k8s.io":
		return nodesRequest(node, r)
	}
	return nil
}

func nodesNode(node string, r *Request) error {
	name := r.Name
	obj, _ := r.Object.(*corev1.Node)
	if name == "" && obj != nil {
		name = obj.Name
	}
	if name != node {
		return r.forbidden("node %q is not allowed to modify node %q", node, name)
	}
	if obj == nil {
		return nil
	}
	if r.Verb == Create {
		if obj.Spec.ConfigSource != nil {
			return r.forbidden("node %q is not allowed to create pods with a non-nil configSource", node)
		}
		if bad := reservedLabels(nil, obj.Labels); len(bad) > 0 {
			return r.forbidden("node %q is not allowed to set the following labels: %s", node, strings.Join(bad, ", "))
		}
		if len(obj.OwnerReferences) > 0 {
			return r.forbidden("node %q is not allowed to set ownerReferences", node)
		}
		return nil
	}
	old, ok := r.Old.(*corev1.Node)
	if !ok {
		return r.forbidden("unexpected type %T", r.Old)
	}
	if obj.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(old.Spec.ConfigSource, obj.Spec.ConfigSource) {
		return r.forbidden("node %q is not allowed to update configSource to a new non-nil configSource", node)
	}
	if !equality.Semantic.DeepEqual(old.Spec.Taints, obj.Spec.Taints) {
		return r.forbidden("node %q is not allowed to modify taints", node)
	}
	if !equality.Semantic.DeepEqual(old.OwnerReferences, obj.OwnerReferences) {
		return r.forbidden("node %q is not allowed to modify ownerReferences", node)
	}
	if bad := reservedLabels(old.Labels, obj.Labels); len(bad) > 0 {
		return r.forbidden("is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	return nil
}

// kubeletLabels are those with the project's own domains that a kubelet may set;
// besides everything under kubelet.kubernetes.io/ and node.kubernetes.io/.
var kubeletLabels = []string{
	corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable,
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
	"beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}

// reservedLabels returns the changes between two sets of labels that a kubelet may
// not make.
func reservedLabels(old, now map[string]string) []string {
	var bad []string
	check := func(key string) {
		domain, _, ok := strings.Cut(key, "/")
		if !ok || slices.Contains(kubeletLabels, key) || within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io") {
			return
		}
		if within(domain, "kubernetes.io") || within(domain, "k8s.io") {
			bad = append(bad, key)
		}
	}
	for k, v := range now {
		if was, ok := old[k]; !ok || was != v {
			check(k)
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			check(k)
		}
	}
	slices.Sort(bad)
	return bad
}

func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

func nodesLease(node string, r *Request) error {
	if r.Namespace != corev1.NamespaceNodeLease {
		return r.forbidden("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	name := r.Name
	if l, ok := r.Object.(*coordinationv1.Lease); ok && r.Verb == Create {
		name = l.Name
	}
	if name != node {
		return r.forbidden("can only access node lease with the same name as the requesting node")
	}
	return nil
}

// nodesRequest restricts a node to certificates for itself.
func nodesRequest(node string, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.Verb != Create {
		return nil
	}
	switch csr.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName:
	default:
		return nil
	}
	request, err := parsePEM(csr.Spec.Request)
	if err != nil {
		return r.forbidden("unable to parse csr: %w", err)
	}
	if request.Subject.CommonName != nodeUser+node {
		return r.forbidden("can only create a node CSR with CN=%s%s", nodeUser, node)
	}
	return nil
}

func parsePEM(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}
