package kubelet_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/wait"
)

const patience = 2 * time.Minute

// testNode is a kubelet on real Docker, with an API server in memory.
type testNode struct {
	t       *testing.T
	client  *fake.Clientset
	runtime *docker.Runtime
	network *wires
	root    string
	host    string // the kubelet's server
	keys    keys
	events  *events
	adjust  func(*kubelet.Config)

	kubelet *kubelet.Kubelet
	stop    func()
}

var nodes atomic.Int32

func newNode(t *testing.T, objects ...apiruntime.Object) *testNode {
	t.Helper()
	return newNodeWith(t, func(*kubelet.Config) {}, objects...)
}

// newNodeWith is a node whose kubelet is configured otherwise.
func newNodeWith(t *testing.T, configure func(*kubelet.Config), objects ...apiruntime.Object) *testNode {
	t.Helper()
	dockertest.Require(t)
	name := fmt.Sprintf("kt-%d-%d", os.Getpid(), nodes.Add(1))
	rt, err := docker.New(docker.Config{Cluster: "kubelet-test", Node: name})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	root, err := os.MkdirTemp("", "kubelet-test") //nolint:usetesting // its removal is this fixture's, after the kubelet's end
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{
		t: t, client: fake.NewClientset(objects...), runtime: rt, network: &wires{}, root: root, host: host,
		keys: newKeys(t), events: &events{}, adjust: configure,
	}
	// This API server allows no user a node's server.
	n.client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, apiruntime.Object, error) {
		return true, a.(clienttesting.CreateAction).GetObject(), nil
	})
	t.Cleanup(removeGroups)
	t.Cleanup(n.clear)
	n.start()
	return n
}

// removeGroups removes the control groups above those of the pods, which outside of tests
// is for `wheelhouse down` to do. What another test still uses stays.
func removeGroups() {
	_ = cgroup.At("/sys/fs/cgroup").Remove(context.Background(), "/wheelhouse/kubelet-test")
}

// start runs a kubelet until stop; a second start is a restarted kubelet.
func (n *testNode) start() {
	n.t.Helper()
	watching := make(chan struct{})
	var once sync.Once
	n.client.PrependWatchReactor("pods", func(a clienttesting.Action) (bool, watch.Interface, error) {
		w, err := n.client.Tracker().Watch(a.GetResource(), a.GetNamespace())
		once.Do(func() { close(watching) })
		return true, w, err
	})
	var err error
	config := kubelet.Config{
		Cluster: "kubelet-test", NodeName: "node-1", NodeIP: netip.MustParseAddr("127.0.0.1"), RootDir: n.root,
		HostRoot: n.root + "/disk", StaticPods: n.root + "/manifests", Client: n.client, Runtime: n.runtime, Network: n.network, Recorder: n.events,
		PodCIDR: "10.251.0.0/16", ClusterDNS: "10.247.0.10", Listen: n.host,
		Serving: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &n.keys.server, nil }, ClientCAs: n.keys.pool, AllowedUsers: []string{"apiserver"},
		Log: slog.New(slog.NewTextHandler(testWriter{n.t}, nil)),
	}
	n.adjust(&config)
	if n.kubelet, err = kubelet.New(config); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.kubelet.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-watching:
	case <-time.After(patience):
		n.t.Fatal("the kubelet does not watch pods")
	}
}

// clear stops the kubelet and removes all that it has left running.
func (n *testNode) clear() {
	n.stop()
	ctx := context.Background()
	all, err := n.runtime.List(ctx, "")
	if err != nil {
		n.t.Error(err)
	}
	for _, c := range all {
		if err := n.runtime.Remove(ctx, c.ID); err != nil {
			n.t.Error(err)
		}
		_ = n.network.Detach(ctx, c.Pod.UID)
	}
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], n.root) {
			_ = exec.Command("umount", "-l", f[4]).Run()
		}
	}
	if err := os.RemoveAll(n.root); err != nil {
		n.t.Error(err)
	}
	if err := n.runtime.Close(); err != nil {
		n.t.Error(err)
	}
}

var uids atomic.Int32

// pod is a pod of one busybox container that runs a shell script.
func pod(name, script string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(fmt.Sprintf("kt-%d-%d", os.Getpid(), uids.Add(1)))},
		Spec: v1.PodSpec{
			NodeName: "node-1", RestartPolicy: v1.RestartPolicyAlways, DNSPolicy: v1.DNSClusterFirst,
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []v1.Container{{
				Name: "main", Image: dockertest.BusyBox, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sh", "-c", script},
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile,
			}},
		},
		Status: v1.PodStatus{Phase: v1.PodPending},
	}
}

func (n *testNode) create(p *v1.Pod) *v1.Pod {
	n.t.Helper()
	p, err := n.client.CoreV1().Pods(p.Namespace).Create(context.Background(), p, metav1.CreateOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// wait polls a pod until the condition holds.
func (n *testNode) wait(name, what string, ok func(*v1.Pod) bool) *v1.Pod {
	n.t.Helper()
	var last *v1.Pod
	wait.Within(n.t, patience, "pod "+name+": "+what, func() (err error) {
		if last, err = n.client.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{}); err == nil && !ok(last) {
			err = fmt.Errorf("%+v\nevents:\n%s", last.Status, n.events)
		}
		return err
	})
	return last
}

// delete has a pod end as `kubectl delete` does, and waits until it is gone.
func (n *testNode) delete(name string) {
	n.t.Helper()
	n.waitGone(name, n.terminate(name, -1))
}

// terminate begins the end of a pod, with a grace period in seconds; below 0: its own.
func (n *testNode) terminate(name string, grace int64) types.UID {
	n.t.Helper()
	ctx := context.Background()
	p, err := n.client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	now := metav1.Now()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, p.Spec.TerminationGracePeriodSeconds
	if grace >= 0 {
		p.DeletionGracePeriodSeconds = &grace
	}
	if _, err := n.client.CoreV1().Pods("default").Update(ctx, p, metav1.UpdateOptions{}); err != nil {
		n.t.Fatal(err)
	}
	return p.UID
}

// waitGone waits until nothing of a pod is left.
func (n *testNode) waitGone(name string, uid types.UID) {
	n.t.Helper()
	ctx := context.Background()
	wait.Within(n.t, patience, "pod "+name+" to be gone", func() error {
		_, err := n.client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		left, _ := n.runtime.List(ctx, string(uid))
		return wait.Seen(err != nil && len(left) == 0 && n.kubelet.WorkersLeft() == 0, err, left)
	})
	if _, err := os.Stat(n.root + "/pods/" + string(uid)); !os.IsNotExist(err) {
		n.t.Errorf("the pod's directory is still there: %v", err)
	}
}

func isReady(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue && p.Status.Phase == v1.PodRunning
		}
	}
	return false
}

func containerID(p *v1.Pod) string {
	if len(p.Status.ContainerStatuses) == 0 {
		return ""
	}
	return strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "docker://")
}

// wires is a pod network of one cable a pod, without bridge or routes.
type wires struct {
	mu   sync.Mutex
	ips  map[string]netip.Addr
	next byte
	cut  string // the pod whose cable is missing until Attach
}

// sever cuts the cable of a pod.
func (w *wires) sever(pod string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = pod
}

func (w *wires) Attach(_ context.Context, pod string, pid int, ip netip.Addr) (netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if have, ok := w.ips[pod]; ok {
		if w.cut == pod {
			w.cut = ""
		}
		return have, nil
	}
	w.next++
	block := byte(os.Getpid()%200) + 20
	outer, inner := fmt.Sprintf("10.251.%d.%d/30", block, w.next*4+1), netip.AddrFrom4([4]byte{10, 251, block, w.next*4 + 2})
	name := fmt.Sprintf("kt%d.%d", block, w.next)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}); err != nil {
		return ip, err
	}
	if err := plug(name, outer); err != nil {
		return ip, err
	}
	peer, err := netlink.LinkByName(name + "p")
	if err != nil {
		return ip, err
	}
	if err := netlink.LinkSetNsPid(peer, pid); err != nil {
		return ip, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return ip, err
	}
	defer func() { _ = home.Close() }()
	away, err := netns.GetFromPid(pid)
	if err != nil {
		return ip, err
	}
	defer func() { _ = away.Close() }()
	if err := netns.Set(away); err != nil {
		return ip, err
	}
	defer func() { _ = netns.Set(home) }()
	if err := plug("lo", ""); err != nil {
		return ip, err
	}
	if w.ips == nil {
		w.ips = map[string]netip.Addr{}
	}
	w.ips[pod] = inner
	return inner, plug(name+"p", inner.String()+"/30")
}

func (w *wires) Missing(_ context.Context, pod string, _ int, _ netip.Addr) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut == pod {
		return "its cable", nil
	}
	return "", nil
}

func plug(name, addr string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if addr != "" {
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

func (w *wires) Detach(_ context.Context, pod string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ips, pod) // the cable goes with the pod's namespace
	return nil
}

// events keeps what is recorded.
type events struct {
	record.EventRecorder
	mu    sync.Mutex
	lines []string
}

func (e *events) Event(_ apiruntime.Object, kind, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, kind+" "+reason+" "+message)
}

// clear removes the events until now.
func (e *events) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = nil
}

func (e *events) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.lines, "\n")
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if !strings.Contains(string(p), "level=INFO") {
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

var _ io.Writer = testWriter{}

// rest is a client of the kubelet's server.
func (n *testNode) rest() *rest.Config {
	return &rest.Config{Host: "https://" + n.host, TLSClientConfig: rest.TLSClientConfig{
		Insecure: true, CertData: n.keys.clientCert, KeyData: n.keys.clientKey,
	}}
}
