//go:build !quick

package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/wait"
)

// member is one of an etcd cluster; stop may be called twice.
type member struct {
	*embed.Etcd
	stop func()
}

// etcdCluster is three members on loopback that want a client certificate, and the
// flags with which a server finds them.
func etcdCluster(t *testing.T) (members []member, flags []string) {
	t.Helper()
	dir := t.TempDir()
	keys := must[*pki.Authority](t)(pki.Open(dir, "etcd"))
	must[*pki.Pair](t)(keys.Pair("member", pki.Request{CommonName: "member", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true}))
	must[*pki.Pair](t)(keys.Pair("client", pki.Request{CommonName: "wheelhouse", Client: true}))
	file := func(name string) string { return filepath.Join(dir, name) }

	var cfgs []*embed.Config
	var initial, endpoints []string
	for i := range 3 {
		cfg := embed.NewConfig()
		peer, client := freeURL(t, "http"), freeURL(t, "https")
		cfg.Name, cfg.Dir = fmt.Sprint("m", i), t.TempDir()
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = file("member.crt"), file("member.key")
		cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = file("ca.crt"), true
		cfg.TickMs, cfg.ElectionMs = 50, 500
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		initial = append(initial, cfg.Name+"="+peer.String())
		endpoints = append(endpoints, client.String())
		cfgs = append(cfgs, cfg)
	}
	for _, cfg := range cfgs {
		cfg.InitialCluster = strings.Join(initial, ",")
		m := must[*embed.Etcd](t)(embed.StartEtcd(cfg))
		stop := sync.OnceFunc(m.Close)
		t.Cleanup(stop)
		members = append(members, member{m, stop})
	}
	for _, m := range members {
		select {
		case <-m.Server.ReadyNotify():
		case <-time.After(20 * time.Second):
			t.Fatal("an etcd member is not ready after 20 s")
		}
	}
	return members, []string{
		"--etcd-servers", strings.Join(endpoints, ","),
		"--etcd-cafile", file("ca.crt"), "--etcd-certfile", file("client.crt"), "--etcd-keyfile", file("client.key"),
	}
}

// freeURL returns a URL with a port that nobody listens at. It is below those that the kernel gives to connections
// of others, which would take it before it is used.
func freeURL(t *testing.T, scheme string) url.URL {
	t.Helper()
	for range 100 {
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(15_000+rand.IntN(15_000)))
		if l, err := net.Listen("tcp", at); err == nil && l.Close() == nil {
			return url.URL{Scheme: scheme, Host: at}
		}
	}
	t.Fatal("no port is free")
	return url.URL{}
}

// Two servers over an etcd cluster of three are one control plane, also when one of
// them is killed or a member of etcd stops.
func TestTwoMasters(t *testing.T) {
	t.Parallel()
	members, flags := etcdCluster(t)
	one := startServer(t, "server", t.TempDir(), flags...)
	two := startServer(t, "server", sameKeys(t, one), flags...)
	addNode(t, one, "n1")

	writesAreSeen(t, one, two)
	servicesDiffer(t, one, two)

	makeRC(t, two, "rc", 20)
	wait.Within(t, 10*time.Second, "20 pods with a node", func() error { return running(t, one, "rc", 20) })
	always(t, time.Second, "20 pods and no more", func() error { return running(t, two, "rc", 20) })
	for _, s := range []*server{one, two} {
		for _, name := range []string{"scheduler", "controller-manager"} {
			if err := componentSays(t, s, name, corev1.ConditionTrue, "ok"); err != nil {
				t.Error(err)
			}
		}
	}

	// The first server leads, having been alone.
	before := leader(t, two)
	one.kill()
	killed := time.Now()
	makeRC(t, two, "next", 20)
	wait.Within(t, 25*time.Second, "the second server takes over", func() error { return running(t, two, "next", 20) })
	t.Logf("taken over after %v", time.Since(killed).Round(100*time.Millisecond))
	if after := leader(t, two); before == after {
		t.Errorf("%s led before and after the other server was killed", before)
	}
	for _, name := range []string{"rc", "next"} {
		if err := running(t, two, name, 20); err != nil {
			t.Error(err)
		}
	}

	for _, m := range members {
		if m.Server.Leader() == m.Server.MemberID() {
			m.stop()
			break
		}
	}
	stopped := time.Now()
	scale(t, two, "next", 25)
	wait.Within(t, 10*time.Second, "a cluster with two members of etcd", func() error { return running(t, two, "next", 25) })
	t.Logf("five more pods %v after etcd's leader stopped", time.Since(stopped).Round(100*time.Millisecond))
}

// sameKeys is a state directory with the keys of s, as the owner copies them to a further master.
func sameKeys(t *testing.T, s *server) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "pki"), os.DirFS(filepath.Join(filepath.Dir(s.kubeconfig), "pki"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writesAreSeen writes on one server and reads on the other at once, to and fro.
func writesAreSeen(t *testing.T, one, two *server) {
	t.Helper()
	from, to := one, two
	for i := range 20 {
		name := fmt.Sprint("map-", i)
		must[*corev1.ConfigMap](t)(from.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
		must[*corev1.ConfigMap](t)(to.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{}))
		if all := must[*corev1.ConfigMapList](t)(to.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})); len(all.Items) != 1 {
			t.Errorf("%s, just made on one server, is listed %d times by the other", name, len(all.Items))
		}
		from, to = to, from
	}
}

// servicesDiffer lets both servers give out addresses and ports of small ranges at once.
func servicesDiffer(t *testing.T, servers ...*server) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]string{}
	claim := func(what, by string) {
		mu.Lock()
		defer mu.Unlock()
		if seen[what] != "" {
			t.Errorf("%s was given to %s and %s", what, seen[what], by)
		}
		seen[what] = by
	}
	var all sync.WaitGroup
	for i, s := range servers {
		for j := range 30 {
			name := fmt.Sprintf("svc-%d-%d", i, j)
			all.Go(func() {
				svc, err := s.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
				}, metav1.CreateOptions{})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				claim(svc.Spec.ClusterIP, name)
				claim(fmt.Sprint("port ", svc.Spec.Ports[0].NodePort), name)
			})
		}
	}
	all.Wait()
	// One address asked for on both: one of them gets it.
	got := 0
	for i, s := range servers {
		_, err := s.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("wanted-", i)},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.247.200.200", Ports: []corev1.ServicePort{{Port: 80}}},
		}, metav1.CreateOptions{})
		if err == nil {
			got++
		} else if !strings.Contains(err.Error(), "already allocated") {
			t.Errorf("an address that is in use: %v", err)
		}
	}
	if got != 1 {
		t.Errorf("one address was given %d times", got)
	}
}

func makeRC(t *testing.T, s *server, name string, replicas int32) {
	t.Helper()
	set := map[string]string{"rc": name}
	must[*corev1.ReplicationController](t)(s.CoreV1().ReplicationControllers("default").Create(t.Context(), &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, Selector: set, Template: &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: pod("", "").Spec,
		}},
	}, metav1.CreateOptions{}))
}

// scale writes once, waiting as long as a person would.
func scale(t *testing.T, s *server, name string, replicas int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	wait.Within(t, 10*time.Second, "a write while etcd elects", func() error {
		_, err := s.CoreV1().ReplicationControllers("default").Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

// leader is who runs the controllers.
func leader(t *testing.T, s *server) string {
	t.Helper()
	return *must[*coordinationv1.Lease](t)(s.CoordinationV1().Leases("kube-system").Get(t.Context(), "kube-controller-manager", metav1.GetOptions{})).Spec.HolderIdentity
}

// running is nil if rc has exactly so many pods, each with a node.
func running(t *testing.T, s *server, rc string, want int) error {
	t.Helper()
	pods, err := s.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "rc=" + rc})
	if err != nil {
		return err
	}
	placed := 0
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			placed++
		}
	}
	if len(pods.Items) != want || placed != want {
		return fmt.Errorf("%s has %d pods, %d with a node; want %d", rc, len(pods.Items), placed, want)
	}
	return nil
}

// A server that lost its Lease, as after a long pause, serves on and works again when
// the Lease is free.
func TestLostLease(t *testing.T) {
	t.Parallel()
	_, flags := etcdCluster(t)
	s := startServer(t, "server", t.TempDir(), flags...)
	addNode(t, s, "n1")
	makeRC(t, s, "before", 1)
	wait.Within(t, 10*time.Second, "a pod", func() error { return running(t, s, "before", 1) })

	hold := func(identity string) {
		t.Helper()
		patch := fmt.Appendf(nil, `{"spec":{"holderIdentity":%q,"leaseDurationSeconds":15,"renewTime":%q}}`, identity, metav1.NowMicro().UTC().Format(metav1.RFC3339Micro))
		must[*coordinationv1.Lease](t)(s.CoordinationV1().Leases("kube-system").Patch(t.Context(), "kube-controller-manager", types.MergePatchType, patch, metav1.PatchOptions{}))
	}
	hold("another")
	wait.Within(t, 15*time.Second, "the server works no more", func() error {
		if strings.Contains(s.log.String(), "lost the lease") {
			return nil
		}
		return fmt.Errorf("%s leads", leader(t, s))
	})
	hold("")
	makeRC(t, s, "after", 1)
	wait.Within(t, 20*time.Second, "a pod of the next term", func() error { return running(t, s, "after", 1) })
}
