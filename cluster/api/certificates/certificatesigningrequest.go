// Package certificates has the kinds of the group certificates.k8s.io.
package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/diff"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// CertificateSigningRequests is the kind CertificateSigningRequest: a request for a certificate, as a joining
// node creates it. The server sets the requestor (spec.username, uid, groups, extra).
var CertificateSigningRequests = api.Of[certificatesv1.CertificateSigningRequest, certificatesv1.CertificateSigningRequestList](&api.Kind{
	GroupVersionKind: api.GVK(certificatesv1.GroupName, "v1", "CertificateSigningRequest"),
	Plural:           "certificatesigningrequests", Singular: "certificatesigningrequest", Short: []string{"csr"},
	HasStatus: true,
	Connect:   []api.Subresource{approval("v1")},
	Versions:  []api.Version{requestsV1beta1()},

	PrepareCreate: rules.Mutate(func(c *certificatesv1.CertificateSigningRequest) {
		c.Status = certificatesv1.CertificateSigningRequestStatus{}
	}),
	// An approval is of a given request, so the spec is immutable.
	PrepareUpdate: rules.MutateUpdate(func(c, old *certificatesv1.CertificateSigningRequest) {
		c.Spec = old.Spec
		c.Status = old.Status
	}),
	PrepareStatus: rules.MutateUpdate(func(c, old *certificatesv1.CertificateSigningRequest) {
		c.Spec = old.Spec
		setConditionTimes(c, old)
	}),

	Validate: rules.Typed(func(c *certificatesv1.CertificateSigningRequest) field.ErrorList {
		errs := validateSigningRequest(c)
		if c.Spec.SignerName == certificatesv1beta1.LegacyUnknownSignerName {
			errs = append(errs, field.Invalid(rules.SpecPath.Child("signerName"), c.Spec.SignerName, "the legacy signerName is not allowed via this API version"))
		}
		return errs
	}),
	ValidateUpdate: rules.TypedUpdate(func(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
		return validateUpdate(c, old, false)
	}),
	ValidateStatus: rules.TypedUpdate(func(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
		return validateUpdate(c, old, false)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.AgeColumn,
		rules.Column("SignerName", "string", 0, "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet "+
			"client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    "+
			"\"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. "+
			"You can select on this field using `spec.signerName`."),
		rules.Column("Requestor", "string", 0, "Base64-encoded PKCS#10 CSR data"),
		rules.Column("RequestedDuration", "string", 0, rules.Doc(certificatesv1.CertificateSigningRequestSpec{}, "expirationSeconds")),
		rules.Column("Condition", "string", 0, "Conditions applied to the request, such as approval or denial."),
	},
	Row: rules.Typed(func(c *certificatesv1.CertificateSigningRequest) []any {
		length := "<none>"
		if s := c.Spec.ExpirationSeconds; s != nil {
			length = duration.HumanDuration(time.Duration(*s) * time.Second)
		}
		return []any{c.Name, rules.Age(c.CreationTimestamp), rules.OrNone(c.Spec.SignerName), c.Spec.Username, length, requestCondition(c)}
	}),
	Fields: rules.Typed(func(c *certificatesv1.CertificateSigningRequest) fields.Set {
		return fields.Set{"spec.signerName": c.Spec.SignerName}
	}),
})

// approval is the subresource by which a request is approved or denied, in a version.
func approval(version string) api.Subresource {
	return api.Subresource{
		Name: "approval", Kind: api.GVK(certificatesv1.GroupName, version, "CertificateSigningRequest"), Verbs: []string{"get", "patch", "update"},
		Prepare: rules.MutateUpdate(func(c, old *certificatesv1.CertificateSigningRequest) {
			c.Spec = old.Spec
			c.Status.Certificate = old.Status.Certificate
			setConditionTimes(c, old)
		}),
		Validate: rules.TypedUpdate(func(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
			return validateUpdate(c, old, true)
		}),
	}
}

// validateUpdate validates an update of the request, its status or its approval. What the old one has may stay.
func validateUpdate(c, old *certificatesv1.CertificateSigningRequest, approval bool) field.ErrorList {
	errs := append(rules.ValidateObjectMeta(&c.ObjectMeta, false, rules.PathSegment), validateConditions(c.Status.Conditions, old.Status.Conditions)...)
	certificate := rules.StatusPath.Child("certificate")
	changed := !rules.Equal(c.Status.Certificate, old.Status.Certificate)
	if b := c.Status.Certificate; changed && len(b) > 0 {
		if block, _ := pem.Decode(b); block == nil || block.Type != "CERTIFICATE" {
			errs = append(errs, field.Invalid(certificate, "<certificate data>", "must contain at least one CERTIFICATE PEM block"))
		}
	}
	errs = append(errs, validateApprovalConditions(c, old, approval)...)
	if changed && len(old.Status.Certificate) > 0 {
		errs = append(errs, field.Forbidden(certificate, "updates may not modify existing certificate content"))
	}
	return append(errs, rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)...)
}

type conditions []certificatesv1.CertificateSigningRequestCondition

func (cs conditions) has(t certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(cs, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
}

func (cs conditions) repeats() bool {
	types := map[certificatesv1.RequestConditionType]bool{}
	for _, c := range cs {
		types[c.Type] = true
	}
	return len(types) < len(cs)
}

func validateConditions(now, before conditions) field.ErrorList {
	var errs field.ErrorList
	p := rules.StatusPath.Child("conditions")
	const yes, no = certificatesv1.CertificateApproved, certificatesv1.CertificateDenied
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range now {
		at := p.Index(i)
		if c.Type == "" && !before.has("") {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		if isApprovalCondition(c.Type) || c.Type == certificatesv1.CertificateFailed {
			errs = append(errs, rules.RequiredOneOf(c.Status, at.Child("status"), corev1.ConditionTrue)...)
		} else {
			errs = append(errs, rules.RequiredOneOf(c.Status, at.Child("status"), corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
		}
		if (c.Type == yes && seen[no] || c.Type == no && seen[yes]) && !(before.has(yes) && before.has(no)) {
			errs = append(errs, field.Invalid(p, c.Type, "Approved and Denied conditions are mutually exclusive"))
		}
		if seen[c.Type] && !before.repeats() {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	return errs
}

// validateApprovalConditions validates changes of Approved, Denied and Failed. They are final, and only a write to the
// approval subresource may add one of the first two.
func validateApprovalConditions(c, old *certificatesv1.CertificateSigningRequest, allowAdd bool) field.ErrorList {
	var errs field.ErrorList
	p := rules.StatusPath.Child("conditions")
	decisions := []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied}
	for _, t := range append(slices.Clone(decisions), certificatesv1.CertificateFailed) {
		if len(conditionsOfType(c.Status.Conditions, t)) < len(conditionsOfType(old.Status.Conditions, t)) {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		}
	}
	if allowAdd {
		return errs
	}
	for _, t := range decisions {
		was, is := conditionsOfType(old.Status.Conditions, t), conditionsOfType(c.Status.Conditions, t)
		switch {
		case len(is) < len(was):
		case len(is) > len(was):
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("updates may not add a condition of type %q", t)))
		case !rules.Equal(is, was):
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("updates may not modify a condition of type %q\n%v", t, diff.Diff(was, is))))
		}
	}
	return errs
}

func conditionsOfType(conditions []certificatesv1.CertificateSigningRequestCondition, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, c := range conditions {
		if c.Type == t {
			out = append(out, c)
		}
	}
	return out
}

func isApprovalCondition(t certificatesv1.RequestConditionType) bool {
	return t == certificatesv1.CertificateApproved || t == certificatesv1.CertificateDenied
}

func requestCondition(c *certificatesv1.CertificateSigningRequest) string {
	has := func(t certificatesv1.RequestConditionType) bool {
		return len(conditionsOfType(c.Status.Conditions, t)) > 0
	}
	state := "Pending"
	switch {
	case has(certificatesv1.CertificateDenied):
		state = "Denied"
	case has(certificatesv1.CertificateApproved):
		state = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		state += ",Failed"
	}
	if len(c.Status.Certificate) > 0 {
		state += ",Issued"
	}
	return state
}

func validateSigningRequest(c *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := rules.ValidateObjectMeta(&c.ObjectMeta, false, rules.PathSegment)
	if err := parseRequestPEM(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("request"), c.Spec.Request, err.Error()))
	}
	usages := rules.SpecPath.Child("usages")
	if len(c.Spec.Usages) == 0 {
		errs = append(errs, field.Required(usages, ""))
	}
	seen := map[certificatesv1.KeyUsage]bool{}
	for i, u := range c.Spec.Usages {
		if !slices.Contains(sortedUsages, u) {
			errs = append(errs, field.NotSupported(usages.Index(i), u, sortedUsages))
		}
		errs = append(errs, rules.Unique(seen, u, usages.Index(i), u)...)
	}
	errs = append(errs, validateSignerName(c.Spec.SignerName)...)
	if s := c.Spec.ExpirationSeconds; s != nil && *s < 600 {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	return errs
}

func parseRequestPEM(data []byte) error {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return fmt.Errorf("PEM block type must be CERTIFICATE REQUEST")
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return fmt.Errorf("must contain only one PEM block")
	}
	_, err := x509.ParseCertificateRequest(block.Bytes)
	return err
}

func validateSignerName(name string) field.ErrorList {
	p := rules.SpecPath.Child("signerName")
	if name == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(path, "/") {
		return field.ErrorList{field.Invalid(p, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	errs := rules.Invalid(p, domain, rules.DNSSubdomain(domain, false))
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(p, domain, "should be a domain with at least two segments separated by dots"))
	}
	return append(errs, rules.Invalid(p, path, rules.DNSSubdomain(path, false))...)
}

var sortedUsages = []certificatesv1.KeyUsage{
	certificatesv1.UsageAny, certificatesv1.UsageCRLSign, certificatesv1.UsageCertSign, certificatesv1.UsageClientAuth,
	certificatesv1.UsageCodeSigning, certificatesv1.UsageContentCommitment, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageDigitalSignature, certificatesv1.UsageEmailProtection,
	certificatesv1.UsageEncipherOnly, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
	certificatesv1.UsageIPsecUser, certificatesv1.UsageKeyAgreement, certificatesv1.UsageKeyEncipherment,
	certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC, certificatesv1.UsageOCSPSigning,
	certificatesv1.UsageSMIME, certificatesv1.UsageServerAuth, certificatesv1.UsageSigning, certificatesv1.UsageTimestamping,
}

// setConditionTimes sets the times that a writer of conditions has left out. A condition that was there with its status keeps
// the time of its transition.
func setConditionTimes(c, old *certificatesv1.CertificateSigningRequest) {
	now := metav1.Now()
	for i := range c.Status.Conditions {
		cond := &c.Status.Conditions[i]
		if cond.LastUpdateTime.IsZero() {
			cond.LastUpdateTime = now
		}
		if !cond.LastTransitionTime.IsZero() {
			continue
		}
		cond.LastTransitionTime = now
		for _, was := range old.Status.Conditions {
			if was.Type == cond.Type && was.Status == cond.Status && !was.LastTransitionTime.IsZero() {
				cond.LastTransitionTime = was.LastTransitionTime
				break
			}
		}
	}
}
