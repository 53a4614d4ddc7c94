//go:build !quick

package features_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/wait"
)

// sealed is a cluster in the hands of an administrator who would like to have the machine.
type sealed struct {
	*testCluster
	port    int      // that this machine listens at, on all its addresses
	machine []string // its addresses
	other   string   // the address of another learner's API server
	reached atomic.Int64
}

// TestSealed: who administers the API of a sealed cluster does not get the machine, nor more of it than the cluster's share.
func TestSealed(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	s := &sealed{testCluster: bringUp(t, "sealed", 1, "--sealed")}
	other := bringUp(t, "sealed2", 0, "--sealed")
	s.other = apiServer(t, other)
	s.listen(t)
	// All that stands in the way in the API, the administrator removes.
	labels := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)
	for _, ns := range []string{"default", "kube-system"} {
		if _, err := s.client.CoreV1().Namespaces().Patch(t.Context(), ns, types.MergePatchType, labels, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.CoreV1().Nodes().Patch(t.Context(), "master", types.MergePatchType, []byte(`{"spec":{"unschedulable":false}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("pods", s.pods)
	t.Run("volumes", s.volumes)
	t.Run("bounds", s.bounds)
	t.Run("network", s.network)
	t.Run("webhooks", s.webhooks)
	t.Run("forged addresses", s.proxied)
	t.Run("the way to the API", s.taken)
	t.Run("files of the node", s.files)
	t.Run("stays sealed", s.stays)
	if n := s.reached.Load(); n > 0 {
		t.Errorf("this machine got %d connections", n)
	}
}

// listen counts the connections that this machine gets.
func (s *sealed) listen(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.port = l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.reached.Add(1)
			conn.Close()
		}
	}()
	at, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range at {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && len(s.machine) < 8 {
			s.machine = append(s.machine, p.Addr().String())
		}
	}
}

func plainPod(name, script string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{Name: "c", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script}}},
	}}
}

func (s *sealed) create(t *testing.T, p *corev1.Pod) {
	t.Helper()
	if _, err := s.client.CoreV1().Pods(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// await returns a pod in which ok holds.
func (s *sealed) await(t *testing.T, p *corev1.Pod, what string, ok func(*corev1.Pod) bool) (got *corev1.Pod) {
	t.Helper()
	wait.Within(t, 2*time.Minute, p.Name+": "+what, func() (err error) {
		if got, err = s.client.CoreV1().Pods(p.Namespace).Get(t.Context(), p.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		return wait.Seen(ok(got), got.Status)
	})
	return got
}

// event waits for an event of a pod.
func (s *sealed) event(t *testing.T, name, reason, says string) {
	t.Helper()
	wait.Within(t, 2*time.Minute, name+": an event "+reason, func() error {
		list, err := s.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason + ",involvedObject.name=" + name})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if strings.Contains(e.Message, says) {
				return nil
			}
		}
		return wait.Seen(false, list.Items)
	})
}

func (s *sealed) pods(t *testing.T) {
	sc := func(change func(*corev1.SecurityContext)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{}
			change(p.Spec.Containers[0].SecurityContext)
		}
	}
	for name, change := range map[string]func(*corev1.Pod){
		"privileged": sc(func(c *corev1.SecurityContext) { c.Privileged = new(true) }),
		"capability": sc(func(c *corev1.SecurityContext) {
			c.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}
		}),
		"unconfined":   sc(func(c *corev1.SecurityContext) { c.SeccompProfile = &corev1.SeccompProfile{Type: "Unconfined"} }),
		"host-network": func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"host-pid":     func(p *corev1.Pod) { p.Spec.HostPID = true },
		"host-port": func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		},
		"host-path": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		},
		"nfs": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: s.machine[0], Path: "/"}}}}
		},
		"on-the-master": func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.HostPID = "master", true },
		"in-kube-system": func(p *corev1.Pod) {
			p.Namespace, p.Spec.HostNetwork = "kube-system", true
		},
	} {
		p := plainPod(name, "sleep 1000")
		change(p)
		s.create(t, p)
		got := s.await(t, p, "refused", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		if got.Status.Reason != "PodSecurity" || len(got.Status.ContainerStatuses) > 0 && got.Status.ContainerStatuses[0].ContainerID != "" {
			t.Errorf("%s: %+v", name, got.Status)
		}
	}
	static := plainPod("like-a-static-pod", "sleep 1000") // the node reports no status of those
	static.Spec.HostPID, static.Spec.NodeName, static.Annotations = true, "minion-1", map[string]string{"kubernetes.io/config.source": "file"}
	if _, err := s.client.CoreV1().Pods("default").Create(t.Context(), static, metav1.CreateOptions{}); err == nil {
		s.event(t, static.Name, "PodSecurity", "violates the PodSecurity of the node")
	}
	registry := plainPod("registry", "true")
	registry.Spec.Containers[0].Image = fmt.Sprintf("127.0.0.1:%d/x", s.port)
	s.create(t, registry)
	s.await(t, registry, "not pulled from this machine", func(p *corev1.Pod) bool {
		c := p.Status.ContainerStatuses
		return len(c) == 1 && c[0].State.Waiting != nil && c[0].State.Waiting.Reason == "RegistryUnavailable"
	})
	fine := plainPod("fine", "true")
	s.create(t, fine)
	s.await(t, fine, "succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
}

func (s *sealed) volumes(t *testing.T) {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	access := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	pod := func(name string) *corev1.Pod {
		p := plainPod(name, "echo written >/data/x && cat /data/x")
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/data"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}}
		return p
	}
	for name, source := range map[string]corev1.PersistentVolumeSource{
		"pv-path":   {HostPath: &corev1.HostPathVolumeSource{Path: "/"}},
		"pv-local":  {Local: &corev1.LocalVolumeSource{Path: "/run"}},
		"pv-server": {NFS: &corev1.NFSVolumeSource{Server: s.machine[0], Path: "/"}},
		"pv-forged": {HostPath: &corev1.HostPathVolumeSource{Path: "/srv/volumes/pv-forged/../../.."}},
	} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "wheelhouse.dev/host-path"}}, Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: access, PersistentVolumeSource: source, StorageClassName: "own",
		}}
		if source.Local != nil {
			pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"minion-1"}},
			}}}}}
		}
		if _, err := s.client.CoreV1().PersistentVolumes().Create(t.Context(), pv, metav1.CreateOptions{}); err != nil {
			if name == "pv-forged" {
				continue // the API server refuses the path
			}
			t.Fatal(err)
		}
		s.claim(t, name, new("own"), size, access)
		s.create(t, pod(name))
		s.event(t, name, "FailedMount", "is not of this cluster's provisioner")
	}
	s.claim(t, "given", nil, size, access)
	s.create(t, pod("given"))
	s.await(t, pod("given"), "written to a volume that the cluster has made", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
}

func (s *sealed) claim(t *testing.T, name string, class *string, size corev1.ResourceList, access []corev1.PersistentVolumeAccessMode) {
	t.Helper()
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: access, StorageClassName: class, Resources: corev1.VolumeResourceRequirements{Requests: size},
	}}
	if _, err := s.client.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), pvc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// bounds are those of the control group above all pods, which the kernel keeps.
func (s *sealed) bounds(t *testing.T) {
	fine := plainPod("bounded", "sleep 1000")
	s.create(t, fine)
	s.await(t, fine, "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	for file, most := range map[string]int64{"pids.max": 2000, "memory.limit_in_bytes": 1536 << 20, "memory.max": 1536 << 20} {
		found, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", "wheelhouse", s.name, "minion-1", "kubepods", file))
		below, err2 := filepath.Glob(filepath.Join("/sys/fs/cgroup", "wheelhouse", s.name, "minion-1", "kubepods", file))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if found = append(found, below...); len(found) == 0 && file != "memory.max" && file != "memory.limit_in_bytes" {
			t.Errorf("no group has a file %s", file)
		}
		for _, f := range found {
			atMost(t, f, most)
		}
	}
	out, err := s.run(t.Context(), "status", "--output", "json")
	var have status
	if err := errors.Join(err, json.Unmarshal([]byte(out), &have)); err != nil || len(have.Processes) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range have.Processes {
		group, err := cgroup.Of(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
		if cgroup.At("/sys/fs/cgroup").Unified() {
			file = filepath.Join("/sys/fs/cgroup", group, "memory.max")
		}
		atMost(t, file, 1<<30)
	}
}

func atMost(t *testing.T, file string, most int64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if n, err2 := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil || err2 != nil || n > most {
		t.Errorf("%s is %q, want at most %d: %v", file, text, most, err)
	}
}

// network: pods reach neither this machine, at any of its addresses, nor another learner's cluster, nor what is beyond, nor the database.
func (s *sealed) network(t *testing.T) {
	var script strings.Builder
	own := apiServer(t, s.testCluster)
	fmt.Fprintf(&script, "nc -w 5 %s 443 </dev/null || exit 2\n", own) // that would be seen
	dial := func(address string, ports ...int) {
		for _, port := range ports {
			fmt.Fprintf(&script, "nc -w 2 %s %d </dev/null && echo %[1]s %[2]d >>/tmp/reached &\n", address, port)
		}
	}
	for _, a := range s.machine {
		dial(a, s.port)
	}
	dial(s.other, 443, 2379, 2380, 10250) // of another learner
	dial(own, 2379, 2380)                 // the database
	dial("192.0.2.1", 443)
	p := plainPod("dialer", script.String()+"wait; test ! -e /tmp/reached")
	s.create(t, p)
	s.await(t, p, "reached nothing", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
}

// targets are what the API server must not connect to for anybody: this machine, at all its addresses, and another learner's cluster.
func (s *sealed) targets() []string {
	return append([]string{"127.0.0.1", s.other}, s.machine...)
}

// webhooks: the API server sends no review to this machine, and serves no API of others. It has neither at all; a later one that
// reviews by webhooks is attacked by them.
func (s *sealed) webhooks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	hooks := s.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	hook := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "forged"}}
	for i, at := range s.targets() {
		hook.Webhooks = append(hook.Webhooks, admissionv1.ValidatingWebhook{
			Name: fmt.Sprintf("hook%d.example.com", i), FailurePolicy: new(admissionv1.Ignore), SideEffects: new(admissionv1.SideEffectClassNone), TimeoutSeconds: new(int32(2)),
			AdmissionReviewVersions: []string{"v1"}, ClientConfig: admissionv1.WebhookClientConfig{URL: new(fmt.Sprintf("https://%s:%d/", at, s.port))},
			Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"CREATE"}, Rule: admissionv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"},
			}}},
		})
	}
	_, err := hooks.Create(ctx, hook, metav1.CreateOptions{})
	if err == nil {
		_, _ = s.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "reviewed"}}, metav1.CreateOptions{})
		err = hooks.Delete(ctx, "forged", metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	service := []byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.example.com"}}`)
	err = s.client.CoreV1().RESTClient().Post().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").Body(service).Do(ctx).Error()
	if !apierrors.IsNotFound(err) {
		t.Errorf("an aggregated API: %v", err)
	}
}

// proxied: nodes, pods and services whose addresses somebody has written lead the API server, and probes the kubelet, nowhere else.
func (s *sealed) proxied(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	core := s.client.CoreV1()
	get := func(path string) {
		within, end := context.WithTimeout(ctx, 3*time.Second)
		defer end()
		if _, err := core.RESTClient().Get().AbsPath(path).DoRaw(within); err == nil || strings.Contains(err.Error(), "HTTPS server") {
			t.Errorf("%s is reached: %v", path, err)
		}
	}
	for i, at := range s.targets() {
		name, port := fmt.Sprintf("forged-%d", i), s.port
		if at == s.other {
			port = 443
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		external := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "external-" + name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: at + ".nip.example.com"}}
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt(port)}}}}
		//nolint:staticcheck // the proxy of services follows them
		ends := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name}, Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: at}}, Ports: []corev1.EndpointPort{{Port: int32(port)}},
		}}}
		pod := plainPod(name, "sleep 1000")
		pod.Spec.NodeName = name
		_, err1 := core.Nodes().Create(ctx, node, metav1.CreateOptions{})
		_, err2 := core.Services("default").Create(ctx, service, metav1.CreateOptions{})
		_, err3 := core.Pods("default").Create(ctx, pod, metav1.CreateOptions{})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		// These are refused, or lead nowhere.
		_, _ = core.Services("default").Create(ctx, external, metav1.CreateOptions{})
		_, _ = core.Endpoints("default").Create(ctx, ends, metav1.CreateOptions{})
		status := fmt.Sprintf(`{"status":{"addresses":[{"type":"InternalIP","address":%q}],"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`, at, port)
		_, _ = core.Nodes().Patch(ctx, name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
		_, _ = core.Pods("default").Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}]}}`, at, at), metav1.PatchOptions{}, "status")
		get("/api/v1/nodes/" + name + "/proxy/")
		get(fmt.Sprintf("/api/v1/nodes/%s:%d/proxy/", name, port))
		get(fmt.Sprintf("/api/v1/namespaces/default/pods/%s:%d/proxy/", name, port))
		get("/api/v1/namespaces/default/services/" + name + "/proxy/")
		get("/api/v1/namespaces/default/services/external-" + name + "/proxy/")
	}
	probed := plainPod("probed", "sleep 1000")
	probed.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: s.machine[len(s.machine)-1], Port: intstr.FromInt(s.port)}}}
	s.create(t, probed)
	s.await(t, probed, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == "PodSecurity" })
}

// taken: a service does not take the API server's address, at which the machine has its clients.
func (s *sealed) taken(t *testing.T) {
	own := apiServer(t, s.testCluster)
	p := plainPod("taker", "while true; do nc -l -p 8443 </dev/null; done")
	p.Labels = map[string]string{"app": "taker"}
	s.create(t, p)
	s.await(t, p, "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "taker"}, Spec: corev1.ServiceSpec{
		Selector: p.Labels, ExternalIPs: []string{own}, Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt(8443)}},
	}}
	if _, err := s.client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Logf("it is refused: %v", err)
		return
	}
	fine := plainPod("after-taker", "true") // when it has run the proxies have seen the service
	s.create(t, fine)
	s.await(t, fine, "succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	for range 5 {
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", net.JoinHostPort(own, "443"))
		if err != nil {
			t.Fatalf("the API server is not at its address: %v", err)
		}
		conn.Close()
	}
}

// files: what the node's server lists as its logs are not this machine's.
func (s *sealed) files(t *testing.T) {
	machine, err := os.ReadDir("/var/log")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"master", "minion-1"} {
		text, err := s.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + node + "/proxy/logs/").DoRaw(t.Context())
		for _, f := range machine {
			if f.Name() != "pods" && f.Name() != "containers" && strings.Contains(string(text), `"`+f.Name()) {
				t.Errorf("%s shows %s of this machine: %s, %v", node, f.Name(), text, err)
			}
		}
		for _, path := range []string{"/logs/..%2f..%2fetc/passwd", "/logs/../../etc/passwd"} {
			if text, err := s.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + node + "/proxy" + path).DoRaw(t.Context()); err == nil && strings.Contains(string(text), "root:") {
				t.Errorf("%s: %s", path, text)
			}
		}
	}
}

// apiServer returns the address of a cluster's API server.
func apiServer(t *testing.T, c *testCluster) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}

// stays: a later up without the flag keeps the cluster sealed, and one with access to the machine is refused.
func (s *sealed) stays(t *testing.T) {
	for _, flag := range []string{"--allow-host-access", "--sealed=false", "--node-arg=--host-root=/", "--server-arg=--resolver-netns=/proc/1/ns/net"} {
		if out, err := s.run(t.Context(), "up", "--nodes", "1", flag); err == nil {
			t.Errorf("%s of a sealed cluster: %s", flag, out)
		}
	}
	if _, err := s.run(t.Context(), "up", "--nodes", "1", "--isolated=false", "--class=false"); err != nil {
		t.Fatal(err)
	}
	p := plainPod("again", "sleep 1000")
	p.Spec.HostPID = true
	s.create(t, p)
	s.await(t, p, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == "PodSecurity" })
}
