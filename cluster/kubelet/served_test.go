package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	config "k8s.io/kubelet/config/v1beta1"

	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/server"
)

// The kubelet shows its settings, and the logs on its own disk but nothing that a link
// there leads to.
func TestAboutNode(t *testing.T) {
	disk := t.TempDir()
	k := &Kubelet{terminations: newTerminations(), log: slog.New(slog.DiscardHandler), config: Config{
		HostRoot: disk, NodeName: "n", NodeIP: netip.MustParseAddr("192.0.2.1"), MaxPods: 42, ClusterDNS: "10.247.0.10",
		Eviction: eviction.Config{Hard: []eviction.Threshold{{Signal: eviction.SignalNodeFS, Share: 0.1}}},
	}}
	for range 2 {
		if err := nodefs.PopulateRootFS(k.config.HostRoot, k.config.NodeIP, k.config.NodeName); err != nil {
			t.Fatal(err)
		}
	}
	hosts, err := os.ReadFile(filepath.Join(disk, "etc/hosts"))
	if err != nil || !strings.HasSuffix(string(hosts), "\n192.0.2.1\tn\n") || strings.Count(string(hosts), "192.0.2.1") != 1 || nodefs.Hosts(k.config.HostRoot) != string(hosts) {
		t.Errorf("hosts %q %v", hosts, err)
	}
	log := filepath.Join(disk, "var/log")
	secret := filepath.Join(t.TempDir(), "secret")
	for _, err := range []error{
		os.WriteFile(filepath.Join(log, "syslog"), []byte("a line\n"), 0o600),
		os.WriteFile(secret, []byte("secret"), 0o600),
		os.Symlink(secret, filepath.Join(log, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	k.follower = &runtimeFollower{k: k}
	k.node = k.newNode()
	mux := server.New(served{k}.config()).Handler()
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{Organization: []string{"system:masters"}}}}}}
		mux.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, body := get("/logs/"); code != 200 || !strings.Contains(body, `<a href="syslog">`) {
		t.Errorf("the list of logs: %d %s", code, body)
	}
	if code, body := get("/logs/syslog"); code != 200 || body != "a line\n" {
		t.Errorf("a log: %d %s", code, body)
	}
	if code, body := get("/logs/link"); code == 200 || strings.Contains(body, "secret") {
		t.Errorf("a link to elsewhere: %d %s", code, body)
	}
	var answer struct {
		Config config.KubeletConfiguration `json:"kubeletconfig"`
	}
	code, body := get("/configz")
	if err := json.Unmarshal([]byte(body), &answer); code != 200 || err != nil {
		t.Fatalf("%d %s %v", code, body, err)
	}
	if c := answer.Config; c.MaxPods != 42 || !slices.Equal(c.ClusterDNS, []string{"10.247.0.10"}) || c.EvictionHard["nodefs.available"] != "10%" || c.Port != 10250 {
		t.Errorf("%+v", c)
	}
	if code, body := get("/healthz"); code != 200 || body != "ok" {
		t.Errorf("health: %d %s", code, body)
	}
}
