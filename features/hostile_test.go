package features_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cucumber/godog"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/features/hostile"
)

// arena is a cluster in which one user holds hostile connections, and another goes about
// its work.
type arena struct {
	admin  kubernetes.Interface
	target *hostile.Target
	other  *rest.Config // of the other user
	where  string       // the other user's namespace

	release func() error // ends the process that holds the connections
	notReady
}

// notReady notes the nodes that are seen to be not ready.
type notReady struct {
	mu   sync.Mutex
	seen []string
	stop func()
}

// newArena makes two users, each the default service account of a namespace that it may
// edit. The hostile one has objects that take megabytes to list, and a pod.
func newArena(ctx context.Context, kubeconfig string, admin kubernetes.Interface, prefix string) (*arena, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, err
	}
	a := &arena{admin: admin, where: prefix + "-other"}
	address := at.Host
	if at.Port() == "" {
		address += ":443"
	}
	a.target = &hostile.Target{Address: address, CA: cfg.CAData, Namespace: prefix + "-hostile", Pod: "talker"}
	if a.target.Token, err = editor(ctx, admin, a.target.Namespace); err != nil {
		return nil, err
	}
	token, err := editor(ctx, admin, a.where)
	if err != nil {
		return nil, err
	}
	a.other = &rest.Config{Host: cfg.Host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: cfg.CAData}, QPS: -1, Timeout: 30 * time.Second}
	if err := a.fill(ctx); err != nil {
		return nil, err
	}
	return a, a.follow(ctx)
}

// editor makes a namespace that its default service account may edit, and returns the
// account's token.
func editor(ctx context.Context, admin kubernetes.Interface, namespace string) (token string, err error) {
	if _, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	_, err = admin.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "edit"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	err = until(ctx, 15*time.Second, "a token in namespace "+namespace, func() (string, bool, error) {
		request, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			token = request.Status.Token
		}
		return "", err == nil, err
	})
	return token, err
}

func (a *arena) fill(ctx context.Context) error {
	maps := a.admin.CoreV1().ConfigMaps(a.target.Namespace)
	for i := range 400 {
		size, label := 500, "small"
		if i < 8 {
			size, label = 400<<10, "large"
		}
		m := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m-%d", i), Labels: map[string]string{"size": label}},
			Data:       map[string]string{"text": strings.Repeat("x", size)},
		}
		if _, err := maps.Create(ctx, m, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	pods := a.admin.CoreV1().Pods(a.target.Namespace)
	_, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: a.target.Pod}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64), AutomountServiceAccountToken: new(bool),
		Containers: []corev1.Container{{
			Name: "c", Image: "busybox:1.35", Command: []string{"sh", "-c", "yes | head -c 8000000; sleep 3600"},
		}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return until(ctx, time.Minute, "the hostile user's pod to run", func() (string, bool, error) {
		p, err := pods.Get(ctx, a.target.Pod, metav1.GetOptions{})
		if err != nil {
			return "", false, err
		}
		return fmt.Sprint(p.Status.Phase), p.Status.Phase == corev1.PodRunning, nil
	})
}

// follow watches the nodes until the arena is left.
func (a *arena) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w, err := a.admin.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		cancel()
		return err
	}
	a.stop = cancel
	go func() {
		for e := range w.ResultChan() {
			n, ok := e.Object.(*corev1.Node)
			if !ok {
				continue
			}
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
					a.mu.Lock()
					a.seen = append(a.seen, fmt.Sprintf("%s: %s %s", n.Name, c.Reason, c.Message))
					a.mu.Unlock()
				}
			}
		}
	}()
	return nil
}

func (a *arena) nodesStayedReady() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.seen) > 0 {
		return fmt.Errorf("nodes became not ready: %q", a.seen)
	}
	return nil
}

// holding is what a process of its own does, so that only the server is shared with it.
type holding struct {
	Target *hostile.Target
	Kind   string
	Count  int
}

// held is what such a process prints when it has its connections.
const held = "held"

// holdingVariable has a holding; the test binary carries it out instead of tests.
const holdingVariable = "WHEELHOUSE_TEST_HOSTILE"

func TestMain(m *testing.M) {
	given, ok := os.LookupEnv(holdingVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var h holding
	if err := json.Unmarshal([]byte(given), &h); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	i := slices.IndexFunc(hostile.Kinds, func(k hostile.Kind) bool { return k.Name == h.Kind })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "no kind is called %q\n", h.Kind)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // an abandoned one exits
	defer cancel()
	hostile.Kinds[i].Hold(ctx, h.Target, h.Count, func() { fmt.Println(held) })
}

// hold makes n connections of a kind, and keeps them until end.
func (a *arena) hold(ctx context.Context, kind string, n int) error {
	given, err := json.Marshal(holding{a.target, kind, n})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), holdingVariable+"="+string(given))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	a.release = func() error {
		defer cancel()
		select {
		case err := <-done:
			return fmt.Errorf("the hostile process has ended: %w", err)
		default:
		}
		cancel()
		if err := <-done; err == nil {
			return errors.New("the hostile process exited, and was to be killed")
		}
		return nil
	}
	if strings.TrimSpace(line) != held {
		return fmt.Errorf("the hostile process says %q, %w", line, readErr)
	}
	return nil
}

// end ends the connections that are held.
func (a *arena) end() error {
	if a.release == nil {
		return nil
	}
	release := a.release
	a.release = nil
	return release()
}

func (a *arena) leave(ctx context.Context) error {
	a.stop()
	return errors.Join(a.end(),
		a.admin.CoreV1().Namespaces().Delete(ctx, a.target.Namespace, metav1.DeleteOptions{}),
		a.admin.CoreV1().Namespaces().Delete(ctx, a.where, metav1.DeleteOptions{}))
}

// unrefused makes a refusal an error, where client-go would try again.
type unrefused struct{ http.RoundTripper }

func (u unrefused) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		_ = resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return resp, err
}

// work is what kubectl does: over a connection of its own it lists, creates, gets and
// deletes.
func (a *arena) work(ctx context.Context) error {
	cfg := rest.CopyConfig(a.other)
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return err
	}
	cfg.TLSClientConfig = rest.TLSClientConfig{}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	cfg.Transport = unrefused{transport}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	maps := cs.CoreV1().ConfigMaps(a.where)
	if _, err := maps.List(ctx, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "work-"}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if _, err := maps.Get(ctx, made.Name, metav1.GetOptions{}); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if err := maps.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// The scenario's steps.

func (p *platform) registerHostile(sc *godog.ScenarioContext) {
	var a *arena
	sc.Step(`^two users who each may edit a namespace$`, func(ctx context.Context) (err error) {
		a, err = newArena(ctx, p.cluster.kubeconfig, p.cluster.client, p.Namespace)
		return err
	})
	sc.Step(`^one of them holds (\d+) connections of the kind "([^"]*)"$`, func(ctx context.Context, n int, name string) error {
		if err := a.end(); err != nil {
			return err
		}
		return a.hold(ctx, name, n)
	})
	sc.Step(`^the other has all of its work done (\d+) times$`, func(ctx context.Context, n int) error {
		for i := range n {
			if err := a.work(ctx); err != nil {
				return fmt.Errorf("after %d times: %w", i, err)
			}
		}
		return nil
	})
	sc.Step(`^no node has become not ready$`, func() error { return a.nodesStayedReady() })
	sc.After(func(ctx context.Context, _ *godog.Scenario, _ error) (context.Context, error) {
		if a == nil {
			return ctx, nil
		}
		return ctx, a.leave(context.WithoutCancel(ctx))
	})
}

// BenchmarkHostile holds 500 connections of each kind for a minute (or for
// WHEELHOUSE_BENCH_TIME), and prints how long the other user's work takes
// meanwhile (a connection and four requests), how often it fails, and how often a node is seen to be not ready.
func BenchmarkHostile(b *testing.B) {
	period := time.Minute
	if given, err := time.ParseDuration(os.Getenv("WHEELHOUSE_BENCH_TIME")); err == nil {
		period = given
	}
	c := bringUp(b, "hostile", 2)
	a, err := newArena(b.Context(), c.kubeconfig, c.client, "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := a.leave(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	}()
	run := func(b *testing.B, kind string) {
		b.Helper()
		if kind != "" {
			if err := a.hold(b.Context(), kind, 500); err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := a.end(); err != nil {
					b.Error(err)
				}
			}()
		}
		var took []time.Duration
		failed := 0
		for until := time.Now().Add(period); time.Now().Before(until); {
			begun := time.Now()
			if err := a.work(b.Context()); err != nil {
				failed++
				b.Log(err)
			}
			took = append(took, time.Since(begun))
			time.Sleep(100 * time.Millisecond) // the rate at which it works
		}
		slices.Sort(took)
		at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
		b.ReportMetric(at(50), "p50-ms")
		b.ReportMetric(at(99), "p99-ms")
		b.ReportMetric(at(100), "max-ms")
		b.ReportMetric(float64(failed), "failed")
		a.mu.Lock()
		b.ReportMetric(float64(len(a.seen)), "not-ready")
		a.seen = nil
		a.mu.Unlock()
	}
	b.Run("nothing", func(b *testing.B) { run(b, "") })
	for _, kind := range hostile.Kinds {
		b.Run(strings.ReplaceAll(kind.Name, " ", "-"), func(b *testing.B) { run(b, kind.Name) })
	}
}
