package apiserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/nodeproxy"
)

// podNode makes a node whose pods have addresses of cidr.
func podNode(ctx context.Context, t *testing.T, cs kubernetes.Interface, name, cidr string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}}}
	if _, err := cs.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// podAt makes a pod of node n whose status says that it has an address.
func podAt(ctx context.Context, t *testing.T, cs kubernetes.Interface, namespace, name, ip string, change ...func(*corev1.Pod)) {
	t.Helper()
	p := testPod(name)
	p.Namespace, p.Spec.NodeName = namespace, "n"
	for _, f := range change {
		f(p)
	}
	phase := p.Status.Phase
	p, err := cs.CoreV1().Pods(namespace).Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = phase, ip, []corev1.PodIP{{IP: ip}}
	if _, err := cs.CoreV1().Pods(namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// answering listens at an address of this machine and answers every request with name.
func answering(t *testing.T, ip, name string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// The server connects to no pod at an address that the pod cannot have, whatever its
// status says.
func TestProxyToPodsAtTheirOwnAddressOnly(t *testing.T) {
	pod, private, host := answering(t, "127.0.0.1", "pod"), answering(t, "127.0.5.1", "private"), answering(t, "127.0.9.1", "host")
	cfg := apitest.Start(t)
	r, ctx, cs := newRaw(t, cfg), within(t), clientset(t, cfg)
	podNode(ctx, t, cs, "n", "127.0.0.0/24")
	n, err := cs.CoreV1().Nodes().Get(ctx, "n", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.9.1"}}
	if _, err := cs.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	onHost := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	ended := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	elsewhere := func(p *corev1.Pod) { p.Spec.NodeName = "" }
	for _, c := range []struct {
		name, ip, port string
		change         func(*corev1.Pod)
		want           string
	}{
		{"own", "127.0.0.1", pod, nil, "pod"},
		{"another", "127.0.5.1", private, nil, ""},
		{"of-the-node", "127.0.9.1", host, nil, ""},
		{"on-the-node", "127.0.9.1", host, onHost, "host"},
		{"on-another-node", "127.0.5.1", private, onHost, ""},
		{"ended", "127.0.0.1", pod, ended, ""},
		{"unscheduled", "127.0.0.1", pod, elsewhere, ""},
		{"metadata", "169.254.169.254", "80", nil, ""},
	} {
		change := c.change
		if change == nil {
			change = func(*corev1.Pod) {}
		}
		podAt(ctx, t, cs, "default", c.name, c.ip, change)
		resp, body := r.do("GET", somePods+"/"+c.name+":"+c.port+"/proxy/", "", "")
		if c.want != "" && (resp.StatusCode != 200 || body != c.want) {
			t.Errorf("%s: %d %s; want %s", c.name, resp.StatusCode, body, c.want)
		}
		if c.want == "" && (resp.StatusCode != 400 || !strings.Contains(body, "address not allowed")) {
			t.Errorf("%s: %d %s; want 400, address not allowed", c.name, resp.StatusCode, body)
		}
	}
}

// ownAddress is one of this machine that is not loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	t.Fatal("this machine has no address but loopback")
	return netip.Addr{}
}

// Endpoints lead the server only to a pod of their namespace that has the address, as
// upstream; in kube-system also to a master.
func TestProxyToEndpointsThatArePods(t *testing.T) {
	ip := ownAddress(t).String()
	port := answering(t, ip, "answer")
	cfg := apitest.Start(t)
	r, ctx, cs := newRaw(t, cfg), within(t), clientset(t, cfg)
	for _, ns := range []string{"other", "kube-system"} {
		if _, err := cs.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	podNode(ctx, t, cs, "n", ip+"/32")
	podAt(ctx, t, cs, "default", "mine", ip)
	podAt(ctx, t, cs, "other", "theirs", ip)
	podAt(ctx, t, cs, "default", "moved", "192.0.2.77")
	number, _ := strconv.Atoi(port)
	service := func(ns, name string, ref *corev1.ObjectReference) {
		t.Helper()
		ports := []corev1.ServicePort{{Port: 80}}
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: ports}}
		if _, err := cs.CoreV1().Services(ns).Create(ctx, svc, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name}, Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: ip, TargetRef: ref}}, Ports: []corev1.EndpointPort{{Port: int32(number)}},
		}}}
		if _, err := cs.CoreV1().Endpoints(ns).Create(ctx, e, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod := func(ns, name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: name}
	}
	service("default", "kubernetes", nil) // says that this is the API server's address
	service("default", "pod", pod("default", "mine"))
	service("default", "other", pod("other", "theirs"))
	service("default", "moved", pod("default", "moved"))
	service("default", "gone", pod("default", "gone"))
	service("kube-system", "kube-ui", nil)
	service("other", "by-hand", nil)
	for path, ok := range map[string]bool{
		"default/services/pod": true, "default/services/other": false, "default/services/moved": false, "default/services/gone": false,
		"default/services/kubernetes": false, "other/services/by-hand": false, "kube-system/services/kube-ui": true,
	} {
		resp, body := r.do("GET", "/api/v1/namespaces/"+path+"/proxy/", "", "")
		_, name, _ := strings.Cut(path, "/services/")
		if ok && body != "answer" || !ok && (resp.StatusCode != 503 || !strings.Contains(unquoted(body), `no endpoints available for service "`+name+`"`)) {
			t.Errorf("%s: %d %s; want an answer: %v", path, resp.StatusCode, body, ok)
		}
	}
}

// The server takes no address for a kubelet's that no node can have.
func TestKubeletsAtAddressesOfNodesOnly(t *testing.T) {
	kubelet := httptest.NewTLSServer(http.HandlerFunc(fakeKubelet))
	defer kubelet.Close()
	_, port, _ := net.SplitHostPort(kubelet.Listener.Addr().String())
	for _, c := range []struct {
		what, address string
		reach         nodeproxy.Reach
		want          int
	}{
		{"on loopback, as the server", "127.0.0.1", nodeproxy.Reach{Loopback: true}, 200},
		{"on loopback, unlike the server", "127.0.0.1", nodeproxy.Reach{}, 400},
		{"in another range than nodes are", "127.0.0.1", nodeproxy.Reach{Loopback: true, Nodes: netip.MustParsePrefix("127.1.0.0/16")}, 400},
		{"an address of services", "127.0.0.1", nodeproxy.Reach{Loopback: true, Services: netip.MustParsePrefix("127.0.0.0/16")}, 400},
		{"an address of pods", "127.0.0.1", nodeproxy.Reach{Loopback: true, Pods: netip.MustParsePrefix("127.0.0.0/16")}, 400},
		{"link-local", "169.254.169.254", nodeproxy.Reach{Loopback: true}, 400},
		{"a name", "localhost", nodeproxy.Reach{Loopback: true}, 400},
	} {
		cfg := apitest.Start(t, func(conf *apiserver.Config) {
			conf.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
			conf.Reach = c.reach
		})
		nodeAt(within(t), t, clientset(t, cfg), "n", net.JoinHostPort(c.address, port))
		r := newRaw(t, cfg)
		resp, body := r.do("GET", "/api/v1/nodes/n/proxy/pods", "", "")
		if resp.StatusCode != c.want || c.want == 400 && !strings.Contains(body, "address not allowed") {
			t.Errorf("%s: %d %s; want %d", c.what, resp.StatusCode, body, c.want)
		}
	}
}

// A node that says that its kubelet is where the API server is does not get the API
// server to ask itself.
func TestKubeletIsNotTheAPIServer(t *testing.T) {
	ip := ownAddress(t).String()
	cfg := apitest.Start(t, func(c *apiserver.Config) { c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} })
	ctx, cs := within(t), clientset(t, cfg)
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: ip}}, Ports: []corev1.EndpointPort{{Name: "https", Port: 9}},
	}}}
	if _, err := cs.CoreV1().Endpoints("default").Create(ctx, e, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	nodeAt(ctx, t, cs, "n", net.JoinHostPort(ip, "9"))
	if resp, body := newRaw(t, cfg).do("GET", "/api/v1/nodes/n/proxy/api", "", ""); resp.StatusCode != 400 || !strings.Contains(body, "address not allowed") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// Where an answer sends the caller on to, the caller goes and not the server.
func TestProxyFollowsNobody(t *testing.T) {
	private := answering(t, "127.0.5.1", "private")
	app := httptest.NewServer(http.RedirectHandler("http://127.0.5.1:"+private+"/", http.StatusFound))
	defer app.Close()
	host, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	cfg := apitest.Start(t)
	r, ctx, cs := newRaw(t, cfg), within(t), clientset(t, cfg)
	podNode(ctx, t, cs, "n", host+"/32")
	podAt(ctx, t, cs, "default", "p", host)
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, body := r.do("GET", somePods+"/p:"+port+"/proxy/", "", "")
	if resp.StatusCode != 302 || strings.Contains(body, "private") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
