//go:build !quick

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/wait"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binary = os.Getenv("WHEELHOUSE_TEST_BINARY"); binary != "" { // of the test that runs this one in a network of its own
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "wheelhouse-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "wheelhouse")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		return 1
	}
	return m.Run()
}

// process is a running wheelhouse.
type process struct {
	*exec.Cmd
	log   wait.Output
	ended chan struct{}
}

// start runs the program until it is killed or the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.log, &p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(args, " "), p.log.String())
		}
	})
	return p
}

func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(s os.Signal) {
	_ = p.Process.Signal(s) // it may have ended
	<-p.ended
}

// server is a running API server, and the owner's client for it.
type server struct {
	*process
	*kubernetes.Clientset
	kubeconfig string
}

// startServer runs `wheelhouse server` or `wheelhouse apiserver` on a free port, and
// waits until it is ready. Simulated nodes are silent, so that grace is long.
func startServer(t *testing.T, command, dir string, more ...string) *server {
	t.Helper()
	s := &server{kubeconfig: filepath.Join(dir, "admin.kubeconfig")}
	// The kubeconfig of a former run names another port.
	if err := os.Remove(s.kubeconfig); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	args := []string{command, "--state-dir", dir, "--port", "0", "--dns-port", "0", "--node-monitor-grace-period", "10m"}
	s.process = start(t, append(args, more...)...)
	wait.Within(t, time.Minute, "the server is ready", func() error {
		select {
		case <-s.ended:
			t.Fatalf("the server ended:\n%s", s.log.String())
		default:
		}
		if err := s.connect(); err != nil {
			return err
		}
		_, err := s.RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
	return s
}

// connect makes a client of what the kubeconfig says now: a server that starts again on its own
// may have another port.
func (s *server) connect() error {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Timeout = -1, 10*time.Second
	s.Clientset, err = kubernetes.NewForConfig(cfg)
	return err
}

// always fails the test when f gives an error within the time: that nothing happens can
// only be seen by looking on.
func always(t *testing.T, during time.Duration, what string, f func() error) {
	t.Helper()
	for began := time.Now(); time.Since(began) < during; time.Sleep(50 * time.Millisecond) {
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// addNode registers a simulated node that is ready.
func addNode(t *testing.T, s *server, name string) {
	t.Helper()
	node := must[*corev1.Node](t)(s.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
	node.ResourceVersion = "" // the node controller may have changed it meanwhile
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("2000")}
	node.Status = corev1.NodeStatus{Capacity: size, Allocatable: size, Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}}
	must[*corev1.Node](t)(s.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}))
}

func pod(name, scheduler string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{SchedulerName: scheduler, Containers: []corev1.Container{{Name: "c", Image: "busybox"}}},
	}
}

// addPod creates a pod as soon as its namespace has a service account.
func addPod(t *testing.T, s *server, p *corev1.Pod) {
	t.Helper()
	wait.Within(t, 10*time.Second, "creating pod "+p.Name, func() error {
		_, err := s.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
		return err
	})
}

// bound is nil if the pod has a node.
func bound(t *testing.T, s *server, name string) error {
	t.Helper()
	p, err := s.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err == nil && p.Spec.NodeName == "" {
		err = fmt.Errorf("pod %s is %s on no node", name, p.Status.Phase)
	}
	return err
}

func pending(t *testing.T, s *server, name string) error {
	t.Helper()
	p, err := s.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err == nil && (p.Spec.NodeName != "" || p.Status.Phase != corev1.PodPending) {
		err = fmt.Errorf("pod %s is %s on node %q", name, p.Status.Phase, p.Spec.NodeName)
	}
	return err
}

// componentSays is nil if componentstatuses tells of the component as wanted.
func componentSays(t *testing.T, s *server, name string, want corev1.ConditionStatus, message string) error {
	t.Helper()
	c, err := s.CoreV1().ComponentStatuses().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if got := c.Conditions[0]; got.Status != want || !strings.Contains(got.Message, message) {
		return fmt.Errorf("%s: Healthy is %s: %s", name, got.Status, got.Message)
	}
	return nil
}
