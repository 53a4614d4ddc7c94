package pki

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/client"
)

// Bootstrappers is the group of the holders of join tokens.
const Bootstrappers = "system:bootstrappers"

// Objects reads the cluster's state; authz.FromStore returns one.
type Objects interface {
	Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error)
	List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error)
}

// Signer signs the requests of nodes, and approved requests of clients.
type Signer struct {
	Authority *Authority
	Objects   Objects // of which nodes are looked up
	// Reserved is what no node may serve under.
	Reserved *Reserved
	// Join counts one use of the join token of u for the node, or returns why the token is
	// not valid for it; nil: no token is valid.
	Join func(ctx context.Context, u *client.User, node string) error
}

// Signs reports whether Sign answers the request of u; others wait for an approval.
func (s *Signer) Signs(u *client.User, csr *certificatesv1.CertificateSigningRequest) bool {
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName:
		return true
	case certificatesv1.KubeAPIServerClientSignerName:
		req, err := parseRequest(csr.Spec.Request)
		return err == nil && u.InGroup(Nodes) && slices.Equal(req.Subject.Organization, []string{Proxiers})
	}
	return false
}

// Sign issues the certificate of a certificates.k8s.io/v1 CertificateSigningRequest at once:
// nodes get certificates for themselves only. It is how a machine with a join token becomes a
// node. A dry run is checked and not signed. obj is not changed.
func (s *Signer) Sign(ctx context.Context, u *client.User, obj runtime.Object, dryRun bool) (runtime.Object, error) {
	in, ok := obj.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a CertificateSigningRequest: %T", obj))
	}
	req, err := parseRequest(in.Spec.Request)
	if err != nil {
		return nil, apierrors.NewBadRequest("spec.request: " + err.Error())
	}
	r, err := s.permitted(ctx, u, in, req)
	if err != nil {
		return nil, refused(in, err)
	}
	if dryRun {
		return in, nil
	}
	if in.Spec.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName && u.InGroup(Bootstrappers) {
		if err := s.join(ctx, u, strings.TrimPrefix(req.Subject.CommonName, NodePrefix)); err != nil {
			return nil, refused(in, err)
		}
	}
	cert, err := s.Authority.sign(r, req.PublicKey)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out := in.DeepCopy()
	now := metav1.NewTime(s.Authority.now())
	out.Status = certificatesv1.CertificateSigningRequestStatus{
		Certificate: cert,
		Conditions: []certificatesv1.CertificateSigningRequestCondition{{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
			Message: "A node may have certificates for itself.", LastUpdateTime: now, LastTransitionTime: now,
		}},
	}
	return out, nil
}

func refused(csr *certificatesv1.CertificateSigningRequest, err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return err
	}
	return apierrors.NewForbidden(certificatesv1.Resource("certificatesigningrequests"), csr.Name, err)
}

func (s *Signer) join(ctx context.Context, u *client.User, node string) error {
	if s.Join == nil {
		return errors.New("this server accepts no join tokens")
	}
	return s.Join(ctx, u, node)
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := req.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("the request has an RSA key of %d bits, and at most %d are checked", key.N.BitLen(), maxRSABits)
	}
	return req, req.CheckSignature()
}

// maxRSABits is the longest key that crypto/tls accepts. Checking a signature of a key of
// 32 KB takes seconds.
const maxRSABits = 8192

// permitted returns the certificate that u may have for req.
func (s *Signer) permitted(ctx context.Context, u *client.User, csr *certificatesv1.CertificateSigningRequest, req *x509.CertificateRequest) (Request, error) {
	prefix, group := NodePrefix, Nodes
	if csr.Spec.SignerName == certificatesv1.KubeAPIServerClientSignerName {
		prefix, group = ProxierPrefix, Proxiers
	}
	node, isNode := strings.CutPrefix(req.Subject.CommonName, prefix)
	if !isNode || node == "" || !slices.Equal(req.Subject.Organization, []string{group}) {
		return Request{}, fmt.Errorf("subject must be %sNAME in %s", prefix, group)
	}
	if err := s.Reserved.Name(node); err != nil && !s.Reserved.Named(node) {
		return Request{}, err
	}
	if s.Reserved.Own(node) && u.InGroup(Bootstrappers) {
		return Request{}, fmt.Errorf("node %q is on the API server's own machine: its kubeconfig is there", node)
	}
	var r Request
	self := u != nil && u.Name == NodePrefix+node && u.InGroup(Nodes)
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		if !self && !u.InGroup(Bootstrappers) && !u.InGroup(Admins) {
			return Request{}, errors.New("only the node itself or the holder of a join token may request it")
		}
		r = NodeRequest(node)
	case certificatesv1.KubeAPIServerClientSignerName:
		if !self {
			return Request{}, errors.New("only the node itself may request it")
		}
		r = ProxierRequest(node)
	case certificatesv1.KubeletServingSignerName:
		if !self && !u.InGroup(Admins) {
			return Request{}, errors.New("only the node itself may request it")
		}
		if err := s.servesAs(ctx, node, req); err != nil {
			return Request{}, err
		}
		r = NodeServingRequest(node, req.IPAddresses...)
		r.DNSNames = append(r.DNSNames, slices.DeleteFunc(req.DNSNames, func(n string) bool { return n == node })...)
	default:
		return Request{}, fmt.Errorf("unknown signer %q", csr.Spec.SignerName)
	}
	if asked := csr.Spec.ExpirationSeconds; asked != nil {
		r.Life = min(time.Duration(*asked)*time.Second, nodeLife)
	}
	return r, nil
}

// clientUsages are all that a client's certificate may be for.
var clientUsages = []certificatesv1.KeyUsage{
	certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth,
}

// Issue issues the certificate of an approved request for kubernetes.io/kube-apiserver-client;
// one for more than such a certificate is valid for gets the condition Failed. Other requests,
// and those that have a result, stay as they are.
func (s *Signer) Issue(csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName || len(csr.Status.Certificate) > 0 ||
		!hasCondition(csr, certificatesv1.CertificateApproved) || hasCondition(csr, certificatesv1.CertificateFailed) {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err == nil {
		err = forClient(csr.Spec.Usages)
	}
	if err != nil {
		now := metav1.NewTime(s.Authority.now())
		csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure",
			Message: err.Error(), LastUpdateTime: now, LastTransitionTime: now,
		})
		return nil //nolint:nilerr // the condition is the answer
	}
	r := Request{CommonName: req.Subject.CommonName, Organization: req.Subject.Organization, Client: true}
	if wanted := csr.Spec.ExpirationSeconds; wanted != nil {
		r.Life = min(time.Duration(*wanted)*time.Second, leafLife)
	}
	csr.Status.Certificate, err = s.Authority.sign(r, req.PublicKey)
	return err
}

func hasCondition(csr *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(csr.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
}

func forClient(usages []certificatesv1.KeyUsage) error {
	for _, u := range usages {
		if !slices.Contains(clientUsages, u) {
			return fmt.Errorf("usage %q is not for a client's certificate: it can be for %v", u, clientUsages)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("usages must name %q", certificatesv1.UsageClientAuth)
	}
	return nil
}

// Restricted returns why no user may request such a certificate from
// kubernetes.io/kube-apiserver-client, or nil: it is not issued for system:masters, as
// upstream's CertificateSubjectRestriction, nor for the API server's identity towards kubelets.
func Restricted(csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read is not signed
	}
	for _, group := range []string{Admins, KubeletClients} {
		if slices.Contains(req.Subject.Organization, group) {
			return fmt.Errorf("use of %s signer with %s group is not allowed", csr.Spec.SignerName, group)
		}
	}
	if req.Subject.CommonName == KubeletClient {
		return fmt.Errorf("use of %s signer with user %s is not allowed", csr.Spec.SignerName, KubeletClient)
	}
	return nil
}
