package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/wait"
)

// running is a controller on loopback. Its clients and endpoints are real, the API server is not: it would refuse
// endpoints on loopback.
type running struct {
	*fake.Clientset
	url    string
	events *record.FakeRecorder
}

func class(name, controller string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
}

func run(t *testing.T, objects ...runtime.Object) *running {
	t.Helper()
	free := must(net.Listen("tcp", "127.0.0.1:0"))
	at := netip.MustParseAddrPort(free.Addr().String())
	_ = free.Close()
	r := &running{Clientset: fake.NewClientset(append(objects, class(client.IngressClass, client.IngressController), class("nginx", "k8s.io/ingress-nginx"))...), url: "http://" + at.String(), events: record.NewFakeRecorder(100)}
	r.PrependReactor("update", "ingresses", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "status" {
			return false, nil, nil
		}
		// As the API server: a write of the status is one of the status alone.
		written := action.(clienttesting.UpdateAction).GetObject().(*networkingv1.Ingress)
		current, err := r.Tracker().Get(action.GetResource(), written.Namespace, written.Name)
		if err != nil {
			return true, nil, err
		}
		next := current.(*networkingv1.Ingress).DeepCopy()
		next.Status = written.Status
		return true, next, r.Tracker().Update(action.GetResource(), next, next.Namespace)
	})
	factory := client.Informers(r)
	c, err := New(Config{Client: r, Informers: factory, Recorder: r.events, Address: at.Addr(), HTTPPort: at.Port(), Log: newLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the controller ended with %v", err)
		}
	})
	return r
}

// get returns what the controller answers, once it answers want.
func (r *running) get(t *testing.T, host, path, want string) {
	t.Helper()
	wait.Within(t, 60*time.Second, host+path+" answers "+want, func() error {
		status, text, err := r.once(host, path)
		if err != nil {
			return err
		}
		return wait.Seen(fmt.Sprint(status, " ", text) == want, status, text)
	})
}

func (r *running) once(host, path string) (int, string, error) {
	req := must(http.NewRequest(http.MethodGet, r.url+path, nil))
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// at returns a slice with one endpoint for each address, which have ports of their own.
func at(service string, endpoints ...netip.AddrPort) []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for i, e := range endpoints {
		s := slice(service, ready(e.Addr().String()))
		s.Name = fmt.Sprint(service, "-", i)
		s.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(e.Port()))}}
		all = append(all, s)
	}
	return all
}

func TestController(t *testing.T) {
	hello := endpoint(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	theirs := object("theirs", 0, rule("theirs.example", "/", prefix, "web"))
	theirs.Spec.IngressClassName = ptr.To("nginx")
	invalid := object("invalid", 0, rule("invalid.example", "/", prefix, "web"))
	invalid.Spec.IngressClassName = ptr.To("some-invalid-class-name")
	annotated := object("annotated", 0, rule("annotated.example", "/", prefix, "web"))
	annotated.Spec.IngressClassName = nil
	annotated.Annotations = map[string]string{"kubernetes.io/ingress.class": client.IngressClass}
	r := run(t, service("web"), at("web", hello)[0], object("ours", 0, rule("ours.example", "/", prefix, "web")), theirs, invalid, annotated)
	ctx := t.Context()
	r.get(t, "ours.example", "/", "200 hello")
	r.get(t, "annotated.example", "/", "200 hello")
	for _, host := range []string{"theirs.example", "invalid.example"} {
		r.get(t, host, "/", "404 no Ingress has a rule for this host and path\n")
	}
	status := func(name, want string) {
		t.Helper()
		wait.Within(t, 60*time.Second, "the status of "+name, func() error {
			in, err := r.NetworkingV1().Ingresses("ns").Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			got := ""
			for _, at := range in.Status.LoadBalancer.Ingress {
				got += at.IP
			}
			return wait.Seen(got == want, got)
		})
	}
	status("ours", "127.0.0.1")
	status("annotated", "127.0.0.1")
	status("theirs", "")
	status("invalid", "")

	// Another controller takes it over.
	ours := must(r.NetworkingV1().Ingresses("ns").Get(ctx, "ours", metav1.GetOptions{}))
	ours.Spec.IngressClassName = ptr.To("nginx")
	must(r.NetworkingV1().Ingresses("ns").Update(ctx, ours, metav1.UpdateOptions{}))
	r.get(t, "ours.example", "/", "404 no Ingress has a rule for this host and path\n")
	status("ours", "")

	// A Secret that is missing is reported once, and used when it comes.
	annotated.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"annotated.example"}, SecretName: "cert"}}
	must(r.NetworkingV1().Ingresses("ns").Update(ctx, annotated, metav1.UpdateOptions{}))
	if got := <-r.events.Events; !strings.Contains(got, "TLSSecretNotFound") {
		t.Errorf("the event is %s", got)
	}
}

// TestReloadUnderLoad changes Ingresses and endpoints while clients send requests: none is lost.
func TestReloadUnderLoad(t *testing.T) {
	// Each endpoint is a server of its own, which ends as a pod does: it is taken out first, and then stopped.
	begin := func() (*http.Server, netip.AddrPort) {
		l := must(net.Listen("tcp", "127.0.0.1:0"))
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
			_, _ = io.WriteString(w, "served")
		})}
		go func() { _ = s.Serve(l) }()
		return s, netip.MustParseAddrPort(l.Addr().String())
	}
	first, where := begin()
	slices := at("web", where)
	r := run(t, service("web"), slices[0], object("ours", 0, rule("ours.example", "/", prefix, "web")))
	r.get(t, "ours.example", "/", "200 served")
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var done, lost atomic.Int64
	for i := range 8 {
		clients.Go(func() {
			own := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			for ctx.Err() == nil {
				body := ""
				if i%4 > 1 {
					body = "some body "
				}
				req := must(http.NewRequest(map[bool]string{true: http.MethodPost, false: http.MethodGet}[body != ""], r.url, strings.NewReader(body)))
				req.Host = "ours.example"
				resp, err := own.Do(req)
				if err == nil {
					var text []byte
					if text, err = io.ReadAll(resp.Body); err == nil && (resp.StatusCode != http.StatusOK || string(text) != body+"served") {
						err = fmt.Errorf("%d %s", resp.StatusCode, text)
					}
					_ = resp.Body.Close()
				}
				if done.Add(1); err != nil && lost.Add(1) < 5 {
					t.Errorf("request %d: %v", done.Load(), err)
				}
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		from := done.Load()
		wait.Within(t, 2*time.Minute, "further requests", func() error { return wait.Seen(done.Load() >= from+n, done.Load()-from) })
	}
	for round := range 10 {
		// A rollout: the new endpoint, then not the old one.
		next, where := begin()
		s := at("web", where)[0]
		s.Name = fmt.Sprint("web-round-", round)
		must(r.DiscoveryV1().EndpointSlices("ns").Create(ctx, s, metav1.CreateOptions{}))
		// Other Ingresses come, change, and go.
		other := object(fmt.Sprint("other-", round), 0, rule(fmt.Sprint(round, ".example"), "/", prefix, "web"))
		must(r.NetworkingV1().Ingresses("ns").Create(ctx, other, metav1.CreateOptions{}))
		r.get(t, fmt.Sprint(round, ".example"), "/", "200 served")
		if err := r.DiscoveryV1().EndpointSlices("ns").Delete(ctx, slices[0].Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := r.NetworkingV1().Ingresses("ns").Delete(ctx, other.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.get(t, fmt.Sprint(round, ".example"), "/", "404 no Ingress has a rule for this host and path\n") // and so it has the endpoints
		more(50)
		_ = first.Shutdown(t.Context())
		first, slices = next, []*discoveryv1.EndpointSlice{s}
		more(50)
	}
	stop()
	clients.Wait()
	_ = first.Close()
	if lost.Load() > 0 {
		t.Errorf("%d of %d requests were lost", lost.Load(), done.Load())
	}
	t.Logf("%d requests", done.Load())
}
