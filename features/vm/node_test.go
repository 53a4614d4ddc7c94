//go:build vm

package vm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/wait"
)

// room is what a pod may use of the memory that is available when the node starts.
const room = 500 << 20

// TestMachine: the machine itself is server and node, as two of systemd's services.
func TestMachine(t *testing.T) {
	address := own(t)
	began := time.Now()
	sh(t, "systemd-run -q --unit=wh-server wheelhouse server --address "+address+" --node self="+address)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", sh(t, "journalctl -u wh-server -u wh-node --no-pager | tail -60"))
		}
	})
	const kubeconfig = "/var/lib/wheelhouse/server/admin.kubeconfig"
	until(t, "the server's kubeconfig", func() error {
		_, err := os.Stat(kubeconfig)
		return err
	})
	var cs *kubernetes.Clientset
	until(t, "the server is ready", func() error {
		cs = client(t, kubeconfig)
		_, err := cs.RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
	// The server has written the kubeconfig of the node on its own machine.
	sh(t, fmt.Sprintf("systemd-run -q --unit=wh-node wheelhouse node --kubeconfig /var/lib/wheelhouse/server/self.kubeconfig --name self --address %s --pod-cidr 10.246.1.0/24 --eviction-hard 'memory.available<%d' --eviction-pressure-transition-period 10s",
		address, availableMemory(t)-room))
	until(t, "the node is Ready", func() error {
		n, err := cs.CoreV1().Nodes().Get(t.Context(), "self", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wait.Seen(condition(n, corev1.NodeReady) == corev1.ConditionTrue, n.Status.Conditions)
	})
	seen(t, "server and node are ready in %.0f s", time.Since(began).Seconds())

	t.Run("nfs", func(t *testing.T) { proveNFS(t, cs, address) })
	t.Run("eviction", func(t *testing.T) { proveEviction(t, cs) })
	t.Run("gone", func(t *testing.T) {
		create(t, cs, pod("left", "", "sleep 1000000", resources("500m", "64Mi"), nil))
		left := state(t, cs, "left", "ready", ready)
		if sliceOf(t, left) == "" || sh(t, "mount | grep -c /var/lib/wheelhouse/node/") == "0" {
			t.Error("the pod has no slice, or no volume: its removal would prove nothing")
		}
		sh(t, "systemctl stop wh-node wh-server; wheelhouse node --cleanup --name self --address "+address+" --pod-cidr 10.246.1.0/24")
		nothing(t)
		sh(t, "rm -r /var/lib/wheelhouse/server /var/lib/wheelhouse/node")
		if left := sh(t, "iptables-save | grep -E 'WHEELHOUSE|KUBE' || true; ip -o link show cbr0 2>/dev/null || true"); left != "" {
			t.Errorf("rules or interfaces are left: %s", left)
		}
	})
}

// own returns the machine's address.
func own(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && strings.HasPrefix(ip.String(), "10.0.2.") {
			return ip.String()
		}
	}
	t.Fatalf("no address of 10.0.2.0/24 in %v", all)
	return ""
}

func availableMemory(t *testing.T) int64 {
	t.Helper()
	var kib int64
	if _, err := fmt.Sscan(sh(t, "awk '/MemAvailable/ {print $2}' /proc/meminfo"), &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// proveNFS: a pod writes to a volume of the kernel's NFS server.
func proveNFS(t *testing.T, cs *kubernetes.Clientset, address string) {
	t.Helper()
	dir := "/srv/nfs"
	sh(t, "mkdir -p "+dir+" && echo '"+dir+" *(rw,no_root_squash,no_subtree_check,insecure)' >/etc/exports && systemctl start nfs-server")
	p := pod("writer", "", "echo written >/data/file && sleep 1000000", nil, nil)
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: address, Path: dir}}}}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	create(t, cs, p)
	state(t, cs, p.Name, "ready", ready)
	until(t, "the file is on the server", func() error {
		data, err := os.ReadFile(filepath.Join(dir, "file"))
		if err != nil {
			return err
		}
		return wait.Seen(string(data) == "written\n", string(data))
	})
	seen(t, "the pod's file is on the server; mounted as %s", sh(t, "mount -t nfs,nfs4 | head -1"))
	remove(t, cs, p.Name)
	// Without a grace period the object is gone before the node has cleaned up.
	until(t, "the volume is unmounted", func() error {
		left := sh(t, "mount -t nfs,nfs4")
		return wait.Seen(left == "", left)
	})
	sh(t, "systemctl stop nfs-server")
}

// proveEviction: a pod that takes more memory than the node has to give is evicted, another with
// requests stays, and the node accepts pods again.
func proveEviction(t *testing.T, cs *kubernetes.Clientset) {
	t.Helper()
	modest := create(t, cs, pod("modest", "", "sleep 1000000", nil, resources("50m", "32Mi")))
	state(t, cs, modest.Name, "ready", ready)
	hungry := pod("hungry", "", fmt.Sprintf("dd if=/dev/zero of=/memory/file bs=1M count=%d; sleep 1000000", room>>20+200), nil, nil)
	hungry.Spec.Volumes = []corev1.Volume{{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}}
	hungry.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "memory", MountPath: "/memory"}}
	create(t, cs, hungry)
	evicted := state(t, cs, "hungry", "evicted", func(p *corev1.Pod) bool { return p.Status.Reason == "Evicted" })
	seen(t, "%s", evicted.Status.Message)
	took := until(t, "the pressure ends", func() error {
		n, err := cs.CoreV1().Nodes().Get(t.Context(), "self", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wait.Seen(condition(n, corev1.NodeMemoryPressure) == corev1.ConditionFalse, n.Status.Conditions)
	})
	seen(t, "the pressure ended after %s", took)
	if p := state(t, cs, "modest", "ready", ready); p.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod with requests was restarted")
	}
	remove(t, cs, "hungry")
	remove(t, cs, "modest")
}
