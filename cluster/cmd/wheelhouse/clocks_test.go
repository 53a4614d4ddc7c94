package main

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/client"
)

// A node reports once that its clock and a master's differ, by how much, and when they agree again.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	n := nodeMasters{log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{0, time.Second, time.Hour, time.Hour, 0, -365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		n.compareClocks(now.Add(ahead), now, "10.0.0.1:6443")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "ahead=1h0m0s") || !strings.Contains(lines[1], "agree again") || !strings.Contains(lines[2], "ahead=-8760h0m0s") {
		t.Errorf("logged\n%s", log.String())
	}
}

// A clock that is set is distinguished from time that passes. As time.Now's, the times have a monotonic part.
func TestClockSet(t *testing.T) {
	t.Parallel()
	last := time.Now()
	if by := clockSet(last, last.Add(time.Hour)); by != 0 {
		t.Errorf("an hour has passed: %s", by)
	}
	if by := clockSet(last, time.Now()); by.Abs() > time.Second {
		t.Errorf("nothing was set: %s", by)
	}
}

// An address is this machine's if an interface has it.
func TestOnInterface(t *testing.T) {
	t.Parallel()
	all := []net.Addr{&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}, &net.IPNet{IP: net.IPv4(10, 0, 0, 7), Mask: net.CIDRMask(24, 32)}}
	for at, want := range map[string]bool{"10.0.0.7": true, "10.0.0.8": false, "127.0.0.9": true} {
		if got := onInterface(all, netip.MustParseAddr(at)); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}

// A node that has joined uses the --server of its flags, with the identity and the authority that it has.
func TestServerOfANodeThatHasJoined(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := identityPath(dir, "n1")
	if err := client.WriteKubeconfig(path, client.Kubeconfig{Cluster: "wheelhouse", Server: "https://10.0.0.1:6443", CA: []byte("authority"), User: "n1", Token: "own"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{{"", "https://10.0.0.1:6443"}, {"https://10.0.0.1:6443", "https://10.0.0.1:6443"}, {"https://10.0.0.2:6443", "https://10.0.0.2:6443"}} {
		j := joinOptions{server: c.flag}
		if got, err := j.join(t.Context(), dir, "n1", false); err != nil || got != path {
			t.Fatalf("%q: %s, %v", c.flag, got, err)
		}
		k, err := clientcmd.LoadFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := k.Clusters["wheelhouse"]
		if at.Server != c.want || string(at.CertificateAuthorityData) != "authority" || k.AuthInfos["n1"].Token != "own" {
			t.Errorf("--server %q: %+v", c.flag, at)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "n1.kubeconfig")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
