package bootstrap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"testing"

	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// The reviews of before 1.22 are answered by the real authenticator and authorizer.
func TestReviewsOfV1beta1(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, ann := s.host("root"), s.host("ann")
	token := func(text string) authenticationv1beta1.TokenReviewStatus {
		t.Helper()
		r, err := root.AuthenticationV1beta1().TokenReviews().Create(bg, &authenticationv1beta1.TokenReview{Spec: authenticationv1beta1.TokenReviewSpec{Token: text}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	if got := token("ann"); !got.Authenticated || got.User.Username != "ann" || !slices.Contains(got.User.Groups, "system:authenticated") || len(got.Audiences) == 0 {
		t.Errorf("ann's token: %+v", got)
	}
	if got := token("no token"); got.Authenticated || got.Error == "" {
		t.Errorf("no token: %+v", got)
	}
	_, err := ann.AuthenticationV1beta1().TokenReviews().Create(bg, &authenticationv1beta1.TokenReview{Spec: authenticationv1beta1.TokenReviewSpec{Token: "root"}}, metav1.CreateOptions{})
	refused(t, err, `cannot create resource "tokenreviews" in API group "authentication.k8s.io"`)

	pods := authorizationv1beta1.ResourceAttributes{Namespace: "default", Verb: "list", Resource: "pods"}
	allowed := func() bool {
		t.Helper()
		r, err := root.AuthorizationV1beta1().SubjectAccessReviews().Create(bg, &authorizationv1beta1.SubjectAccessReview{
			Spec: authorizationv1beta1.SubjectAccessReviewSpec{User: "x", Groups: []string{"readers"}, ResourceAttributes: &pods},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		own, err := ann.AuthorizationV1beta1().SelfSubjectAccessReviews().Create(bg, &authorizationv1beta1.SelfSubjectAccessReview{
			Spec: authorizationv1beta1.SelfSubjectAccessReviewSpec{ResourceAttributes: &pods},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if own.Status.Allowed {
			t.Errorf("ann may list pods by a right of others: %+v", own.Status)
		}
		local, err := root.AuthorizationV1beta1().LocalSubjectAccessReviews("default").Create(bg, &authorizationv1beta1.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: r.Spec,
		}, metav1.CreateOptions{})
		if err != nil || local.Status.Allowed != r.Status.Allowed {
			t.Errorf("local review %+v, %v; the other %+v", local, err, r.Status)
		}
		return r.Status.Allowed
	}
	if allowed() {
		t.Error("a group without rights may list pods")
	}
	if _, err := root.RbacV1().RoleBindings("default").Create(bg, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "readers"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "the group's right", func() error {
		if !allowed() {
			return wait.Seen(false, "not allowed")
		}
		return nil
	})
	rules, err := root.AuthorizationV1beta1().SelfSubjectRulesReviews().Create(bg, &authorizationv1beta1.SelfSubjectRulesReview{
		Spec: authorizationv1beta1.SelfSubjectRulesReviewSpec{Namespace: "default"},
	}, metav1.CreateOptions{})
	if err != nil || len(rules.Status.ResourceRules) == 0 {
		t.Errorf("rules: %+v, %v", rules, err)
	}
}

// A request of before 1.22 names no signer, and its approval no status: a client's certificate comes of it.
func TestSigningRequestsOfV1beta1(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	requests := s.host("root").CertificatesV1beta1().CertificateSigningRequests()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane", Organization: []string{"dev"}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := requests.Create(bg, &certificatesv1beta1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		Spec: certificatesv1beta1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			Usages:  []certificatesv1beta1.KeyUsage{certificatesv1beta1.UsageDigitalSignature, certificatesv1beta1.UsageKeyEncipherment, certificatesv1beta1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *r.Spec.SignerName != certificatesv1beta1.KubeAPIServerClientSignerName || r.Spec.Username != "root" || len(r.Status.Certificate) > 0 {
		t.Errorf("signer %s, of %s, status %+v", *r.Spec.SignerName, r.Spec.Username, r.Status)
	}
	r.Status.Conditions = append(r.Status.Conditions, certificatesv1beta1.CertificateSigningRequestCondition{Type: certificatesv1beta1.CertificateApproved, Reason: "KubectlApprove"})
	if _, err := s.host("ann").CertificatesV1beta1().CertificateSigningRequests().UpdateApproval(bg, r, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("ann approves: %v", err)
	}
	r, err = requests.UpdateApproval(bg, r, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Status.Conditions; len(c) != 1 || c[0].Status != corev1.ConditionTrue {
		t.Errorf("conditions %+v", c)
	}
	block, _ := pem.Decode(r.Status.Certificate)
	if block == nil {
		t.Fatalf("no certificate: %+v", r.Status)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.Subject.CommonName != "jane" || !slices.Equal(cert.Subject.Organization, []string{"dev"}) {
		t.Errorf("certificate of %v, %v", cert.Subject, err)
	}
	if today, err := s.host("root").CertificatesV1().CertificateSigningRequests().Get(bg, "jane", metav1.GetOptions{}); err != nil || !slices.Equal(today.Status.Certificate, r.Status.Certificate) {
		t.Errorf("in today's version: %+v, %v", today, err)
	}
}
