package machine

import (
	"strings"
	"testing"

	"wheelhouse/cluster/apiserver/pki"
)

// A mirror is in the node's settings, its authority beside them; without the flag it is in neither.
func TestImageMirror(t *testing.T) {
	m := newMachine(t)
	keys, err := pki.Open(t.TempDir(), "class")
	if err != nil {
		t.Fatal(err)
	}
	m.file(t, "/root/ca.crt", string(keys.CertPEM()))
	o := Options{Mirror: Mirror{Address: "https://192.168.1.5:8443", CA: "/root/ca.crt"}}
	if err := m.EnableMaster(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want := "\nIMAGE_MIRROR=\"--image-mirror=https://192.168.1.5:8443 --image-mirror-ca=/etc/wheelhouse/image-mirror-ca.crt\"\n"
	if text := m.text(t, nodeEnv); !strings.Contains(text, want) {
		t.Errorf("the node's settings:\n%s\nwant%s", text, want)
	}
	if text := m.text(t, mirrorCA); text != string(keys.CertPEM()) {
		t.Errorf("its authority: %s", text)
	}
	if err := m.EnableMaster(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if text := m.text(t, nodeEnv); strings.Contains(text, "MIRROR") {
		t.Errorf("without the flag:\n%s", text)
	}
}

func TestWrongImageMirror(t *testing.T) {
	m := newMachine(t)
	m.file(t, "/root/no.crt", "no certificate")
	for _, x := range []struct {
		mirror Mirror
		want   string
	}{
		{Mirror{Address: "192.168.1.5:8443"}, "want https://HOST:PORT"},
		{Mirror{Address: "https://a b"}, "want https://HOST:PORT"},
		{Mirror{Address: "https://class:1 --max-pods=1"}, "want https://HOST:PORT"},
		{Mirror{Address: "https://class:1/$(reboot)"}, "want https://HOST:PORT"},
		{Mirror{CA: "/root/no.crt"}, "without --image-mirror"},
		{Mirror{"https://class:8443", "/root/no.crt"}, "no certificate"},
		{Mirror{"https://class:8443", "/root/none"}, "no such file"},
	} {
		if err := m.EnableMaster(t.Context(), Options{Mirror: x.mirror}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %s", x.mirror, err, x.want)
		}
	}
}
