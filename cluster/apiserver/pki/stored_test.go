package pki

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/client"
)

// All that a machine with a server, a node and a cluster of `up` stores is listed, and nothing that pods have written.
func TestList(t *testing.T) {
	state := t.TempDir()
	server := filepath.Join(state, "server")
	a, err := Open(filepath.Join(server, "pki"), "wheelhouse")
	if err != nil {
		t.Fatal(err)
	}
	members, err := OpenCA(filepath.Join(server, "pki", "etcd"), "wheelhouse-etcd")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := members.Pair("peer", Request{CommonName: "m1", Server: true, Client: true}); err != nil {
		t.Fatal(err)
	}
	node, err := a.Pair("n1", NodeRequest("n1"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, data []byte) {
		t.Helper()
		if err := client.WriteFile(filepath.Join(state, path), data); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"node", "second/nodes/minion-1"} {
		if err := client.WriteKubeconfig(filepath.Join(state, dir, "n1.kubeconfig"), client.Kubeconfig{Cluster: "c", Server: "https://x", CA: a.CertPEM(), User: "u", Cert: node.Cert, Key: node.Key}); err != nil {
			t.Fatal(err)
		}
	}
	write("node/pki/kubelet-serving.crt", node.Cert)
	write("node/disk/pki/pod.crt", node.Cert)
	write("node/kubelet/pods/pod.kubeconfig", nil)
	write("disk/pki/pod.crt", node.Cert)
	write("server/pki/broken.crt", []byte("x"))
	if err := unix.Mkfifo(filepath.Join(server, "pki", "fifo.crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "config")
	if err := client.WriteKubeconfig(outside, client.Kubeconfig{Cluster: "c", Server: "https://x", CA: members.CertPEM(), User: "u", Token: "t"}); err != nil {
		t.Fatal(err)
	}
	all, err := List(state, outside, filepath.Join(state, "nothing"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		path, err := filepath.Rel(state, s.File)
		if err != nil || s.File == outside {
			path = "config"
		}
		got = append(got, path+" "+s.Of+" "+s.State(time.Now()))
	}
	slices.Sort(got)
	want := []string{
		"node/n1.kubeconfig system:node:n1 valid",
		"node/pki/kubelet-serving.crt system:node:n1 valid",
		"second/nodes/minion-1/n1.kubeconfig system:node:n1 valid",
		"server/pki/broken.crt broken no PEM certificate",
		"server/pki/ca.crt wheelhouse valid",
		"server/pki/etcd/ca.crt wheelhouse-etcd valid",
		"server/pki/etcd/peer.crt m1 valid",
		"server/pki/fifo.crt fifo not a file of a certificate",
		"server/pki/n1.crt system:node:n1 valid",
		"server/pki/sa.key sa key, no end",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if none, err := List(filepath.Join(state, "missing")); err != nil || len(none) != 0 {
		t.Errorf("of a directory that is not there: %v %v", none, err)
	}
	if _, err := List(outside); err == nil {
		t.Error("a file is no state directory")
	}
}

func TestState(t *testing.T) {
	now := time.Now()
	days := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
	for _, tt := range []struct {
		from, until int
		ca          bool
		want        string
	}{
		{-1, 364, false, StateValid},
		{-60, 30, false, StateValid},
		{-70, 20, false, StateDue},
		{-91, -1, false, StateExpired},
		{1, 90, false, StateNotValid},
		{-3650, 3650, true, StateValid},
		{-3650, 364, true, StateDue},
	} {
		s := Stored{Cert: &x509.Certificate{NotBefore: days(tt.from), NotAfter: days(tt.until), IsCA: tt.ca}}
		if got := s.State(now); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	if got := (&Stored{Err: os.ErrPermission}).State(now); got != os.ErrPermission.Error() {
		t.Errorf("unreadable: %s", got)
	}
}
