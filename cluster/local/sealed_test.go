package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A sealed cluster stays sealed, and takes nothing that would lead out of it.
func TestSeal(t *testing.T) {
	yes, no := true, false
	for _, x := range []struct {
		name   string
		record record
		config Config
		found  bool
		want   string
	}{
		{"new", record{}, Config{Sealed: &yes}, false, ""},
		{"again", record{Sealed: true}, Config{Sealed: &yes}, true, ""},
		{"unsaid", record{Sealed: true}, Config{Class: &no, Isolated: &no}, true, ""},
		{"unsealed", record{Sealed: true}, Config{Sealed: &no}, true, "stays as it was made"},
		{"of an older one", record{}, Config{Sealed: &yes}, true, "stays as it was made"},
		{"with the machine", record{Sealed: true}, Config{AllowHostAccess: true}, true, "no access to this machine"},
		{"with flags of nodes", record{}, Config{Sealed: &yes, NodeArgs: []string{"--host-root=/"}}, false, "no access to this machine"},
		{"with flags of the server", record{Sealed: true}, Config{ServerArgs: []string{"--resolver-netns=/proc/1/ns/net"}}, true, "no access to this machine"},
		{"with a mirror", record{}, Config{Sealed: &yes, Mirror: &Mirror{Address: "https://192.0.2.1"}}, false, "no access to this machine"},
		{"with addresses of the network", record{}, Config{Sealed: &yes, Pool: &[]string{"10.245.1.210"}}, false, "no access to this machine"},
	} {
		r := x.record
		err := r.seal(x.config, x.found)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
		if err == nil && !(r.Sealed && r.Class && r.Isolated) {
			t.Errorf("%s: %+v", x.name, r)
		}
	}
	var open record
	if err := open.seal(Config{AllowHostAccess: true, NodeArgs: []string{"--max-pods=9"}}, false); err != nil || open.Class || open.Isolated {
		t.Errorf("another: %+v, %v", open, err)
	}
}

// Every node of a sealed cluster refuses what leads to the machine, also the master, which an administrator of the API can uncordon.
func TestFlagsOfSealedNodes(t *testing.T) {
	u := &up{cfg: Config{StateDir: "/state", Name: "c"}, rec: record{Name: "c", Nodes: 1, Class: true, Isolated: true, Sealed: true, Subnets: block(0)}}
	for _, n := range u.rec.nodes() {
		d := u.nodeDaemon(n)
		if text := strings.Join(d.Args, " "); !strings.Contains(text, " --pod-security baseline --image-registries docker.io,") || !strings.Contains(text, " --max-pids 2000 ") || !d.sealed {
			t.Errorf("%s: %s", n.Name, text)
		}
	}
	d := u.serverDaemon()
	if text := strings.Join(d.Args, " "); !strings.Contains(text, " --quota-backend-bytes 67108864") || !strings.Contains(text, " --resolv-conf= ") || strings.Contains(text, machineNSArg) || !d.sealed {
		t.Errorf("the server: %s", text)
	}
}

// Both versions of control groups bound the processes.
func TestBound(t *testing.T) {
	sleeper := exec.CommandContext(t.Context(), "sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = sleeper.Process.Kill(), sleeper.Wait() }()
	for _, x := range []struct{ controllers, group, limit string }{{"", "memory", "memory.limit_in_bytes"}, {"cgroup.controllers", "", "memory.max"}} {
		root := t.TempDir()
		if x.controllers != "" {
			if err := os.WriteFile(filepath.Join(root, x.controllers), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := bound(root, "c", sleeper.Process.Pid); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(root, x.group, "wheelhouse-sealed-c", x.limit))
		if err != nil || string(text) != "1073741824" {
			t.Errorf("%s: %q, %v", x.limit, text, err)
		}
	}
}
