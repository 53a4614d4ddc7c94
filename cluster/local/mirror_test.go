package local

import (
	"net"
	"strings"
	"testing"
)

// A mirror that the nodes cannot reach is refused before anything starts.
func TestCheckMirror(t *testing.T) {
	own := "127.0.0.1"
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			own = n.IP.String()
		}
	}
	far, near := Mirror{Address: "https://192.0.2.7:8443"}, Mirror{Address: "https://" + net.JoinHostPort(own, "8443")}
	for _, x := range []struct {
		record     record
		hostAccess bool
		want       string
	}{
		{record{}, false, ""},
		{record{Mirror: far}, false, ""},
		{record{Mirror: Mirror{CA: "/ca.crt"}}, false, "without the mirror"},
		{record{Mirror: far, Isolated: true}, true, "isolated cluster"},
		{record{Mirror: near}, false, "is this machine"},
		{record{Mirror: Mirror{Address: "https://localhost:8443"}}, false, "is this machine"},
		{record{Mirror: near}, true, ""},
	} {
		err := x.record.checkMirror(t.Context(), x.hostAccess)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v, host access %t: %v, want %q", x.record, x.hostAccess, err, x.want)
		}
	}
	if args := strings.Join((Mirror{"https://class:8443", "/ca.crt"}).args(), " "); args != "--image-mirror https://class:8443 --image-mirror-ca /ca.crt" {
		t.Errorf("the flags of a node: %s", args)
	}
}

// Nodes of a class bound the processes of each pod; flags of the person who starts it come last and win.
func TestFlagsOfNodes(t *testing.T) {
	u := &up{cfg: Config{StateDir: "/state", Name: "c", NodeArgs: []string{"--pod-max-pids=99"}}, rec: record{Name: "c", Class: true, Mirror: Mirror{Address: "https://class:8443"}, Subnets: block(0)}}
	text := strings.Join(u.nodeDaemon(u.rec.Subnets.node(1)).Args, " ")
	if !strings.HasSuffix(text, " --pod-max-pids 512 --image-mirror https://class:8443 --pod-max-pids=99") {
		t.Errorf("a node of a class: %s", text)
	}
	u.rec.Class, u.cfg.NodeArgs = false, nil
	if text := strings.Join(u.nodeDaemon(u.rec.Subnets.node(1)).Args, " "); strings.Contains(text, "pids") || !strings.HasSuffix(text, " --image-mirror https://class:8443") {
		t.Errorf("another node: %s", text)
	}
}
