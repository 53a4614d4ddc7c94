package admission_test

import (
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

// The right to write a request's status is not that to sign in a signer's name.
func TestSigningNeedsTheSigner(t *testing.T) {
	const group = rbacv1.GroupName
	o := cluster()
	grant := func(user string, names ...string) {
		o.Put(group, "clusterroles", &rbacv1.ClusterRole{ObjectMeta: meta("", user), Rules: []rbacv1.PolicyRule{{
			Verbs: []string{"sign"}, APIGroups: []string{certificatesv1.GroupName}, Resources: []string{"signers"}, ResourceNames: names,
		}}})
		o.Put(group, "clusterrolebindings", &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta("", user), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: user}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}},
		})
	}
	grant("exact", "example.com/one")
	grant("domain", "example.com/*")
	grant("other", "example.com/two", "example.org/*")
	c := newChain(t, o, serviceallocator.Config{})
	old := &certificatesv1.CertificateSigningRequest{ObjectMeta: meta("", "r"), Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: "example.com/one"}}
	signed, failed, labelled := old.DeepCopy(), old.DeepCopy(), old.DeepCopy()
	signed.Status.Certificate = []byte("certificate")
	failed.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue}}
	labelled.Labels = map[string]string{"a": "b"}
	elsewhere := signed.DeepCopy()
	elsewhere.Spec.SignerName = "example.com/two"
	const refused = `certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to sign requests with signerName "example.com/one"`
	for user, want := range map[string]string{"exact": "", "domain": "", "other": refused, "nobody": refused} {
		for what, obj := range map[string]*certificatesv1.CertificateSigningRequest{"certificate": signed, "condition": failed, "another signer": elsewhere, "label": labelled} {
			wanted := want
			if what == "label" {
				wanted = ""
			}
			err := c.Validate(bg, &admission.Request{
				User: &client.User{Name: user}, Verb: admission.Update, Kind: kind(certificatesv1.GroupName, "certificatesigningrequests"),
				Name: "r", Subresource: "status", Object: obj, Old: old,
			})
			if (err == nil) != (wanted == "") || err != nil && err.Error() != wanted {
				t.Errorf("%s writes a %s: %v, want %q", user, what, err, wanted)
			}
		}
	}
}
