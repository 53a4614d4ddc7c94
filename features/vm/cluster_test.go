//go:build vm

package vm

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/wait"
)

// The tests of this file share a cluster, in this order.

func TestUp(t *testing.T) {
	seen(t, "%s", strings.ReplaceAll(sh(t, "systemctl --version | head -1; stat -fc %T /sys/fs/cgroup; uname -r; docker info -f '{{.CgroupDriver}} driver, Docker {{.ServerVersion}}, {{.SecurityOptions}}'"), "\n", ", "))
	cs := up(t)
	var nodes *corev1.NodeList
	err := answered(t, func() (err error) {
		nodes, err = cs.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		return err
	})
	if err != nil || len(nodes.Items) != 3 {
		t.Fatalf("%v, %v", nodes, err)
	}
	for _, n := range nodes.Items {
		seen(t, "%s: %s, %s", n.Name, n.Status.NodeInfo.OSImage, n.Status.NodeInfo.ContainerRuntimeVersion)
	}
}

// TestLimits: a pod's limits are in its slice's files and in its unit, and of another pod after a
// resize; `systemctl daemon-reload` changes none in any slice.
func TestLimits(t *testing.T) {
	cs := cluster(t)
	p := create(t, cs, pod("limited", "minion-1", "sleep 1000000", resources("500m", "64Mi"), resources("250m", "32Mi")))
	state(t, cs, p.Name, "ready", ready)
	dir := sliceOf(t, p)
	unit := filepath.Base(dir)
	check := func(when, want string) {
		t.Helper()
		if got := limits(t, dir)[unit]; got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
		seen(t, "%s: %s; unit: %s", when, limits(t, dir)[unit], strings.ReplaceAll(sh(t, "systemctl show -p MemoryMax -p CPUWeight -p CPUQuotaPerSecUSec -p TasksMax "+unit), "\n", ", "))
	}
	reload := func() {
		t.Helper()
		before := limits(t, podSlices(t, "")...)
		sh(t, "systemctl daemon-reload")
		after := limits(t, podSlices(t, "")...)
		if !maps.Equal(before, after) {
			t.Errorf("daemon-reload: limits were %v, are %v", before, after)
		}
		seen(t, "daemon-reload leaves the limits of %d slices", len(after))
	}
	first := "memory.max=67108864, cpu.weight=10, cpu.max=50000 100000, pids.max=4096"
	check("when it runs", first)
	reload()
	check("after daemon-reload", first)

	patch := `{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"500m","memory":"32Mi"},"limits":{"cpu":"700m","memory":"96Mi"}}}]}}`
	if err := answered(t, func() error {
		_, err := cs.CoreV1().Pods("default").Patch(t.Context(), p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "resize")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	second := "memory.max=100663296, cpu.weight=20, cpu.max=70000 100000, pids.max=4096"
	took := until(t, "the resize reaches the slice", func() error {
		got := limits(t, dir)[unit]
		return wait.Seen(got == second, got)
	})
	seen(t, "resized within %s", took)
	reload()
	check("after resize and daemon-reload", second)
	if now := state(t, cs, p.Name, "ready", ready); now.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the container was restarted %d times", now.Status.ContainerStatuses[0].RestartCount)
	}
}

func TestOOM(t *testing.T) {
	cs := cluster(t)
	p := pod("greedy", "minion-1", "dd if=/dev/zero of=/dev/null bs=128M", resources("1", "32Mi"), nil)
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	create(t, cs, p)
	ended := state(t, cs, p.Name, "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	end := ended.Status.ContainerStatuses[0].State.Terminated
	if end == nil || end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("the container ended with %+v", end)
	}
	seen(t, "%s, exit code %d", end.Reason, end.ExitCode)
	remove(t, cs, p.Name)
}

// TestWeights: two pods that want all processors get them as their requests are.
func TestWeights(t *testing.T) {
	cs := cluster(t)
	// Both begin at a signal: one alone would take what the other needs to start.
	const script = "trap 'go=1' USR1; until [ \"$go\" ]; do sleep 1; done; for i in 1 2; do (while :; do :; done) & done; wait"
	start := func(name, cpu string) *corev1.Pod {
		p := pod(name, "minion-1", script, nil, resources(cpu, "16Mi"))
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		return create(t, cs, p)
	}
	small, large := start("small", "200m"), start("large", "800m")
	use := func(p *corev1.Pod) float64 {
		data, err := os.ReadFile(filepath.Join(sliceOf(t, p), "cpu.stat"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseFloat(strings.Fields(string(data))[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return n / 1e6
	}
	var ids []string
	for _, p := range []*corev1.Pod{small, large} {
		status := state(t, cs, p.Name, "ready", ready).Status.ContainerStatuses[0]
		ids = append(ids, strings.TrimPrefix(status.ContainerID, "docker://"))
	}
	sh(t, "docker kill -s USR1 "+strings.Join(ids, " "))
	// They take all that the machine has: nothing else is done before they have ended.
	end := func() { _ = exec.Command("docker", append([]string{"kill"}, ids...)...).Run() } // they may have ended
	t.Cleanup(end)
	s, l := use(small), use(large)
	var ratio float64
	until(t, "ten seconds of a processor are used", func() error {
		ds, dl := use(small)-s, use(large)-l
		ratio = dl / ds
		return wait.Seen(ds+dl > 10, ds+dl, " s")
	})
	end()
	if ratio < 2.5 || ratio > 6 {
		t.Errorf("requests of 200m and 800m got processors as 1 to %.2f", ratio)
	}
	seen(t, "requests of 200m and 800m got processors as 1 to %.2f", ratio)
	remove(t, cs, small.Name)
	remove(t, cs, large.Name)
}

// TestDockerRestart: a pod is ready again when Docker has been restarted, within its limits.
func TestDockerRestart(t *testing.T) {
	cs := cluster(t)
	before := state(t, cs, "limited", "ready", ready)
	was := limits(t, sliceOf(t, before))
	sh(t, "systemctl restart docker")
	began := time.Now()
	after := state(t, cs, "limited", "restarted and ready", func(p *corev1.Pod) bool {
		return ready(p) && p.Status.ContainerStatuses[0].ContainerID != before.Status.ContainerStatuses[0].ContainerID
	})
	if now := limits(t, sliceOf(t, after)); !maps.Equal(was, now) {
		t.Errorf("limits were %v, are %v", was, now)
	}
	seen(t, "ready again after %.0f s, restarted %d times", time.Since(began).Seconds(), after.Status.ContainerStatuses[0].RestartCount)
}

// TestPodsLeaveNothing: when a pod is deleted, its slice and its control group are gone.
func TestPodsLeaveNothing(t *testing.T) {
	cs := cluster(t)
	p := state(t, cs, "limited", "ready", ready)
	if sliceOf(t, p) == "" {
		t.Fatal("the pod has no slice")
	}
	remove(t, cs, p.Name)
	took := until(t, "no pod has a unit or a control group", func() error {
		var left []string
		for _, name := range append(units(t), podSlices(t, "")...) {
			if strings.Contains(filepath.Base(name), "-pod") {
				left = append(left, name)
			}
		}
		return wait.Seen(len(left) == 0, left)
	})
	seen(t, "gone within %s; left are %s", took, strings.Join(units(t), " "))
}

// TestLabs: the labs of four tracks, each as a learner's `wheelhouse lab run` does it.
func TestLabs(t *testing.T) {
	labs, err := filepath.Glob("/payload/labs/*/*")
	if err != nil || len(labs) == 0 {
		t.Fatalf("no labs in /payload: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), "wheelhouse", "lab", "author", "/payload").CombinedOutput(); err != nil {
		t.Fatalf("lab author: %v: %s", err, out)
	}
	began := time.Now()
	for _, dir := range labs {
		_, name, _ := strings.Cut(filepath.Base(dir), "-")
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			cmd := exec.CommandContext(t.Context(), "wheelhouse", "lab", "run", "--labs", "/payload", "--slow", "20", name)
			cmd.Env = append(os.Environ(), "WHEELHOUSE_NO_COLOR=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("lab run %s: %v", name, err)
				t.Logf("%s", out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			seen(t, "%s in %.0f s: %s", name, time.Since(began).Seconds(), lines[len(lines)-1])
		})
	}
	seen(t, "%d labs in %.0f s", len(labs), time.Since(began).Seconds())
}

// TestBeforeReboot leaves a cluster with a Deployment, for TestAfterReboot.
func TestBeforeReboot(t *testing.T) {
	cs := cluster(t)
	sh(t, "wheelhouse kubectl create configmap kept --from-literal=a=b")
	sh(t, "wheelhouse kubectl create deployment web --image=nginx --replicas=2")
	until(t, "the Deployment is available", available(t, cs))
	seen(t, "running: %s", sh(t, "docker ps -q | wc -l")+" containers")
}

// available reports whether both pods of the Deployment are.
func available(t *testing.T, cs *kubernetes.Clientset) func() error {
	t.Helper()
	return func() error {
		d, err := cs.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wait.Seen(d.Status.AvailableReplicas == 2 && d.Status.ObservedGeneration == d.Generation, fmt.Sprintf("%+v", d.Status))
	}
}

// TestAfterReboot: nothing of the cluster runs on its own, and `up` brings back what was there.
func TestAfterReboot(t *testing.T) {
	running, left := sh(t, "docker ps -q | wc -l"), units(t)
	if running != "0" || len(left) > 0 {
		t.Errorf("before up %s containers run, and there are units %v", running, left)
	}
	seen(t, "before up: %s containers run, units %v", running, left)
	cs := up(t)
	if err := answered(t, func() error {
		_, err := cs.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{})
		return err
	}); err != nil {
		t.Error(err)
	}
	node := map[string]bool{}
	took := until(t, "both pods are ready again, on the new boot", func() error {
		if err := available(t, cs)(); err != nil {
			return err
		}
		list, err := cs.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if sliceOf(t, &p) == "" {
				return fmt.Errorf("pod %s has no slice", p.Name)
			}
			node[p.Spec.NodeName] = true
		}
		return wait.Seen(len(list.Items) == 2, len(list.Items), " pods")
	})
	seen(t, "the Deployment is available after %s, on %d nodes", took, len(node))
	rebooted(t, cs)
}

// rebooted: each node has one event of the reboot, with the boot that it sees now.
func rebooted(t *testing.T, cs *kubernetes.Clientset) {
	t.Helper()
	boot := sh(t, "cat /proc/sys/kernel/random/boot_id")
	until(t, "every node has an event of the reboot", func() error {
		nodes, err := cs.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		events, err := cs.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=Rebooted"})
		if err != nil {
			return err
		}
		want, got := map[string]int{}, map[string]int{}
		for _, n := range nodes.Items {
			want[fmt.Sprintf("Node %s has been rebooted, boot id: %s", n.Name, boot)] = 1
		}
		for _, e := range events.Items {
			got[e.Message] += max(int(e.Count), 1)
		}
		return wait.Seen(len(want) > 0 && maps.Equal(want, got), got, ", want ", want)
	})
	seen(t, "each node has its event: Rebooted, boot id: %s", boot)
}

// TestDown: nothing is left of a cluster with running pods.
func TestDown(t *testing.T) {
	seen(t, "%s", strings.ReplaceAll(sh(t, "wheelhouse down"), "\n", "; "))
	nothing(t)
}

// nothing fails the test when there is a unit, a control group, a container or a namespace left.
func nothing(t *testing.T) {
	t.Helper()
	if left := units(t); len(left) > 0 {
		t.Errorf("units are left: %v", left)
	}
	if left := sh(t, "find /sys/fs/cgroup -name '*wheelhouse*' -o -name '*kubepods*'"); left != "" {
		t.Errorf("control groups are left: %s", left)
	}
	if left := sh(t, "docker ps -aq; ip netns list; mount | grep /var/lib/wheelhouse || true; pgrep -a wheelhouse || true"); left != "" {
		t.Errorf("left are: %s", left)
	}
	seen(t, "no unit, control group, container, namespace, mount or process is left")
}
