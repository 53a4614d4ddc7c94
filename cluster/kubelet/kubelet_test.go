//go:build !quick

package kubelet_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/wait"
)

// A pod comes up within a second, a killed container and a removed one come back,
// and a deleted pod leaves nothing.
func TestPodLife(t *testing.T) {
	n := newNode(t)
	begun := time.Now()
	n.create(pod("life", "echo hello; sleep 1000 & wait"))
	p := n.wait("life", "Running and Ready", isReady)
	t.Logf("Running and Ready after %s", time.Since(begun))
	first := containerID(p)
	if p.Status.PodIP == "" || p.Status.HostIP == "" || p.Status.QOSClass != v1.PodQOSBestEffort {
		t.Errorf("status: %+v", p.Status)
	}
	for _, want := range []string{
		`Normal Pulled Container image "` + dockertest.BusyBox + `" already present on machine`,
		"Normal Created Created container: main", "Normal Started Started container main",
	} {
		if !strings.Contains(n.events.String(), want) {
			t.Errorf("no event %q in:\n%s", want, n.events)
		}
	}

	ctx := context.Background()
	if err := n.runtime.Stop(ctx, first, 0); err != nil {
		t.Fatal(err)
	}
	p = n.wait("life", "a restarted container", func(p *v1.Pod) bool { return isReady(p) && containerID(p) != first })
	st := p.Status.ContainerStatuses[0]
	if st.RestartCount != 1 || st.LastTerminationState.Terminated == nil || st.LastTerminationState.Terminated.ExitCode != 137 {
		t.Errorf("after a kill: %+v", st)
	}
	second := containerID(p)
	if err := n.runtime.Remove(ctx, second); err != nil {
		t.Fatal(err)
	}
	p = n.wait("life", "a new container", func(p *v1.Pod) bool { return isReady(p) && containerID(p) != second })
	if got := p.Status.ContainerStatuses[0].RestartCount; got != 2 {
		t.Errorf("restart count %d after a removal, want 2", got)
	}

	all, err := n.runtime.List(ctx, string(p.UID))
	if err != nil {
		t.Fatal(err)
	}
	third := containerID(p)
	for _, c := range all {
		if c.Name == "POD" {
			if err := n.runtime.Stop(ctx, c.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.wait("life", "a new sandbox", func(p *v1.Pod) bool { return isReady(p) && containerID(p) != third })
	n.saysAll("Normal SandboxChanged Pod sandbox changed, it will be killed and re-created.")
	n.delete("life")
}

// A new kubelet adopts what runs, and removes what does not belong to a pod any more.
func TestAdoption(t *testing.T) {
	n := newNode(t)
	n.create(pod("kept", "trap exit TERM; sleep 1000 & wait"))
	n.create(pod("dropped", "trap exit TERM; sleep 1000 & wait"))
	p := n.wait("kept", "Ready", isReady)
	gone := n.wait("dropped", "Ready", isReady)
	n.stop()
	if err := n.client.CoreV1().Pods("default").Delete(context.Background(), "dropped", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	n.start()
	wait.Within(t, patience, "the dropped pod to be cleared away", func() error {
		left, err := n.runtime.List(context.Background(), string(gone.UID))
		return wait.Seen(err == nil && len(left) == 0, left)
	})
	after := n.wait("kept", "Ready", isReady)
	if containerID(after) != containerID(p) || after.Status.ContainerStatuses[0].RestartCount != 0 || after.Status.PodIP != p.Status.PodIP {
		t.Errorf("after a restart of the kubelet:\n%+v\nbefore:\n%+v", after.Status, p.Status)
	}
	// The new kubelet does look after it.
	if err := n.runtime.Stop(context.Background(), containerID(p), 0); err != nil {
		t.Fatal(err)
	}
	n.wait("kept", "a restarted container", func(q *v1.Pod) bool { return isReady(q) && containerID(q) != containerID(p) })
	n.delete("kept")
}

// How containers end is in the pod's status.
func TestEndings(t *testing.T) {
	n := newNode(t)
	said := pod("said", "echo -n last word > /dev/termination-log; exit 3")
	said.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(said)
	logged := pod("logged", "echo from the log; exit 1")
	logged.Spec.RestartPolicy = v1.RestartPolicyNever
	logged.Spec.Containers[0].TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	n.create(logged)
	// Docker misses the reason of a container that ends in its first moments.
	greedy := pod("greedy", "sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1")
	greedy.Spec.RestartPolicy = v1.RestartPolicyNever
	greedy.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("16Mi")}
	n.create(greedy)
	fine := pod("fine", "true")
	fine.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	n.create(fine)
	missing := pod("missing", "")
	missing.Spec.Containers[0].Command = []string{"/no/such/program"}
	n.create(missing)
	n.create(pod("loop", "exit 1"))

	ended := func(name string, phase v1.PodPhase) *v1.ContainerStateTerminated {
		t.Helper()
		p := n.wait(name, string(phase), func(p *v1.Pod) bool { return p.Status.Phase == phase })
		end := p.Status.ContainerStatuses[0].State.Terminated
		if end == nil {
			t.Fatalf("%s: %+v", name, p.Status.ContainerStatuses[0])
		}
		return end
	}
	if e := ended("said", v1.PodFailed); e.ExitCode != 3 || e.Reason != "Error" || e.Message != "last word" {
		t.Errorf("said: %+v", e)
	}
	if e := ended("logged", v1.PodFailed); e.Message != "from the log\n" {
		t.Errorf("logged: %+v", e)
	}
	// Docker may report the reason later than the end.
	n.wait("greedy", "OOMKilled", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return p.Status.Phase == v1.PodFailed && s[0].State.Terminated != nil &&
			s[0].State.Terminated.Reason == "OOMKilled" && s[0].State.Terminated.ExitCode == 137
	})
	if e := ended("fine", v1.PodSucceeded); e.Reason != "Completed" {
		t.Errorf("fine: %+v", e)
	}
	p := n.wait("loop", "CrashLoopBackOff", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	if s := p.Status.ContainerStatuses[0]; s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || p.Status.Phase != v1.PodRunning {
		t.Errorf("loop: %+v", p.Status)
	}
	p = n.wait("missing", "a container that cannot run", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].LastTerminationState.Terminated != nil
	})
	if e := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; e.Reason != "ContainerCannotRun" || !strings.Contains(e.Message, "no such file") {
		t.Errorf("missing: %+v", e)
	}
	n.delete2("said", "logged", "greedy", "fine", "missing", "loop")
}

// Environment, files, volumes, init containers and limits are those of the spec.
func TestInside(t *testing.T) {
	n := newNode(t,
		&v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cm"}, Data: map[string]string{"key": "value", "LEVEL": "7"}},
		&v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sec"}, Data: map[string][]byte{"password": []byte("pw")}},
		&v1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "redis-master"},
			Spec:       v1.ServiceSpec{ClusterIP: "10.0.0.11", Ports: []v1.ServicePort{{Port: 6379, Protocol: v1.ProtocolTCP}}},
		})
	p := pod("inside", `
set -e
test "$GREETING" = "hello from inside, level 7"
test "$PW" = pw
test "$REDIS_MASTER_PORT_6379_TCP_ADDR" = 10.0.0.11
test "$MY_IP" = "$(ip -4 -o addr show scope global | tr -s ' ' | head -1 | grep -o '10\.251\.[0-9.]*' | head -1)"
test "$CPU" = 1
test "$(cat /cm/renamed)" = value
test "$(cat /sec/password)" = pw
grep -q "tmpfs /sec" /proc/mounts
test "$(stat -c %a /sec/..data/password)" = 440
test "$(cat /shared/from-init)" = done
test "$(cat /sub/file)" = "from init"
grep -q "$MY_IP.*inside" /etc/hosts
grep -q "search default.svc.cluster.local svc.cluster.local cluster.local" /etc/resolv.conf
test "$(hostname)" = inside
test "$(id -u)" = 1000
echo kept > /disk/data
grep -q 'app="x"' /podinfo/labels
test "$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max)" = 134217728
echo all right; sleep 1000 & wait`)
	p.Labels = map[string]string{"app": "x"}
	user := int64(1000)
	dir := v1.HostPathDirectoryOrCreate
	p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &user}
	p.Spec.Volumes = []v1.Volume{
		{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Items: []v1.KeyToPath{{Key: "key", Path: "renamed"}}}}},
		{Name: "sec", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "sec", DefaultMode: new(int32(0o400))}}},
		{Name: "shared", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		{Name: "disk", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/var/data", Type: &dir}}},
		{Name: "podinfo", VolumeSource: v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
	}
	c := &p.Spec.Containers[0]
	c.SecurityContext = &v1.SecurityContext{RunAsUser: &user}
	c.VolumeMounts = []v1.VolumeMount{
		{Name: "cm", MountPath: "/cm"},
		{Name: "sec", MountPath: "/sec"},
		{Name: "shared", MountPath: "/shared"},
		{Name: "shared", MountPath: "/sub", SubPath: "deep/er"},
		{Name: "disk", MountPath: "/disk"},
		{Name: "podinfo", MountPath: "/podinfo"},
	}
	c.Resources.Limits = v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("128Mi")}
	c.EnvFrom = []v1.EnvFromSource{{Prefix: "CM_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}}}
	c.Env = []v1.EnvVar{
		{Name: "NAME", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "GREETING", Value: "hello from $(NAME), level $(CM_LEVEL)"},
		{Name: "PW", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "sec"}, Key: "password"}}},
		{Name: "MY_IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "CPU", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.cpu"}}},
	}
	p.Spec.InitContainers = []v1.Container{{
		Name: "first", Image: dockertest.BusyBox, Command: []string{"sh", "-c", "chmod 777 /disk 2>/dev/null; echo done > /shared/from-init; mkdir -p /shared/deep/er; echo from init > /shared/deep/er/file"},
		VolumeMounts: []v1.VolumeMount{{Name: "shared", MountPath: "/shared"}},
	}}
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	if err := os.MkdirAll(n.root+"/disk/var/data", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(n.root+"/disk/var/data", 0o777); err != nil {
		t.Fatal(err)
	}
	p.Spec.Containers[0].Command[1] = "-xc"
	n.create(p)
	p = n.wait("inside", "an end or Ready", func(p *v1.Pod) bool { return isReady(p) || p.Status.Phase == v1.PodFailed })
	wait.Within(t, patience, "the script to print all right", func() error {
		log := n.logs(p, containerID(p))
		q, err := n.client.CoreV1().Pods("default").Get(context.Background(), "inside", metav1.GetOptions{})
		if err == nil && q.Status.Phase == v1.PodFailed {
			t.Fatalf("the script failed:\n%s", log)
		}
		return wait.Seen(strings.Contains(log, "\nall right\n"), log)
	})
	if data, err := os.ReadFile(n.root + "/disk/var/data/data"); err != nil || string(data) != "kept\n" {
		t.Errorf("host path: %q %v", data, err)
	}
	if p.Status.QOSClass != v1.PodQOSBurstable {
		t.Errorf("QoS class %s", p.Status.QOSClass)
	}
	n.delete("inside")
}
