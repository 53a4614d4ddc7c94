package main

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/pairing"
)

// A card's code may be made valid twice, as after a cut; not while another token has its id.
func TestCodeIsMadeValidOnce(t *testing.T) {
	keys, err := pki.Open(t.TempDir(), "wheelhouse")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := client.ParseCA(keys.CertPEM())
	if err != nil {
		t.Fatal(err)
	}
	code, err := pairing.New(authority)
	if err != nil {
		t.Fatal(err)
	}
	limits := tokenLimits{life: time.Hour, count: 3}
	free := fake.NewClientset()
	for range 2 {
		if err := ensureCode(t.Context(), free, code, limits); err != nil {
			t.Fatal(err)
		}
	}
	token, err := code.Token()
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(token, ".")
	taken := fake.NewClientset(authn.BootstrapSecret(id+".0123456789abcdef", time.Hour))
	if err := ensureCode(t.Context(), taken, code, limits); err == nil || !strings.Contains(err.Error(), "token delete "+id) {
		t.Errorf("another token has the id: %v", err)
	}
}
