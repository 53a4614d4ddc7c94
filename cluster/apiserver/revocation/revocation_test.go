package revocation_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/apiserver/revocation"
	"wheelhouse/cluster/wait"
)

// A list that is deleted takes no revocation back, nor does the next one; an entry that is removed from it does.
func TestADeletedListRevokesOn(t *testing.T) {
	objects := authztest.New()
	l, err := revocation.New(revocation.Config{Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- l.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	list := func(keys ...string) *corev1.ConfigMap {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: revocation.Namespace, Name: revocation.Name}, Data: map[string]string{}}
		for _, key := range keys {
			m.Data[key] = "2100-01-01T00:00:00Z"
		}
		return m
	}
	expect := func(what string, want ...bool) {
		t.Helper()
		wait.For(t, what, func() error {
			var got []bool
			same := true
			for i, serial := range []int64{10, 11, 12} {
				c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}}
				got = append(got, l.Revoked(t.Context(), c))
				same = same && got[i] == want[i]
			}
			got = append(got, l.Until("n").Year() == 2100)
			return wait.Seen(same && got[3] == want[3], got)
		})
	}
	objects.Put("", "configmaps", list("serial.a", "serial.b", "node.n"))
	expect("the first list", true, true, false, true)
	objects.Put("", "configmaps", list("serial.b", "node.n"))
	expect("an entry is removed", false, true, false, true)
	objects.Delete("", "configmaps", list())
	objects.Put("", "configmaps", list("serial.c"))
	expect("the list is deleted and begun again", false, true, true, true)
}
