//go:build !quick

package kubelet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/wait"
)

// What another program removes of a pod that runs is there again within ten seconds, with an
// event, and the pod's next container starts.
func TestRepair(t *testing.T) {
	n := newNode(t, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "key"}, Data: map[string][]byte{"k": []byte("value")}})
	p := pod("mended", "cat /secret/k /etc/hosts || exit 3; touch /memory/f /disk/f; trap exit TERM; sleep 1000 & wait")
	p.Spec.Volumes = []v1.Volume{
		{Name: "secret", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "key", DefaultMode: new(int32(0o644))}}},
		{Name: "memory", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}},
		{Name: "disk", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
	}
	for _, v := range p.Spec.Volumes {
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, v1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	p = n.create(p)
	n.wait("mended", "Ready", isReady)
	dir, uid := filepath.Join(n.root, "pods", string(p.UID)), string(p.UID)

	repaired := func(what string) {
		t.Helper()
		begun := time.Now()
		n.saysRepaired(what)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: repaired after %s", what, took)
		}
	}
	n.network.sever(uid)
	repaired("its cable")

	groups := cgroup.At("/sys/fs/cgroup")
	sandbox := 0
	all, err := n.runtime.List(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name == "POD" {
			sandbox = c.Pid
		}
	}
	own, err := cgroup.Of(sandbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := groups.Limit(t.Context(), filepath.Dir(own), cgroup.Limits{CPUShares: 777, Pids: 99}); err != nil {
		t.Fatal(err)
	}
	repaired("the limits of the control group")
	n.wait("mended", "Ready", isReady)
	for _, c := range all {
		if c.Name != "main" {
			continue
		}
		own, err := cgroup.Of(c.Pid)
		if err != nil {
			t.Fatal(err)
		}
		var kept cgroup.Kept
		if _, err := kept.Restore(groups, c.ID, own, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := groups.Limit(t.Context(), own, cgroup.Limits{CPUShares: 777, Pids: 99}); err != nil {
			t.Fatal(err)
		}
		repaired("the limits of containers (main)")
		if changed, err := kept.Restore(groups, c.ID, own, ""); changed || err != nil {
			t.Errorf("the limits of the container are others than before: %v", err)
		}
	}

	if err := os.RemoveAll(filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "volumes/kubernetes.io~empty-dir/disk")); err != nil {
		t.Fatal(err)
	}
	for _, mount := range []string{"volumes/kubernetes.io~empty-dir/memory", "volumes/kubernetes.io~secret/secret"} {
		_ = exec.Command("umount", "-l", filepath.Join(dir, mount)).Run()
		if err := os.RemoveAll(filepath.Join(dir, mount)); err != nil {
			t.Fatal(err)
		}
	}
	repaired("files in the directory")
	// A look may come between two of them: then all are made again, and the event names those that were missing.
	made := regexp.MustCompile(`Repaired Another program has removed or changed volumes \([a-z, ]*(disk|memory|secret)[a-z, ]*\) of the pod`)
	wait.Within(t, 10*time.Second, "volumes are repaired", func() error { return wait.Seen(made.MatchString(n.events.String()), n.events) })
	wait.Within(t, 20*time.Second, "all volumes", func() error {
		for _, volume := range []string{"empty-dir/disk", "empty-dir/memory", "secret/secret/..data"} {
			if _, err := os.Stat(filepath.Join(dir, "volumes/kubernetes.io~"+volume)); err != nil {
				return err
			}
		}
		return nil
	})
	events := n.events.String()

	id := containerID(n.wait("mended", "Ready", isReady))
	if err := n.runtime.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	p = n.wait("mended", "its next container to run", func(p *v1.Pod) bool { return isReady(p) && containerID(p) != id })
	wait.Within(t, patience, "the next container to print its files", func() error {
		log := n.logs(p, containerID(p))
		return wait.Seen(strings.HasPrefix(log, "value"), log)
	})
	if got := strings.TrimPrefix(n.events.String(), events); strings.Contains(got, "Repaired") {
		t.Errorf("what is whole is repaired: %s", got)
	}
	n.delete("mended")
}

// A step of the pod that takes long, or fails again and again, does not put the repair off.
func TestRepairMeanwhile(t *testing.T) {
	n := newNode(t, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "key"}, Data: map[string][]byte{"k": []byte("value")}})
	p := pod("hooked", "trap '' TERM; sleep 1000 & wait; sleep 1000")
	p.Spec.TerminationGracePeriodSeconds = new(int64(60))
	p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "touch /begun; while [ ! -e /enough ]; do sleep 0.1; done"}}}}
	n.create(p)
	p = n.wait("hooked", "its container to run", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Running != nil
	})
	n.network.sever(string(p.UID))
	n.saysRepaired("its cable")
	if p, err := n.client.CoreV1().Pods("default").Get(t.Context(), "hooked", metav1.GetOptions{}); err != nil || isReady(p) {
		t.Errorf("the hook has ended before the repair: %v", err)
	}
	if code, err := n.runtime.Exec(t.Context(), containerID(p), []string{"touch", "/enough"}, cri.IO{}); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	n.wait("hooked", "Ready", isReady)

	n.events.clear()
	n.terminate("hooked", 300)
	n.saysAll("Normal Killing Stopping container main")
	n.network.sever(string(p.UID))
	n.saysRepaired("its cable")
	if all, err := n.runtime.List(t.Context(), string(p.UID)); err != nil || len(all) != 2 {
		t.Errorf("the pod has ended before the repair: %v %v", all, err)
	}
	n.terminate("hooked", 1)
	n.waitGone("hooked", p.UID)
}

// What an earlier kubelet has set up is repaired by the present one, and a volume that cannot be set up is not lost.
func TestRepairOfAnEarlierKubelet(t *testing.T) {
	n := newNode(t)
	p := pod("old", "trap exit TERM; sleep 1000 & wait")
	p.Spec.Volumes = []v1.Volume{{Name: "disk", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "disk", MountPath: "/disk"}}
	p = n.create(p)
	n.wait("old", "Ready", isReady)
	n.stop()
	n.start()
	wait.Within(t, patience, "the pod to be adopted and looked after", func() error {
		n.network.sever(string(p.UID)) // the adoption makes the cable, too, without an event
		return wait.Seen(strings.Contains(n.events.String(), "Repaired"), n.events)
	})
	dir := filepath.Join(n.root, "pods", string(p.UID), "volumes/kubernetes.io~empty-dir/disk")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	n.saysRepaired("volumes (disk)")
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	n.delete("old")
}

// saysRepaired waits for the event of a repair.
func (n *testNode) saysRepaired(what string) {
	n.t.Helper()
	want := "Warning Repaired Another program has removed or changed " + what + " of the pod, which the kubelet has made again"
	wait.Within(n.t, patience, want, func() error { return wait.Seen(strings.Contains(n.events.String(), want), n.events) })
}
