//go:build vm

package vm

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	cs, address := serve(t)
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

// serve makes the machine server and node, as the services wh-server and wh-node, and returns a client and its address.
func serve(t *testing.T) (*kubernetes.Clientset, string) {
	t.Helper()
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
	return cs, address
}

// TestUninstall: `uninstall` refuses while services of systemd run, and changes nothing; then it frees the machine
// of node, server and a cluster of `up` with running pods.
func TestUninstall(t *testing.T) {
	ofUp := up(t)
	sh(t, "wheelhouse kubectl create deployment web --image=nginx --replicas=2")
	until(t, "the Deployment is available", available(t, ofUp))
	cs, _ := serve(t)
	create(t, cs, pod("left", "", "sleep 1000000", resources("500m", "64Mi"), nil))
	state(t, cs, "left", "ready", ready)

	containers := sh(t, "docker ps -q --no-trunc | sort")
	out, err := exec.CommandContext(t.Context(), "wheelhouse", "uninstall").CombinedOutput()
	text := strings.TrimSpace(string(out))
	for _, service := range []string{"server (process ", "node (process "} {
		if err == nil || !strings.Contains(text, service) {
			t.Errorf("while both services run: %v, %s", err, text)
		}
	}
	seen(t, "while both services run: %s", text)
	if now := sh(t, "docker ps -q --no-trunc | sort"); now != containers {
		t.Errorf("a refused uninstall has changed the containers: were %s, are %s", containers, now)
	}
	if err := available(t, ofUp)(); err != nil {
		t.Errorf("a refused uninstall has changed the cluster: %v", err)
	}

	sh(t, "systemctl stop wh-node wh-server")
	began := time.Now()
	said := sh(t, "wheelhouse uninstall")
	seen(t, "in %.0f s: %s", time.Since(began).Seconds(), strings.ReplaceAll(said, "\n", "; "))
	nothing(t)
	if left := sh(t, "ls -d /var/lib/wheelhouse 2>/dev/null || true; iptables-save | grep -E 'WHEELHOUSE|KUBE' || true; ip -o link | grep -E 'cbr0|wh-|veth' || true"); left != "" {
		t.Errorf("left are: %s", left)
	}
	seen(t, "again: %s", sh(t, "wheelhouse uninstall 2>&1; echo status $?"))
}

// TestSwap: on a machine with swap a pod's volumes in memory are kept out of it; where the kernel cannot (before 6.4),
// the node says so.
func TestSwap(t *testing.T) {
	const file = "/var/swap"
	sh(t, "fallocate -l 64M "+file+" && chmod 600 "+file+" && mkswap -q "+file+" && swapon "+file)
	t.Cleanup(func() { _ = exec.Command("sh", "-c", "swapoff "+file+"; rm "+file).Run() }) // the machine is thrown away
	cs, _ := serve(t)
	create(t, cs, pod("secretive", "", "sleep 1000000", resources("500m", "64Mi"), nil))
	p := state(t, cs, "secretive", "ready", ready)
	volumes := strings.Split(sh(t, "grep ' tmpfs ' /proc/mounts | grep "+string(p.UID)), "\n")
	var out int
	for _, line := range volumes {
		if slices.Contains(strings.Split(strings.Fields(line)[3], ","), "noswap") {
			out++
		}
	}
	events, err := cs.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=PossibleMemoryBackedVolumesOnDisk"})
	if err != nil {
		t.Fatal(err)
	}
	supported := sh(t, "mount -t tmpfs -o noswap probe /mnt 2>/dev/null && umount /mnt && echo yes || echo no") == "yes"
	if supported && (out != len(volumes) || len(events.Items) != 0) {
		t.Errorf("the kernel has noswap: of %v %d are out of swap, and there are %d warnings", volumes, out, len(events.Items))
	}
	if !supported && len(events.Items) != 1 {
		t.Errorf("the kernel lacks noswap, and there are %d warnings", len(events.Items))
	}
	seen(t, "Linux %s: noswap supported %t; %d of %d volumes in memory have it, %d warnings", sh(t, "uname -r"), supported, out, len(volumes), len(events.Items))
	all := sliceOf(t, p)
	for !strings.HasSuffix(all, "kubepods.slice") { // that of all pods; between is one of a class, if the pod's class has one
		if all = filepath.Dir(all); all == "/" {
			t.Fatalf("no slice of all pods above %s", sliceOf(t, p))
		}
	}
	swap := sh(t, "cat "+all+"/memory.swap.max")
	if swap != "0" {
		t.Errorf("pods may swap %s bytes, by %s", swap, all)
	}
	seen(t, "memory.swap.max of %s is %s", filepath.Base(all), swap)
	sh(t, "systemctl stop wh-node wh-server; wheelhouse uninstall")
	nothing(t)
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
