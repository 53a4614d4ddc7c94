package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/apiserver/apitest"
)

func TestEphemeralContainersOnlyGrow(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	pods := clientset(t, cfg).CoreV1().Pods("default")
	if _, err := pods.Create(ctx, testPod("e"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	add := func(name, image, rest string) (*corev1.Pod, error) {
		patch := `{"spec":{"ephemeralContainers":[{"name":"` + name + `","image":"` + image + `"` + rest + `}]}}`
		return pods.Patch(ctx, "e", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "ephemeralcontainers")
	}
	pod, err := add("debug", "busybox", "")
	if err != nil || len(pod.Spec.EphemeralContainers) != 1 || pod.Generation != 2 {
		t.Fatalf("the first: %v %+v", err, pod)
	}
	for _, c := range []struct{ name, image, rest, want string }{
		{"debug", "other", "", "may not be changed"},
		{"c", "busybox", "", "Duplicate value"},
		{"ports", "busybox", `,"ports":[{"containerPort":80}]`, "cannot be set for an Ephemeral Container"},
		{"A_b", "busybox", "", "RFC 1123 label"},
	} {
		if _, err := add(c.name, c.image, c.rest); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	pod.Spec.EphemeralContainers = nil
	if _, err := pods.UpdateEphemeralContainers(ctx, "e", pod, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("taken away: %v", err)
	}
}

func TestFinalizeRefusesBadNames(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	all := clientset(t, cfg).CoreV1().Namespaces()
	n, err := all.Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Spec.Finalizers = append(n.Spec.Finalizers, "a b")
	if _, err := all.Finalize(ctx, n, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.finalizers[1]") {
		t.Errorf("a finalizer with a space: %v", err)
	}
}

func TestOnlyApprovalApproves(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	all := clientset(t, cfg).CertificatesV1().CertificateSigningRequests()
	request, err := signingRequest("someone")
	if err != nil {
		t.Fatal(err)
	}
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
	}}
	if csr, err = all.Create(ctx, csr, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	approved := csr.DeepCopy()
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	if _, err := all.UpdateStatus(ctx, approved, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `updates may not add a condition of type "Approved"`) {
		t.Errorf("approved by way of the status: %v", err)
	}
	both := approved.DeepCopy()
	both.Status.Conditions = append(both.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue})
	both.Status.Certificate = []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	if _, err := all.UpdateApproval(ctx, "r", both, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "mutually exclusive") {
		t.Errorf("approved and denied: %v", err)
	}
	approved.Status.Certificate = both.Status.Certificate
	got, err := all.UpdateApproval(ctx, "r", approved, metav1.UpdateOptions{})
	if err != nil || len(got.Status.Conditions) != 1 || len(got.Status.Certificate) != 0 {
		t.Fatalf("approved: %v %+v", err, got)
	}
	got.Status.Conditions = nil
	if _, err := all.UpdateStatus(ctx, got, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		text, _ := json.Marshal(got.Status)
		t.Errorf("the approval taken back by way of the status: %v %s", err, text)
	}
}

// signingRequest is what a client with a new key asks to have signed.
func signingRequest(name string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), err
}
