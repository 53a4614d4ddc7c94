package machine

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/client"
)

func TestEnableMaster(t *testing.T) {
	m := newMachine(t)
	tries := 0
	kubectl := m.Kubectl
	m.Kubectl = func(ctx context.Context, kubeconfig string, args ...string) (string, error) {
		if tries++; tries == 1 {
			return "", errOff // not ready yet
		}
		return kubectl(ctx, kubeconfig, args...)
	}
	if err := m.EnableMaster(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	const said = `Disabling k8s if it is running
Checks so all images are present
Kubernetes master services enabled
`
	if !strings.HasPrefix(m.out.String(), said) {
		t.Errorf("printed\n%s\nwant\n%s", m.out.String(), said)
	}
	want := []string{
		"systemctl disable --now --quiet " + nodeUnit + " " + serverUnit, "systemctl enable --now " + serverUnit,
		"kubectl --kubeconfig=" + m.path("/var/lib/wheelhouse/server/admin.kubeconfig") + " get --raw /readyz", "systemctl enable --now " + nodeUnit,
	}
	if !slices.Equal(m.ran, want) {
		t.Errorf("ran %q, want %q", m.ran, want)
	}
	for name, lines := range map[string][]string{
		serverEnv: {"ADDRESS=192.168.1.102", "NODE=192.168.1.102=192.168.1.102", "STATE_DIR=/var/lib/wheelhouse/server", "QUOTA=536870912", "GOMEMLIMIT=231MiB"},
		nodeEnv:   {"NAME=192.168.1.102", "POD_CIDR=10.246.102.0/24", "KUBECONFIG=/var/lib/wheelhouse/server/192.168.1.102.kubeconfig", "GOMEMLIMIT=92MiB"},
	} {
		for _, line := range lines {
			if !strings.Contains(m.text(t, name), "\n"+line+"\n") {
				t.Errorf("%s has no %s:\n%s", name, line, m.text(t, name))
			}
		}
	}
}

func TestEnableMasterOnALargeMachine(t *testing.T) {
	m := newMachine(t)
	m.file(t, "/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\n")
	if err := m.EnableMaster(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if text := m.text(t, serverEnv); strings.Contains(text, "GOMEMLIMIT") {
		t.Errorf("memory is limited without need:\n%s", text)
	}
}

func TestEnableMasterSaysWhyTheServerIsNotReady(t *testing.T) {
	m := newMachine(t)
	m.Patience = time.Millisecond
	m.answers["kubectl"] = errOff
	m.prints["journalctl --no-pager --quiet --output=cat --lines=5 --unit="+serverUnit] = "wheelhouse: listening for the API: address already in use\n"
	err := m.EnableMaster(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	if m.has("systemctl enable --now " + nodeUnit) {
		t.Error("the node is started without a server")
	}
}

func TestEnableWorkerNeedsAToken(t *testing.T) {
	for _, token := range []string{"", "abcdef.0123456789abcdef", "@sha256:00", "abcdef.0123456789abcdef@"} {
		m := newMachine(t)
		err := m.EnableWorker(t.Context(), "127.0.0.1", Options{Token: token})
		if err == nil || !strings.Contains(err.Error(), "kube-config token") {
			t.Errorf("%q: %v", token, err)
		}
		if len(m.ran) > 0 {
			t.Errorf("%q: what runs was touched: %q", token, m.ran)
		}
	}
}

func TestEnableWorkerAsksAPerson(t *testing.T) {
	m := newMachine(t)
	m.Terminal, m.In = true, strings.NewReader("abcdef.0123456789abcdef@sha256:00\n")
	// Nothing listens there.
	err := m.EnableWorker(t.Context(), "127.0.0.1:1", Options{})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(m.out.String(), "Code or token (") {
		t.Errorf("printed %s", m.out.String())
	}
	if m.has("systemctl enable --now " + nodeUnit) {
		t.Error("the node is started though it has not joined")
	}
}

// A second run with the same settings stops nothing; with others it does.
func TestEnableAgain(t *testing.T) {
	m := newMachine(t)
	if err := m.EnableMaster(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	stop := "systemctl disable --now --quiet " + nodeUnit + " " + serverUnit
	for _, c := range []struct {
		o     Options
		stops bool
	}{{Options{}, false}, {Options{Name: "desk-3"}, true}, {Options{Name: "desk-3"}, false}, {Options{}, true}} {
		m.ran = nil
		if err := m.EnableMaster(t.Context(), c.o); err != nil {
			t.Fatal(err)
		}
		if m.has(stop) != c.stops || !m.has("systemctl enable --now "+serverUnit) || !m.has("systemctl enable --now "+nodeUnit) {
			t.Errorf("%+v: ran %q, stops: want %t", c.o, m.ran, c.stops)
		}
	}
}

// A worker that has joined goes on, with a token or without, while the master accepts it.
func TestEnableWorkerAgain(t *testing.T) {
	m := newMachine(t)
	const address, token = "127.0.0.1:1", "abcdef.0123456789abcdef@sha256:00"
	kubeconfig := client.Kubeconfig{Server: "https://" + address, CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")}
	if err := client.WriteKubeconfig(m.path(DefaultStateDir+"/"+nodeFileName), kubeconfig); err != nil {
		t.Fatal(err)
	}
	m.file(t, nodeEnv, "NAME=192.168.1.102\n")
	stop := "systemctl disable --now --quiet " + nodeUnit + " " + serverUnit
	for i, o := range []Options{{}, {Token: token}, {}} {
		m.ran = nil
		if err := m.EnableWorker(t.Context(), address, o); err != nil {
			t.Fatal(err)
		}
		if m.has(stop) != (i == 0) || !m.has("systemctl enable --now "+nodeUnit) {
			t.Errorf("run %d: ran %q", i, m.ran)
		}
	}
	// The master refuses it: the token is used, and nothing listens there.
	m.answers["kubectl"] = errOff
	if err := m.EnableWorker(t.Context(), address, Options{Token: token}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

func TestServerURL(t *testing.T) {
	for addr, want := range map[string]string{
		"192.168.1.102": "https://192.168.1.102:6443", "https://192.168.1.102": "https://192.168.1.102:6443", "https://192.168.1.102:7443/": "https://192.168.1.102:7443",
		"master.local": "https://master.local:6443", "": "", "http://192.168.1.102": "", "a b": "", "x@y": "",
	} {
		if got, err := serverURL(addr); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", addr, got, err)
		}
	}
}

func TestPrepare(t *testing.T) {
	m := newMachine(t)
	o := Options{Name: "desk-3", PodCIDR: netip.MustParsePrefix("10.246.7.0/24")}
	if err := m.prepare(&o, netip.Addr{}); err != nil || o.Name != "desk-3" || o.PodCIDR.String() != "10.246.7.0/24" || o.Address.String() != "192.168.1.102" {
		t.Errorf("%+v, %v", o, err)
	}
	o = Options{Address: netip.MustParseAddr("fd00::1")}
	if err := m.prepare(&o, netip.Addr{}); err == nil {
		t.Error("an IPv6 address is accepted")
	}
}

func TestDisableNodeRemovesPods(t *testing.T) {
	m := newMachine(t)
	m.file(t, nodeEnv, "NAME=desk-3\nADDRESS=192.168.1.7\nPOD_CIDR=10.246.7.0/24\n")
	m.file(t, DefaultStateDir+"/node/node.kubeconfig", "")
	if err := m.DisableNode(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"systemctl disable --now --quiet " + nodeUnit + " " + serverUnit,
		"wheelhouse node --cleanup --name desk-3 --address 192.168.1.7 --pod-cidr 10.246.7.0/24", "wheelhouse down --keep-data",
	}
	if !slices.Equal(m.ran, want) {
		t.Errorf("ran %q, want %q", m.ran, want)
	}
	if _, err := os.Stat(m.path(filepath.Join(DefaultStateDir, nodeFileName))); err != nil {
		t.Errorf("the identity is gone: %v", err)
	}
}

func TestEnableAddon(t *testing.T) {
	m := newMachine(t)
	m.file(t, addonsDir+"/registry.yaml", "")
	if err := m.EnableAddon(t.Context(), "dashboard"); err == nil || !strings.Contains(err.Error(), "registry") {
		t.Errorf("the names are not listed: %v", err)
	}
	if err := m.EnableAddon(t.Context(), "registry"); err == nil || !strings.Contains(err.Error(), "master") {
		t.Errorf("on a worker: %v", err)
	}
	m.file(t, DefaultStateDir+"/"+adminFile, "")
	if err := m.EnableAddon(t.Context(), "registry"); err != nil || !m.has("kubectl --kubeconfig="+m.path(DefaultStateDir+"/"+adminFile)+" apply -f "+m.path(addonsDir+"/registry.yaml")) {
		t.Errorf("%v, ran %q", err, m.ran)
	}
}
