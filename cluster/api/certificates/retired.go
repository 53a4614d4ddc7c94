package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// requestsV1beta1 is the version of 1.6 to 1.21. Usages, signer and the status of a condition may be left out there.
func requestsV1beta1() api.Version {
	v := api.Retired[*certificatesv1beta1.CertificateSigningRequest, *certificatesv1.CertificateSigningRequest]{
		Connect: []api.Subresource{approval("v1beta1")},
		Default: func(c *certificatesv1beta1.CertificateSigningRequest) {
			if c.Spec.Usages == nil {
				c.Spec.Usages = []certificatesv1beta1.KeyUsage{certificatesv1beta1.UsageDigitalSignature, certificatesv1beta1.UsageKeyEncipherment}
			}
			if c.Spec.SignerName == nil {
				name := signerOf(c.Spec.Request, c.Spec.Usages)
				c.Spec.SignerName = &name
			}
			for i := range c.Status.Conditions {
				rules.SetDefault(&c.Status.Conditions[i].Status, corev1.ConditionTrue)
			}
		},
	}.Version()
	v.Validate = rules.Typed(validateSigningRequest)
	return v
}

// signerOf returns the signer of a request that names none, as upstream, with one exception: what is for a client is for
// the signer of clients' certificates, since this cluster signs nothing for kubernetes.io/legacy-unknown.
func signerOf(request []byte, usages []certificatesv1beta1.KeyUsage) string {
	block, _ := pem.Decode(request)
	if block == nil {
		return certificatesv1beta1.LegacyUnknownSignerName
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return certificatesv1beta1.LegacyUnknownSignerName
	}
	forNode := slices.Equal(r.Subject.Organization, []string{"system:nodes"}) && strings.HasPrefix(r.Subject.CommonName, "system:node:") &&
		len(r.EmailAddresses)+len(r.URIs) == 0
	named := len(r.DNSNames)+len(r.IPAddresses) > 0
	switch {
	case forNode && !named && only(usages, certificatesv1beta1.UsageClientAuth):
		return certificatesv1beta1.KubeAPIServerClientKubeletSignerName
	case forNode && named && only(usages, certificatesv1beta1.UsageServerAuth):
		return certificatesv1beta1.KubeletServingSignerName
	case only(usages, certificatesv1beta1.UsageClientAuth):
		return certificatesv1beta1.KubeAPIServerClientSignerName
	}
	return certificatesv1beta1.LegacyUnknownSignerName
}

// only reports whether usages are digital signature, a purpose, and perhaps key encipherment.
func only(usages []certificatesv1beta1.KeyUsage, purpose certificatesv1beta1.KeyUsage) bool {
	has := map[certificatesv1beta1.KeyUsage]bool{}
	for _, u := range usages {
		has[u] = true
	}
	signs, serves := has[certificatesv1beta1.UsageDigitalSignature], has[purpose]
	delete(has, certificatesv1beta1.UsageDigitalSignature)
	delete(has, certificatesv1beta1.UsageKeyEncipherment)
	delete(has, purpose)
	return signs && serves && len(has) == 0
}
