//go:build !quick

package features_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	resourcehelper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/classroom/workbench"
)

var (
	ann = workbench.Learner{ID: "ann00001", Namespace: "learner-ann00001"}
	ben = workbench.Learner{ID: "ben00002", Namespace: "learner-ben00002"}
)

// TestWorkbench: two learners of a class on one cluster. Each has a shell and a lab, and neither reaches what is not theirs.
func TestWorkbench(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	c := bringUp(t, "bench", 1, "--class")
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	m, err := workbench.New(workbench.Config{REST: config})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []workbench.Learner{ann, ben} {
		start := time.Now()
		if err := m.Ensure(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		t.Logf("the workbench of %s is ready after %v", l.ID, time.Since(start))
	}
	b := &benches{c, m}
	t.Run("apart", b.apart)
	t.Run("crowded", b.crowded)
	t.Run("a lab", b.lab)
	t.Run("terminals", b.terminals)
	t.Run("fork bomb", b.bomb)
	t.Run("killed", b.killed)
	if err := m.Remove(t.Context(), ben); err != nil {
		t.Error(err)
	}
	left, err := c.client.AppsV1().Deployments(workbench.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) != 1 || left.Items[0].Name != "learner-ann00001" {
		t.Errorf("after one learner is gone: %v %v", left.Items, err)
	}
}

type benches struct {
	*testCluster
	m *workbench.Manager
}

// in runs a script in the learner's workbench, and returns what it prints.
func (b *benches) in(t *testing.T, l workbench.Learner, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.program, "kubectl", "--kubeconfig", b.kubeconfig, "-n", workbench.Namespace, "exec", "deploy/learner-"+l.ID, "--", "bash", "-c", script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// must is in without an error.
func (b *benches) must(t *testing.T, l workbench.Learner, script string) string {
	t.Helper()
	out, err := b.in(t, l, script)
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return out
}

// apart: what a learner can do, and what not.
func (b *benches) apart(t *testing.T) {
	for _, l := range []workbench.Learner{ann, ben} {
		b.must(t, l, "kubectl run web --image=b.gcr.io/kuar/inspector:1.0.0 --labels=app=web --port=80 && kubectl expose pod web --type=NodePort --port=80 && "+
			"kubectl wait --for=condition=Ready pod/web --timeout=60s")
	}
	address := b.must(t, ben, "kubectl get pod web -o jsonpath={.status.podIP}")
	port := b.must(t, ben, "kubectl get service web -o jsonpath={.spec.ports[0].nodePort}")
	own := b.must(t, ann, "kubectl get service web -o jsonpath={.spec.ports[0].nodePort}")
	const get = "curl -sS -m 3 -o /dev/null "
	for _, url := range []string{"http://web." + ann.Namespace + "/", "http://$NODE_IP:" + own + "/"} {
		b.must(t, ann, get+url)
	}
	b.must(t, ben, get+"http://"+address+"/")
	server := b.must(t, ann, "kubectl get --raw /api | jq -r '.serverAddressByClientCIDRs[0].serverAddress' | cut -d: -f1")
	token := "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"
	for _, script := range []string{
		get + "http://" + address + "/", get + "http://web." + ben.Namespace + "/", get + "http://$NODE_IP:" + port + "/",
		"kubectl exec web -- wget -q -T 2 -O - http://" + address + "/",
		get + "http://" + server + ":2379/", get + "-k https://" + server + ":10257/healthz", get + "-k https://" + server + ":10250/healthz",
		"curl -sSf -m 3 -k -H \"Authorization: Bearer " + token + "\" https://$NODE_IP:10250/pods",
		"kubectl -n " + ben.Namespace + " get pods", "kubectl -n kube-system get secrets", "kubectl -n " + workbench.Namespace + " get pods",
		"kubectl get nodes", "kubectl get namespaces", "kubectl get --raw /api/v1/nodes/$NODE/proxy/pods",
		"kubectl create clusterrolebinding x --clusterrole=cluster-admin --serviceaccount=" + workbench.Namespace + ":learner-" + ann.ID,
		"kubectl create rolebinding x --clusterrole=cluster-admin --serviceaccount=" + workbench.Namespace + ":learner-" + ann.ID,
		"kubectl delete networkpolicy class", "kubectl delete quota class", "kubectl label namespace " + ann.Namespace + " pod-security.kubernetes.io/enforce-",
		"kubectl run bad --image=busybox:1.35 --privileged", "kubectl get pods --as=system:admin --as-group=system:masters",
		`kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"hostNetwork":true}}'`,
		`kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}'`,
		`kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"priorityClassName":"system-node-critical"}}'`,
		"kubectl create token learner-" + ben.ID + " -n " + workbench.Namespace, "touch /usr/bin/x",
	} {
		if out, err := b.in(t, ann, script); err == nil {
			t.Errorf("a learner can: %s: %s", script, out)
		}
	}
	claims := b.must(t, ann, "cut -d. -f2 /var/run/secrets/kubernetes.io/serviceaccount/token | tr _- /+ | base64 -d 2>/dev/null | grep -o '\"sub\":\"[^\"]*\"'")
	if claims != `"sub":"system:serviceaccount:wheelhouse-workbenches:learner-ann00001"` {
		t.Errorf("the token is of %s", claims)
	}
	if found := b.must(t, ann, "find / -xdev -name '*.key' -o -xdev -name 'admin*.conf' 2>/dev/null | grep -v ^/proc; id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '"); found != "1000\nCapEff:0000000000000000 NoNewPrivs:1 Seccomp:2" {
		t.Errorf("the process: %s", found)
	}
	for _, l := range []workbench.Learner{ann, ben} {
		b.must(t, l, "kubectl delete pod,service web --grace-period=1")
	}
}

// crowded: who comes when pods without a priority have asked for all of the nodes gets a workbench.
func (b *benches) crowded(t *testing.T) {
	const large = `'{"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"x","image":"busybox:1.35","command":["sleep","1d"],"resources":{"requests":{"cpu":"600m"}}}]}}'`
	late := workbench.Learner{ID: "late0003", Namespace: "learner-late0003"}
	others := b.client.CoreV1().Pods(metav1.NamespaceDefault)
	defer func() {
		if err := b.m.Remove(t.Context(), late); err != nil {
			t.Error(err)
		}
		if err := others.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: crowd}); err != nil {
			t.Error(err)
		}
		for _, l := range []workbench.Learner{ann, ben} {
			b.must(t, l, "kubectl delete pod --all --grace-period=1")
		}
		wait.For(t, "the end of the pods", func() error {
			left, err := others.List(t.Context(), metav1.ListOptions{LabelSelector: crowd})
			if err != nil {
				return err
			}
			return wait.Seen(len(left.Items) == 0, len(left.Items), " pods")
		})
	}()
	for _, l := range []workbench.Learner{ann, ben} {
		b.must(t, l, "for i in 1 2 3; do kubectl run large-$i --image=busybox:1.35 --overrides="+large+"; done")
		if out, err := b.in(t, l, "kubectl run large-4 --image=busybox:1.35 --overrides="+large); err == nil {
			t.Errorf("2.4 CPUs of one learner: %s", out)
		}
	}
	b.fill(t)
	if err := b.m.Ensure(t.Context(), late); err != nil {
		t.Error(err)
	}
}

// crowd is the label of pods that fill nodes.
const crowd = "crowd"

// fill has pods in the namespace default ask for what is left of the processors: no quota of a learner is as large as any machine. Then a
// pod that asks for as much as a workbench, without its priority, finds no node.
func (b *benches) fill(t *testing.T) {
	t.Helper()
	b.scheduled(t, ann.Namespace)
	b.scheduled(t, ben.Namespace)
	pods := b.client.CoreV1().Pods(metav1.NamespaceDefault)
	ask := func(name string, milli int64, selector map[string]string) {
		t.Helper()
		grace := int64(1)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{crowd: "yes"}},
			Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, NodeSelector: selector, Containers: []corev1.Container{{
				Name: "x", Image: "busybox:1.35", Command: []string{"sleep", "1d"},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI)}},
			}}},
		}
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for node, milli := range b.unasked(t) {
		if milli > 0 {
			ask("rest-of-"+node, milli, map[string]string{corev1.LabelHostname: node})
		}
	}
	if refused := b.scheduled(t, metav1.NamespaceDefault); len(refused) > 0 {
		t.Fatalf("no node has what was left: %v", refused)
	}
	ask("as-a-workbench", 10, nil)
	if refused := b.scheduled(t, metav1.NamespaceDefault); len(refused) != 1 {
		t.Fatalf("there is room for a workbench without a priority: %v", refused)
	}
}

// unasked returns how many thousandths of a processor the pods of each node that takes pods have not asked for.
func (b *benches) unasked(t *testing.T) map[string]int64 {
	t.Helper()
	nodes, err := b.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int64{}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		tainted := slices.ContainsFunc(n.Spec.Taints, func(taint corev1.Taint) bool { return taint.Effect != corev1.TaintEffectPreferNoSchedule })
		if !n.Spec.Unschedulable && !tainted {
			left[n.Name] = n.Status.Allocatable.Cpu().MilliValue()
		}
	}
	pods, err := b.client.CoreV1().Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if _, counts := left[p.Spec.NodeName]; counts && !ended {
			asked := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
			left[p.Spec.NodeName] -= asked.Cpu().MilliValue()
		}
	}
	if len(left) == 0 {
		t.Fatal("no node takes pods")
	}
	return left
}

// scheduled waits until each pod of the namespace has a node or was refused one, and returns which were refused.
func (b *benches) scheduled(t *testing.T, namespace string) (refused []string) {
	t.Helper()
	wait.For(t, "a decision about each pod of "+namespace, func() error {
		refused = nil
		pods, err := b.client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			at := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
			})
			switch {
			case p.Spec.NodeName != "":
			case at < 0:
				return fmt.Errorf("pod %s is %s", p.Name, p.Status.Phase)
			default:
				refused = append(refused, p.Name+": "+p.Status.Conditions[at].Message)
			}
		}
		return nil
	})
	return refused
}

// screen is what a terminal has shown.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) await(t *testing.T, want string) {
	t.Helper()
	wait.For(t, "the text on the terminal", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if text := s.text.String(); !strings.Contains(text, want) {
			return fmt.Errorf("no %q on the terminal: %q", want, text[max(0, len(text)-2000):])
		}
		return nil
	})
}

// terminal is one that is connected.
type terminal struct {
	screen
	keys  *io.PipeWriter
	sizes chan workbench.Size
	end   context.CancelFunc
	ended chan error
}

func (b *benches) connect(t *testing.T, l workbench.Learner, readOnly bool) *terminal {
	t.Helper()
	in, keys := io.Pipe()
	ctx, end := context.WithCancel(t.Context())
	w := &terminal{keys: keys, sizes: make(chan workbench.Size, 1), end: end, ended: make(chan error, 1)}
	w.sizes <- workbench.Size{Columns: 120, Rows: 30}
	go func() {
		w.ended <- b.m.Terminal(ctx, l, workbench.Terminal{In: in, Out: &w.screen, Resize: w.sizes, ReadOnly: readOnly})
	}()
	t.Cleanup(func() { end(); _ = keys.Close() })
	return w
}

func (w *terminal) typed(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(w.keys, text+"\r"); err != nil {
		t.Fatal(err)
	}
}

// lab goes through a lab from first to last step: by requests to the desk, and commands typed into the terminal.
func (b *benches) lab(t *testing.T) {
	shell := b.connect(t, ann, false)
	shell.await(t, "$ ")
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- b.m.Desk(ctx, ann, in, out); _ = out.Close() }()
	lines := bufio.NewScanner(answers)
	lines.Buffer(nil, 1<<20)
	id := 0
	type block struct{ Kind, Command string }
	type state struct {
		Step   int
		Steps  []struct{ State string }
		Text   []block
		Quiz   []struct{ Answers []string }
		Checks []struct{ State string }
		Done   bool
	}
	ask := func(request string) (s state, failed string) {
		t.Helper()
		id++
		fmt.Fprintf(requests, `{"id":%d,%s}`+"\n", id, request)
		for lines.Scan() {
			var a struct {
				ID     int
				OK     bool
				Error  string
				Result state
			}
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				t.Fatalf("%v: %s", err, lines.Text())
			}
			if a.ID == id {
				return a.Result, a.Error
			}
		}
		t.Fatalf("the desk has ended: %v", <-ended)
		return s, ""
	}
	fmt.Fprintln(requests, `{"do":"open","progress":null,"labs":["drills/no-endpoints"]}`)
	s, failed := ask(`"do":"start","lab":"drills/no-endpoints"`)
	if failed != "" {
		t.Fatal(failed)
	}
	typed := 0
	for range 100 {
		if s.Done {
			break
		}
		for _, block := range s.Text {
			if block.Kind != "command" && block.Kind != "fails" {
				continue
			}
			typed++
			shell.typed(t, block.Command+"; echo ended-$(("+fmt.Sprint(typed)+"+1000))")
			shell.await(t, "ended-"+fmt.Sprint(typed+1000))
		}
		for q := range s.Quiz {
			for a := range s.Quiz[q].Answers {
				if _, failed := ask(fmt.Sprintf(`"do":"answer","question":%d,"answer":%d`, q, a)); failed != "" {
					t.Fatal(failed)
				}
			}
		}
		at := s.Step
		wait.For(t, "the next step", func() error {
			if s, failed = ask(`"do":"next"`); failed != "" {
				if s, noSolution := ask(`"do":"solve"`); noSolution != "" || s.Step != at {
					return fmt.Errorf("step %d: %s, %s", at, failed, noSolution)
				}
				return fmt.Errorf("step %d: %s", at, failed)
			}
			return nil
		})
	}
	if !s.Done || typed == 0 {
		t.Errorf("after %d commands: %+v", typed, s)
	}
	go func() { _, _ = io.Copy(io.Discard, answers) }() // what it still reports
	_ = requests.Close()
	if err := <-ended; err != nil {
		t.Errorf("the end of the desk: %v", err)
	}
}

// terminals: one shell, several terminals; nothing of a terminal that has ended is left.
func (b *benches) terminals(t *testing.T) {
	one := b.connect(t, ben, false)
	one.await(t, "$ ")
	over := b.connect(t, ben, true)
	one.typed(t, "echo seen-$((20+3)); stty size")
	over.await(t, "seen-23")
	one.await(t, "30 120")
	one.sizes <- workbench.Size{Columns: 90, Rows: 20}
	wait.For(t, "the new width", func() error {
		if size := b.must(t, ben, "tmux display-message -p -t lab '#{window_width}'"); size != "90" {
			return fmt.Errorf("the window has %s columns", size)
		}
		return nil
	})
	go func() { _, _ = io.WriteString(over.keys, "touch ~/by-the-watcher\r") }() // nobody reads it
	one.typed(t, "echo $((40+5))-typed")
	one.await(t, "45-typed")
	b.must(t, ben, "[ ! -e ~/by-the-watcher ]")
	one.end()
	over.end()
	for _, w := range []*terminal{one, over} {
		if err := <-w.ended; err == nil {
			t.Error("a terminal whose context has ended returns no error")
		}
	}
	wait.For(t, "no client of the session", func() error {
		if left := b.must(t, ben, "tmux list-clients -t lab"); left != "" {
			return fmt.Errorf("connected: %s", left)
		}
		return nil
	})
	again := b.connect(t, ben, false)
	again.await(t, "45-typed") // what there was
}

// bomb: the processes of a workbench are bounded, and the other learner notices nothing.
func (b *benches) bomb(t *testing.T) {
	// They do not end before the last is made on a slow machine either.
	out, _ := b.in(t, ben, "mkfifo ~/gate; (for i in $(seq 600); do read -t 60 <>~/gate & done) 2>&1 | head -1")
	if !strings.Contains(out, "Resource temporarily unavailable") {
		t.Errorf("600 processes in a workbench: %q", out)
	}
	if got := b.must(t, ann, "(for i in $(seq 20); do sleep 0 & done; wait; echo made); kubectl auth can-i create pods"); got != "made\nyes" {
		t.Errorf("the other learner beside it: %s", got)
	}
	wait.Within(t, 3*time.Minute, "room for processes again", func() error {
		_, err := b.in(t, ben, "for i in {1..600}; do echo; done 1<>~/gate; for i in $(seq 20); do sleep 0 & done; wait")
		return err
	})
}

// killed: a workbench whose processes are killed comes back, with the home.
func (b *benches) killed(t *testing.T) {
	before := b.must(t, ben, "echo mine >~/mine; cat /proc/1/stat | cut -d' ' -f22")
	_, _ = b.in(t, ben, "kill -9 -1") // which kills the shell that says so
	wait.For(t, "the workbench with its home", func() error {
		out, err := b.in(t, ben, "cat ~/mine; cat /proc/1/stat | cut -d' ' -f22; kubectl auth can-i create pods")
		words := strings.Fields(out)
		if err != nil || len(words) != 3 || words[0] != "mine" || words[1] == before || words[2] != "yes" {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err := b.m.Ensure(t.Context(), ben); err != nil {
		t.Fatal(err)
	}
}
