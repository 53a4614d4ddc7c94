package fetch

import (
	"archive/tar"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// Addresses that are not public are not fetched from, by whatever name, unless that was agreed to.
func TestPrivateAddresses(t *testing.T) {
	server, client := serve(t, map[string][]byte{"/lab.tgz": tgz(t, entry{"pod.yaml", podText, tar.TypeReg})})
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	t.Setenv("NO_PROXY", "*")
	for _, source := range []string{
		server.URL + "/lab.tgz",
		"https://localhost:" + port + "/lab.tgz", // by its name: looked at after it was resolved
		"https://[::ffff:127.0.0.1]:" + port + "/lab.tgz",
		"git::https://127.0.0.1:" + port + "/lab.git",
		"git::https://localhost:" + port + "/lab.git",
	} {
		_, err := run(t, Config{Source: source, Client: client, Checksum: "sha256:any"})
		if !errors.Is(err, ErrPrivate) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// A proxy connects for the learner: the address it is asked for is looked at all the same.
func TestPrivateAddressesBehindAProxy(t *testing.T) {
	c := Config{}
	for host, want := range map[string]bool{"127.0.0.1": false, "10.0.0.1": false, "localhost": false, "1.1.1.1": true} {
		if err := c.byName(t.Context(), host); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestWhichAddressesArePublic(t *testing.T) {
	for addr, want := range map[string]string{
		"1.1.1.1": "public", "2606:4700::1111": "public", "172.32.0.1": "public",
		"127.0.0.1": "private", "127.9.9.9": "private", "10.0.0.1": "private", "172.16.0.1": "private", "192.168.1.1": "private", "100.64.0.1": "private",
		"::1": "private", "fd00::1": "private", "::ffff:10.0.0.1": "private", "64:ff9b::a00:1": "private", "2002:a00:1::": "private", "0.1.2.3": "private", "255.255.255.255": "private",
		"169.254.169.254": "never", "fe80::1": "never", "fe80::1%eth0": "never", "224.0.0.1": "never", "ff02::1": "never", "0.0.0.0": "never", "::": "never", "::ffff:169.254.169.254": "never",
	} {
		a := netip.MustParseAddr(addr)
		strict, agreed := Config{}, Config{Private: true}
		got := "public"
		switch {
		case agreed.allowed(a) != nil:
			got = "never"
		case errors.Is(strict.allowed(a), ErrPrivate):
			got = "private"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", addr, got, want)
		}
	}
}
