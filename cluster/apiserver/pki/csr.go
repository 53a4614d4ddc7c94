package pki

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/client"
)

// Bootstrappers is the group of those who hold a join token.
const Bootstrappers = "system:bootstrappers"

// Signer signs what nodes ask for, and what somebody has approved for a client.
type Signer struct {
	Authority *Authority
	// Reserved addresses are the API server's: a node that served under one could
	// pass for it.
	Reserved []net.IP
}

// Sign gives a certificates.k8s.io/v1 CertificateSigningRequest its certificate at
// once: nodes get certificates for themselves, and nobody gets another. It is how
// a machine with a join token becomes a node. obj is not changed.
func (s *Signer) Sign(_ context.Context, u *client.User, obj runtime.Object) (runtime.Object, error) {
	in, ok := obj.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a CertificateSigningRequest: %T", obj))
	}
	req, err := parseRequest(in.Spec.Request)
	if err != nil {
		return nil, apierrors.NewBadRequest("spec.request: " + err.Error())
	}
	r, err := s.permitted(u, in.Spec.SignerName, req)
	if err != nil {
		return nil, apierrors.NewForbidden(certificatesv1.Resource("certificatesigningrequests"), in.Name, err)
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

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, err
	}
	return req, req.CheckSignature()
}

// permitted is the certificate that u may have for req.
func (s *Signer) permitted(u *client.User, signer string, req *x509.CertificateRequest) (Request, error) {
	node, isNode := strings.CutPrefix(req.Subject.CommonName, NodePrefix)
	if !isNode || node == "" || !slices.Equal(req.Subject.Organization, []string{Nodes}) {
		return Request{}, fmt.Errorf("subject must be %sNAME in %s", NodePrefix, Nodes)
	}
	self := u != nil && u.Name == req.Subject.CommonName && u.InGroup(Nodes)
	switch signer {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		if !self && !u.InGroup(Bootstrappers) && !u.InGroup(Admins) {
			return Request{}, fmt.Errorf("only the node itself or the holder of a join token may ask")
		}
		return NodeRequest(node), nil
	case certificatesv1.KubeletServingSignerName:
		if !self && !u.InGroup(Admins) {
			return Request{}, fmt.Errorf("only the node itself may ask")
		}
		for _, n := range req.DNSNames {
			if n != node {
				return Request{}, fmt.Errorf("DNS name %q is not the node's", n)
			}
		}
		for _, ip := range req.IPAddresses {
			if ip.IsLoopback() || slices.ContainsFunc(s.Reserved, ip.Equal) {
				return Request{}, fmt.Errorf("address %s is not the node's", ip)
			}
		}
		return NodeServingRequest(node, req.IPAddresses...), nil
	}
	return Request{}, fmt.Errorf("unknown signer %q", signer)
}

// clientUsages are all that a client's certificate may be for.
var clientUsages = []certificatesv1.KeyUsage{
	certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth,
}

// Issue gives an approved request for kubernetes.io/kube-apiserver-client its
// certificate; one that asks for more than such a certificate is good for gets the
// condition Failed. Other requests, and those that have an answer, stay as they are.
func (s *Signer) Issue(csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName || len(csr.Status.Certificate) > 0 ||
		!has(csr, certificatesv1.CertificateApproved) || has(csr, certificatesv1.CertificateFailed) {
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
		return nil
	}
	r := Request{CommonName: req.Subject.CommonName, Organization: req.Subject.Organization, Client: true}
	if wanted := csr.Spec.ExpirationSeconds; wanted != nil {
		r.Life = min(time.Duration(*wanted)*time.Second, leafLife)
	}
	csr.Status.Certificate, err = s.Authority.sign(r, req.PublicKey)
	return err
}

func has(csr *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) bool {
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

// Restricted says why nobody may ask for such a certificate from
// kubernetes.io/kube-apiserver-client, or nil: the group of those who may do
// everything is not given away, as upstream's CertificateSubjectRestriction.
func Restricted(csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err == nil && slices.Contains(req.Subject.Organization, Admins) {
		return fmt.Errorf("use of %s signer with %s group is not allowed", csr.Spec.SignerName, Admins)
	}
	return nil
}
