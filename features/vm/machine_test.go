//go:build vm

package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/wait"
)

// limit is for whatever is waited for: an emulated machine may be thirty times slower, and have a
// fraction of the processors.
const limit = 30 * time.Minute

const groupRoot = "/sys/fs/cgroup"

// TestMain refuses every machine but the one that image.sh has made.
func TestMain(m *testing.M) {
	if name, err := os.Hostname(); err != nil || name != "wheelhouse-vm" {
		fmt.Fprintf(os.Stderr, "this is %s, not the virtual machine of features/vm\n", name)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// seen reports what a proof has seen.
func seen(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("seen: "+format, args...)
}

// sh runs a command line and returns what it printed.
func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

func until(t *testing.T, wanted string, look func() error) time.Duration {
	t.Helper()
	began := time.Now()
	wait.Within(t, limit, wanted, look)
	return time.Since(began).Round(time.Second)
}

// answered repeats a call until the API server answers it, and returns the answer's error: a
// handshake may take longer than the ten seconds that client-go gives it.
func answered(t *testing.T, call func() error) error {
	t.Helper()
	var answer error
	until(t, "the API server answers", func() error {
		answer = call()
		var status apierrors.APIStatus
		if errors.As(answer, &status) {
			return nil
		}
		return answer
	})
	return answer
}

// up brings the cluster up, and returns a client for it.
func up(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	began := time.Now()
	sh(t, "wheelhouse up --nodes 2 --timeout "+limit.String())
	seen(t, "up in %.0f s", time.Since(began).Seconds())
	return cluster(t)
}

func cluster(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	return client(t, local.KubeconfigPath("", ""))
}

func client(t *testing.T, kubeconfig string) *kubernetes.Clientset {
	t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	rc.Timeout = 2 * time.Minute
	cs, err := kubernetes.NewForConfig(rc)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// pod is one of busybox that runs a script, on a node if one is given.
func pod(name, node, script string, limits, requests corev1.ResourceList) *corev1.Pod {
	none := int64(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName: node, RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &none,
			Containers: []corev1.Container{{
				Name: "c", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script},
				Resources: corev1.ResourceRequirements{Limits: limits, Requests: requests},
			}},
		},
	}
}

func resources(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// create creates a pod, and deletes it when the test ends. It waits for the service account.
func create(t *testing.T, cs *kubernetes.Clientset, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	until(t, "pod "+p.Name+" is created", func() (err error) {
		created, err := cs.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
		if err == nil {
			p = created
		}
		return err
	})
	return p
}

// state waits until the pod is as wanted, and returns it.
func state(t *testing.T, cs *kubernetes.Clientset, name, wanted string, holds func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var p *corev1.Pod
	until(t, "pod "+name+" is "+wanted, func() (err error) {
		if p, err = cs.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		return wait.Seen(holds(p), p.Status.Phase, " ", p.Status.Reason, " ", p.Status.Message, " ", fmt.Sprint(p.Status.ContainerStatuses))
	})
	return p
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// remove deletes a pod and waits until it is gone.
func remove(t *testing.T, cs *kubernetes.Clientset, name string) {
	t.Helper()
	_ = cs.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}) // the wait shows whether it worked
	until(t, "pod "+name+" is gone", func() error {
		list, err := cs.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return err
		}
		return wait.Seen(len(list.Items) == 0, "it is still there")
	})
}

// podSlices returns the directories of the cluster's slices whose name contains part.
func podSlices(t *testing.T, part string) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(groupRoot, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has been removed meanwhile
		}
		if err == nil && d.IsDir() && strings.HasSuffix(path, ".slice") && strings.HasPrefix(d.Name(), "wheelhouse") && strings.Contains(d.Name(), part) {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// sliceOf returns the directory of a pod's slice, "" if there is none.
func sliceOf(t *testing.T, p *corev1.Pod) string {
	t.Helper()
	if dirs := podSlices(t, "pod"+strings.ReplaceAll(string(p.UID), "-", "_")); len(dirs) > 0 {
		return dirs[0]
	}
	return ""
}

// limits reads the limits of control groups.
func limits(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range dirs {
		var all []string
		for _, file := range []string{"memory.max", "cpu.weight", "cpu.max", "pids.max"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, file+"="+strings.TrimSpace(string(data)))
		}
		found[filepath.Base(dir)] = strings.Join(all, ", ")
	}
	return found
}

// units lists the loaded units of clusters and pods.
func units(t *testing.T) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(sh(t, "systemctl list-units --all --plain --no-legend 'wheelhouse*' 'kubepods*'")) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}
