package machine

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDeleteData(t *testing.T) {
	m := newMachine(t)
	m.file(t, DefaultStateDir+"/server/etcd/wal", "x")
	m.file(t, DefaultStateDir+"/wheelhouse/admin.kubeconfig", "a local cluster's")
	m.file(t, serverEnv, "x")
	enabled := "systemctl is-enabled " + serverUnit
	m.prints[enabled] = "enabled\n"
	if err := m.DeleteData(t.Context(), true); err == nil || !strings.Contains(err.Error(), "disable-node") {
		t.Errorf("of a running master: %v", err)
	}
	delete(m.prints, enabled)
	if err := m.DeleteData(t.Context(), false); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without a person: %v", err)
	}
	m.Terminal = true
	for _, answer := range []string{"n\n", "\n"} {
		m.In = strings.NewReader(answer)
		if err := m.DeleteData(t.Context(), false); err != nil || m.text(t, serverEnv) != "x" {
			t.Errorf("answer %q: %v", answer, err)
		}
	}
	m.In = strings.NewReader("y\n")
	if err := m.DeleteData(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{DefaultStateDir + "/server", serverEnv} {
		if _, err := os.Stat(m.path(gone)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	if m.text(t, DefaultStateDir+"/wheelhouse/admin.kubeconfig") == "" {
		t.Error("a local cluster's data is gone")
	}
}

func TestMountsBelow(t *testing.T) {
	const info = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:1 / /var/lib/wheelhouse/node/kubelet/pods/u/volumes/nfs rw - nfs4 a:/ rw
31 30 0:2 / /var/lib/wheelhouse/node/kubelet/pods/u/volumes/nfs/sub rw - tmpfs tmpfs rw
32 22 0:3 / /var/lib/wheelhouse/node/a\040b rw - tmpfs tmpfs rw
33 22 0:4 / /var/lib/wheelhouse/node-other rw - tmpfs tmpfs rw
`
	want := []string{"/var/lib/wheelhouse/node/kubelet/pods/u/volumes/nfs/sub", "/var/lib/wheelhouse/node/kubelet/pods/u/volumes/nfs", "/var/lib/wheelhouse/node/a b"}
	if got := mountsBelow(info, "/var/lib/wheelhouse/node"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
