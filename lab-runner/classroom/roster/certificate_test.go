package roster

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
)

func TestCertificate(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(apitest.Start(t))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: DefaultNamespace}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	names, ips := []string{"localhost", "board.local"}, []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("::1")}
	get := func(ips ...net.IP) []byte {
		chain, key, err := Certificate(t.Context(), client, names, ips)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(chain, key); err != nil {
			t.Fatal(err)
		}
		if !serves(chain, names, ips) {
			t.Errorf("the certificate is not for %v and %v", names, ips)
		}
		return chain
	}
	first := get(ips...)
	if again := get(ips...); !bytes.Equal(first, again) {
		t.Error("after a restart learners have to trust another certificate")
	}
	if other := get(net.ParseIP("192.0.2.8")); bytes.Equal(first, other) {
		t.Error("for another address the certificate is the same")
	}
}
