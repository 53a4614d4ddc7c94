//go:build !quick

package kubelet_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/wait"
)

// sidecar adds an init container that stays. It logs its start and its end.
func sidecar(p *v1.Pod, name string) *v1.Container {
	always := v1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{
		Name: name, Image: dockertest.BusyBox, ImagePullPolicy: v1.PullIfNotPresent, RestartPolicy: &always,
		Command: []string{"sh", "-c", "echo start " + name + " >> /log/all; trap 'echo end " + name + " >> /log/all; exit 1' TERM; sleep 1000 & wait"},
	})
	return &p.Spec.InitContainers[len(p.Spec.InitContainers)-1]
}

// withLog gives all containers of the pod one file to write to.
func withLog(n *testNode, p *v1.Pod) string {
	kind := v1.HostPathDirectoryOrCreate
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "log", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/log-" + p.Name, Type: &kind}}})
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			list[i].VolumeMounts = append(list[i].VolumeMounts, v1.VolumeMount{Name: "log", MountPath: "/log"})
		}
	}
	return n.root + "/disk/log-" + p.Name + "/all"
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(data), " ", "-"))
}

// Sidecars start in their order, each before what follows it, and end in the opposite
// order after the containers.
func TestSidecarOrder(t *testing.T) {
	n := newNode(t)
	p := pod("car", "echo start main >> /log/all; trap 'sleep 0.5; echo end main >> /log/all; exit' TERM; sleep 1000 & wait")
	p.Spec.TerminationGracePeriodSeconds = new(int64(10))
	one := sidecar(p, "one")
	one.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 20, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/log/go"}}}}
	p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{
		Name: "init", Image: dockertest.BusyBox, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sh", "-c", "echo start init >> /log/all"},
	})
	sidecar(p, "two")
	file := withLog(n, p)
	n.create(p)
	n.wait("car", "the first sidecar to run, not yet started", func(p *v1.Pod) bool {
		s := p.Status.InitContainerStatuses
		return len(s) == 3 && s[0].State.Running != nil && !*s[0].Started && s[1].State.Waiting != nil && s[1].State.Waiting.Reason == "PodInitializing"
	})
	wait.Within(t, patience, "the first sidecar's line", func() error {
		data, err := os.ReadFile(file)
		return wait.Seen(string(data) == "start one\n", string(data)+" "+errText(err))
	})
	if err := os.WriteFile(strings.TrimSuffix(file, "all")+"go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	n.wait("car", "Ready", isReady)
	wait.Within(t, patience, "all starts", func() error { l := lines(t, file); return wait.Seen(len(l) == 4, l) })
	n.delete("car")
	want := []string{"start-one", "start-init", "start-two", "start-main", "end-main", "end-two", "end-one"}
	if got := lines(t, file); !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A pod whose containers have ended is done, though its sidecar would run indefinitely and
// ends with an error; a sidecar that ends before is started again, whatever the policy.
func TestSidecarOfJob(t *testing.T) {
	n := newNode(t)
	p := pod("job", "until [ -e /log/end ]; do sleep 0.1; done")
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	sidecar(p, "helper")
	file := withLog(n, p)
	n.create(p)
	p = n.wait("job", "Ready", isReady)
	first := strings.TrimPrefix(p.Status.InitContainerStatuses[0].ContainerID, "docker://")
	if err := n.runtime.Stop(context.Background(), first, 0); err != nil {
		t.Fatal(err)
	}
	n.wait("job", "the sidecar to run again", func(p *v1.Pod) bool {
		s := p.Status.InitContainerStatuses[0]
		return s.RestartCount == 1 && s.State.Running != nil && p.Status.Phase == v1.PodRunning
	})
	if err := os.WriteFile(strings.TrimSuffix(file, "all")+"end", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p = n.wait("job", "Succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	s := p.Status.InitContainerStatuses[0]
	if s.State.Terminated == nil || s.State.Terminated.ExitCode != 1 || s.RestartCount != 1 {
		t.Errorf("sidecar: %+v", s)
	}
	n.delete("job")
}

// A pod that is active for too long is ended.
func TestActiveDeadline(t *testing.T) {
	n := newNode(t)
	p := pod("late", "trap exit TERM; sleep 1000 & wait")
	p.Spec.ActiveDeadlineSeconds = new(int64(2))
	n.create(p)
	p = n.wait("late", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if p.Status.Reason != "DeadlineExceeded" || p.Status.Message != "Pod was active on the node longer than the specified deadline" {
		t.Errorf("%+v", p.Status)
	}
	if s := p.Status.ContainerStatuses[0]; s.State.Terminated == nil || s.Ready {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(n.events.String(), "Normal DeadlineExceeded Pod was active on the node longer than the specified deadline") {
		t.Errorf("events:\n%s", n.events)
	}
	n.delete("late")
}

// A pod that fails while its init container runs is not Failed before that has ended, also where it is reported meanwhile.
func TestFailedWhileAnInitContainerRuns(t *testing.T) {
	n := newNode(t)
	p := pod("stubborn", "true")
	p.Spec.ActiveDeadlineSeconds, p.Spec.TerminationGracePeriodSeconds = new(int64(1)), new(int64(5))
	p.Spec.InitContainers = slices.Clone(p.Spec.Containers)
	p.Spec.InitContainers[0].Name, p.Spec.InitContainers[0].Command = "init", []string{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}
	var early atomic.Int32
	n.client.PrependReactor("patch", "pods", func(a clienttesting.Action) (bool, apiruntime.Object, error) {
		if !strings.Contains(string(a.(clienttesting.PatchAction).GetPatch()), `"phase":"Failed"`) {
			return false, nil, nil
		}
		all, err := n.runtime.List(context.Background(), string(p.UID))
		if err != nil || slices.ContainsFunc(all, func(c cri.Container) bool { return c.Name == "init" && c.State == cri.Running }) {
			early.Add(1)
		}
		return false, nil, nil
	})
	n.create(p)
	wait.Within(t, patience, "the pod to be stopped", func() error {
		return wait.Seen(strings.Contains(n.events.String(), "Normal Killing Stopping container init"), n.events)
	})
	if _, err := n.client.CoreV1().Pods("default").Patch(context.Background(), p.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	p = n.wait("stubborn", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if s := p.Status.InitContainerStatuses[0]; early.Load() > 0 || p.Status.Reason != "DeadlineExceeded" || s.State.Terminated == nil {
		t.Errorf("%d times Failed while it ran, then %+v", early.Load(), p.Status)
	}
	n.delete("stubborn")
}

// A container that is added to a running pod sees the processes of the one it is to look
// at; its end is the end of nothing else.
func TestEphemeralContainer(t *testing.T) {
	n := newNode(t)
	n.create(pod("watched", "exec sleep 4242"))
	p := n.wait("watched", "Ready", isReady)
	main := containerID(p)
	add := func(name, target, script string) {
		t.Helper()
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), "watched", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Generation++
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, v1.EphemeralContainer{
			TargetContainerName: target,
			EphemeralContainerCommon: v1.EphemeralContainerCommon{
				Name: name, Image: dockertest.BusyBox, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sh", "-c", script},
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile,
			},
		})
		if _, err := n.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	add("debugger", "main", "tr '\\0' ' ' < /proc/1/cmdline; exit 3")
	p = n.wait("watched", "an ended debugger", func(p *v1.Pod) bool {
		s := p.Status.EphemeralContainerStatuses
		return len(s) == 1 && s[0].State.Terminated != nil
	})
	s := p.Status.EphemeralContainerStatuses[0]
	if log := n.logs(p, strings.TrimPrefix(s.ContainerID, "docker://")); s.State.Terminated.ExitCode != 3 || log != "sleep 4242 " {
		t.Errorf("%+v, log %q", s, log)
	}
	if code, log := n.get("/containerLogs/default/watched/debugger"); code != 200 || log != "sleep 4242 " {
		t.Errorf("log at the node: %d %q", code, log)
	}
	add("other", "", "tr '\\0' ' ' < /proc/1/cmdline; echo; sleep 1000")
	p = n.wait("watched", "another", func(p *v1.Pod) bool {
		s := p.Status.EphemeralContainerStatuses
		return len(s) == 2 && s[1].State.Running != nil
	})
	if !isReady(p) || containerID(p) != main || p.Status.EphemeralContainerStatuses[0].RestartCount != 0 {
		t.Errorf("%+v", p.Status)
	}
	wait.Within(t, patience, "its own processes", func() error {
		log := n.logs(p, strings.TrimPrefix(p.Status.EphemeralContainerStatuses[1].ContainerID, "docker://"))
		return wait.Seen(strings.HasPrefix(log, "sh -c"), log)
	})
	n.delete("watched")
}
