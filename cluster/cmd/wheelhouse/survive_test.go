//go:build !quick

package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/consistency"
	"wheelhouse/cluster/wait"
)

// ownNetwork runs the calling test again, in a network namespace of its own with the addresses
// of masters, and returns true there.
func ownNetwork(t *testing.T, limit time.Duration) bool {
	t.Helper()
	if os.Getenv("WHEELHOUSE_TEST_NETWORK") == t.Name() {
		mustRun(t, "ip", "link", "set", "lo", "up")
		for i := range 3 {
			mustRun(t, "ip", "address", "add", masterAddress(i)+"/32", "dev", "lo")
		}
		return true
	}
	self, err := os.Executable() // os.Args is kubectl's once a test has made its commands
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--net", "--", self, "-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", limit.String()}
	c := exec.Command("unshare", args...)
	c.Env = append(os.Environ(), "WHEELHOUSE_TEST_NETWORK="+t.Name(), "WHEELHOUSE_TEST_BINARY="+binary)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("in a network namespace of its own: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") {
			t.Log(strings.TrimSpace(line))
		}
	}
	return false
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func masterAddress(i int) string { return fmt.Sprintf("10.99.0.%d", i+1) }

// master is one of several servers, which can be started again.
type master struct {
	*server
	index int
	dir   string
	args  []string
}

func newMaster(t *testing.T, i int, more ...string) *master {
	t.Helper()
	dir := t.TempDir()
	return &master{server: &server{kubeconfig: filepath.Join(dir, "admin.kubeconfig")}, index: i, dir: dir, args: append([]string{
		"server", "--state-dir", dir, "--address", masterAddress(i), "--name", fmt.Sprint("m", i), "--dns-port", "0", "--ui-port", "0", "--node-monitor-grace-period", "10m",
	}, more...)}
}

func (m *master) start(t *testing.T) {
	t.Helper()
	m.process = start(t, m.args...)
}

// ready waits until the master serves.
func (m *master) ready(t *testing.T) {
	t.Helper()
	wait.Within(t, 3*time.Minute, fmt.Sprintf("master %d is ready", m.index), func() error {
		select {
		case <-m.ended:
			t.Fatalf("master %d ended:\n%s", m.index, m.log.String())
		default:
		}
		if err := m.connect(); err != nil {
			return err
		}
		_, err := m.RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
}

// masterToken is what wheelhouse token --master prints: the URL and the token.
func masterToken(t *testing.T, s *server) (url, token string) {
	t.Helper()
	words := strings.Fields(mustRun(t, binary, "token", "--master", "--kubeconfig", s.kubeconfig))
	return words[slices.Index(words, "--join")+1], words[slices.Index(words, "--token")+1]
}

// threeMasters starts a cluster of three.
func threeMasters(t *testing.T) []*master {
	t.Helper()
	all := []*master{newMaster(t, 0, "--cluster-init")}
	all[0].start(t)
	all[0].ready(t)
	for i := 1; i < 3; i++ {
		url, token := masterToken(t, all[0].server)
		m := newMaster(t, i, "--join", url, "--token", token)
		m.start(t)
		m.ready(t)
		all = append(all, m)
	}
	return all
}

// The faults of a master. Each returns what ends it.
var faults = map[string]func(t *testing.T, m *master) (mend func()){
	"killed": func(t *testing.T, m *master) func() {
		t.Helper()
		m.kill()
		return func() { m.start(t) }
	},
	"stopped": func(_ *testing.T, m *master) func() {
		_ = m.Process.Signal(syscall.SIGSTOP)
		return func() { _ = m.Process.Signal(syscall.SIGCONT) }
	},
	"cut off": func(t *testing.T, m *master) func() {
		t.Helper()
		at := masterAddress(m.index)
		rules := [][]string{{"INPUT", "-s", at, "!", "-d", at, "-j", "DROP"}, {"INPUT", "!", "-s", at, "-d", at, "-j", "DROP"}}
		for _, r := range rules {
			mustRun(t, "iptables", append([]string{"-w", "-I"}, r...)...)
		}
		return func() {
			for _, r := range rules {
				mustRun(t, "iptables", append([]string{"-w", "-D"}, r...)...)
			}
		}
	},
}

// TestThreeMasters: with one of three masters killed, stopped or cut off at a time, no write
// that was acknowledged is lost, reads are linearizable, watches skip and repeat nothing, and
// writes go on within 15 s.
func TestThreeMasters(t *testing.T) {
	count := 10
	if text := os.Getenv("WHEELHOUSE_FAULTS"); text != "" {
		count = must[int](t)(strconv.Atoi(text))
	}
	if !ownNetwork(t, 10*time.Minute+time.Duration(count)*time.Minute) {
		return
	}
	all := threeMasters(t)
	l := newLoad(t, all)
	began := time.Now()
	l.progress(t, 40)
	usual := l.history.Gap(began) // on this machine, now
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d; without a fault, writes pause %v at most", seed, usual.Round(time.Millisecond))
	kinds := []string{"killed", "stopped", "cut off"}
	longest := map[string]time.Duration{}
	for i := range count {
		kind, m := kinds[i%len(kinds)], all[random.IntN(len(all))]
		l.nextObjects()
		at := time.Now()
		mend := faults[kind](t, m)
		<-time.After(time.Duration(random.IntN(3000)) * time.Millisecond) // the fault's length at least, not a wait for a state
		l.progress(t, 40)
		gap := l.history.Gap(at)
		mend()
		m.ready(t)
		longest[kind] = max(longest[kind], gap)
		// A busy machine takes longer for everything.
		if limit := 15*time.Second + 20*usual; gap > limit {
			t.Errorf("fault %d, master %d %s: no write was acknowledged for %v, want %v at most", i, m.index, kind, gap, limit)
		}
	}
	l.stop(t)
	t.Logf("%d faults in %v, %d writes acknowledged; longest pause of writes: %v", count, time.Since(began).Round(time.Second), l.history.Acknowledged(), longest)
}

// load is clients that write, read and watch, and what they saw.
type load struct {
	history *consistency.History
	clients []*kubernetes.Clientset // of each master
	writers sync.WaitGroup
	end     chan struct{} // closed when the writers shall end

	mu      sync.Mutex
	epoch   int // which objects are in use
	watches []*watcher
}

const (
	loadWriters = 6
	loadObjects = 3
)

var loadLabel = map[string]string{"load": "yes"}

// newLoad starts clients. Each begins at another master and goes on to the next when one does
// not answer.
func newLoad(t *testing.T, all []*master) *load {
	t.Helper()
	l := &load{history: consistency.New()}
	for _, m := range all {
		rc := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", m.kubeconfig))
		rc.QPS, rc.Timeout = -1, 4*time.Second
		l.clients = append(l.clients, must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(rc)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = make(chan struct{})
	t.Cleanup(cancel)
	list := must[*corev1.ConfigMapList](t)(all[0].CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}))
	for i := range all {
		w := &watcher{load: l, at: i, version: list.ResourceVersion, ended: make(chan struct{})}
		l.watches = append(l.watches, w)
		go w.run(ctx)
	}
	for i := range loadWriters {
		l.writers.Go(func() { l.work(ctx, i) })
	}
	return l
}

// nextObjects lets clients use new objects: the fewer operations an object's history has, the
// faster it is checked.
func (l *load) nextObjects() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
}

func (l *load) object(random *rand.Rand) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("load-%d-%d", l.epoch, random.IntN(loadObjects))
}

// progress waits for so many writes to be acknowledged.
func (l *load) progress(t *testing.T, writes int) {
	t.Helper()
	want := l.history.Acknowledged() + writes
	wait.Within(t, 2*time.Minute, fmt.Sprint(writes, " more writes are acknowledged"), func() error {
		if have := l.history.Acknowledged(); have < want {
			return fmt.Errorf("%d are missing", want-have)
		}
		return nil
	})
}

// work is one client.
func (l *load) work(ctx context.Context, client int) {
	random := rand.New(rand.NewPCG(uint64(client), 1))
	at := client
	for n := 0; ctx.Err() == nil; n++ {
		if err := l.step(ctx, random, client, l.clients[at%len(l.clients)], fmt.Sprintf("%d-%d", client, n)); err != nil {
			at++
		}
		select {
		case <-l.end:
			return
		case <-time.After(20 * time.Millisecond): // a load, not a flood: three servers share the machine
		}
	}
}

// step reads an object, and writes it: by the version that was read, or whatever is there.
func (l *load) step(ctx context.Context, random *rand.Rand, client int, cs *kubernetes.Clientset, value string) error {
	name := l.object(random)
	maps := cs.CoreV1().ConfigMaps("default")
	end := l.history.Begin(client, consistency.Operation{Kind: consistency.Read, Object: name})
	have, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		end(consistency.Never, "", 0)
		return err
	}
	end(consistency.Done, have.Data["value"], 0)
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: loadLabel}, Data: map[string]string{"value": value}}
	op := consistency.Operation{Kind: consistency.Replace, Object: name, Value: value, Expected: have.Data["value"]}
	put := func() (*corev1.ConfigMap, error) { return maps.Update(ctx, next, metav1.UpdateOptions{}) }
	switch {
	case err != nil:
		put = func() (*corev1.ConfigMap, error) { return maps.Create(ctx, next, metav1.CreateOptions{}) }
	case random.IntN(2) == 0:
		next.ResourceVersion = have.ResourceVersion
	default:
		op.Kind = consistency.Write
	}
	end = l.history.Begin(client, op)
	written, err := put()
	switch {
	case err == nil:
		end(consistency.Done, "", version(written.ResourceVersion))
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err) && op.Kind == consistency.Replace:
		end(consistency.Refused, "", 0)
		err = nil
	case utilnet.IsConnectionRefused(err):
		end(consistency.Never, "", 0)
	default:
		end(consistency.Lost, "", 0)
	}
	return err
}

func version(text string) int64 {
	v, _ := strconv.ParseInt(text, 10, 64) // the store writes decimal numbers
	return v
}

// watcher follows all objects from one version on, at whichever master answers.
type watcher struct {
	load    *load
	at      int
	version string
	ended   chan struct{}

	mu     sync.Mutex
	events []consistency.Event
	err    error
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.ended)
	for ctx.Err() == nil {
		if err := w.follow(ctx, w.load.clients[w.at%len(w.load.clients)]); err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			return
		}
		w.at++
	}
}

// follow reads events until the watch ends; an error is one that watches must not have.
func (w *watcher) follow(ctx context.Context, cs *kubernetes.Clientset) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seconds := int64(30)
	events, err := cs.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{ResourceVersion: w.version, LabelSelector: "load=yes", TimeoutSeconds: &seconds})
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return err
	}
	if err != nil {
		select { // before it is tried again
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		if e.Type == watch.Error {
			if err := apierrors.FromObject(e.Object); apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				return err
			}
			return nil
		}
		m, ok := e.Object.(*corev1.ConfigMap)
		if !ok || e.Type == watch.Deleted {
			return fmt.Errorf("an event %s of %T, which nobody has caused", e.Type, e.Object)
		}
		w.mu.Lock()
		w.events = append(w.events, consistency.Event{Version: version(m.ResourceVersion), Object: m.Name, Value: m.Data["value"]})
		w.version = m.ResourceVersion
		w.mu.Unlock()
	}
	return nil
}

func (w *watcher) seen() ([]consistency.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events), w.err
}

// stop ends the writers, waits until the watches have seen all, and checks what was recorded.
func (l *load) stop(t *testing.T) {
	t.Helper()
	close(l.end)
	l.writers.Wait()
	var watches [][]consistency.Event
	// A write without an answer may have its effect late.
	wait.Within(t, 2*time.Minute, "the watches have seen what there is", func() error {
		watches = nil
		for i, w := range l.watches {
			events, err := w.seen()
			if err != nil {
				t.Fatalf("watch %d: %v", i, err)
			}
			watches = append(watches, events)
		}
		for i, cs := range l.clients {
			list, err := cs.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{LabelSelector: "load=yes"})
			if err != nil {
				return err
			}
			objects := map[string]string{}
			for i := range list.Items {
				objects[list.Items[i].Name] = list.Items[i].Data["value"]
			}
			if err := consistency.Present(objects, watches[i]); err != nil {
				return fmt.Errorf("master %d: %w", i, err)
			}
		}
		return l.history.Watches(watches...)
	})
	if err := l.history.Linearizable(2 * time.Minute); err != nil {
		t.Error(err)
	}
}
