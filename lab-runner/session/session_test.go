//go:build !quick

package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/script"
)

var files = map[string]string{
	"labs/track/01-maps/lab.yaml": "title: Config maps\nminutes: 5\nmanifests:\n  source: ./manifests\n",
	"labs/track/01-maps/text.md": `# Config maps

## One
` + "```" + `
$ kubectl create configmap one --from-literal=colour=blue
$ COLOUR=$(kubectl get configmap one -o jsonpath={.data.colour})
$ echo mine >mine.txt
` + "```" + `
<!-- check: one is blue -->
<!-- hint: first -->
<!-- hint: second -->
<!-- break: kubectl delete configmap one -->

## Two
` + "```" + `
$ kubectl create configmap two --from-literal=colour=$COLOUR
` + "```" + `
<!-- check: two is blue -->
<!-- hint: h -->
<!-- break: kubectl delete configmap two -->

` + "```quiz" + `
Which?
- [ ] red
- [x] blue
> It is.
` + "```" + `

## Three
The map is broken.
<!-- check: three is mended -->
<!-- hint: h -->

## Four
<!-- check: the pod runs -->
<!-- hint: h -->
`,
	"labs/track/01-maps/setup/three.sh":     "kubectl create configmap three --from-literal=colour=red",
	"labs/track/01-maps/solve/three.sh":     "kubectl patch configmap three -p '{\"data\":{\"colour\":\"blue\"}}'",
	"labs/track/01-maps/manifests/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-the-manifest}\n",
	"features/track/maps.feature": "Feature: f\n" +
		"  Scenario: one is blue\n    Then `kubectl get configmap one -o jsonpath={.data.colour}` prints \"blue\"\n" +
		"  Scenario: two is blue\n    Then `kubectl get configmap two -o jsonpath={.data.colour}` prints \"blue\"\n" +
		"  Scenario: three is mended\n    Then `kubectl get configmap three -o jsonpath={.data.colour}` prints \"blue\"\n" +
		"  Scenario: the pod runs\n    Then pod \"web\" is running and ready\n",
}

// world is a lab, and a real API server without nodes that run anything.
type world struct {
	*Session
	t      *testing.T
	client kubernetes.Interface
	out    *bytes.Buffer
}

func begin(t *testing.T) *world {
	t.Helper()
	w := open(t, files)[0]
	w.must(w.Start(t.Context(), w.out))
	return w
}

// open returns the labs of the files, on one API server.
func open(t *testing.T, files map[string]string) []*world {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	programs(t)
	config := apitest.Start(t)
	client := kubernetes.NewForConfigOrDie(config)
	go namespaces(t.Context(), client)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
	}}
	if _, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	cluster, err := environment.Open(kubeconfig(t, config))
	if err != nil {
		t.Fatal(err)
	}
	var out []*world
	for _, lab := range labs {
		s, err := Open(Config{Lab: lab, Cluster: cluster, Store: NewStore(filepath.Join(t.TempDir(), "progress.json"), nil), Dir: filepath.Join(t.TempDir(), lab.Name)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.closeShell)
		out = append(out, &world{s, t, client, &bytes.Buffer{}})
	}
	return out
}

// programs puts kubectl on the PATH.
func programs(t *testing.T) {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "kubectl")); err != nil {
		t.Fatalf("%v: 'make build' makes it", err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.Contexts["c"], c.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "c"
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "any"} // kubectl asks for a name otherwise
	path := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// namespaces is what a controller manager does: the default service account, and the end of a namespace.
func namespaces(ctx context.Context, client kubernetes.Interface) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for i := range list.Items {
			ns := &list.Items[i]
			if ns.DeletionTimestamp == nil {
				account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
				_, _ = client.CoreV1().ServiceAccounts(ns.Name).Create(ctx, account, metav1.CreateOptions{}) // it is there the next time
				continue
			}
			core := client.CoreV1()
			_ = errors.Join( // what is left is deleted the next time
				core.ConfigMaps(ns.Name).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
				core.Pods(ns.Name).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{}),
				core.ServiceAccounts(ns.Name).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
			ns.Spec.Finalizers = nil
			_, _ = core.Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.out)
	}
}

// states returns the current step, and the states of its checks.
func (w *world) states(look Look) (string, View) {
	w.t.Helper()
	v, err := w.Check(w.t.Context(), look)
	w.must(err)
	out := v.Steps[v.Step].Name + ":"
	for _, c := range v.Checks {
		out += " " + c.State
	}
	return out, v
}

func (w *world) want(state string) View {
	w.t.Helper()
	got, v := w.states(Look{})
	if got != state {
		w.t.Fatalf("%s, want %s\n%s", got, state, w.out)
	}
	return v
}

func (w *world) typed(line string) {
	w.t.Helper()
	status, err := w.Run(w.t.Context(), script.Item{Kind: script.Command, Text: line}, w.out)
	if err != nil || status != 0 {
		w.t.Fatalf("%s: %d, %v\n%s", line, status, err, w.out)
	}
}

// A learner types what the text says.
func TestALabByHand(t *testing.T) {
	w := begin(t)
	if v := w.want("one: todo"); v.Checks[0].Reason != nil {
		t.Errorf("a reason before anything was tried: %+v", v.Checks[0].Reason)
	}
	var left *NotDoneError
	if err := w.Next(t.Context(), false, w.out); !errors.As(err, &left) || !strings.Contains(left.Left, "one is blue") {
		t.Errorf("next before the step is done: %v", err)
	}
	w.states(Look{Asked: true})
	if _, v := w.states(Look{Asked: true}); v.Checks[0].Reason == nil || !strings.Contains(v.Checks[0].Reason.Seen, "NotFound") {
		t.Errorf("no reason at the second look: %+v", v.Checks[0])
	}
	w.typed("kubectl create configmap one --from-literal=colour=red")
	if v := w.want("one: todo"); v.Checks[0].Reason == nil || !strings.Contains(v.Checks[0].Reason.Seen, "red") {
		t.Errorf("no reason after something was tried: %+v", v.Checks[0])
	}
	w.typed(`kubectl patch configmap one -p '{"data":{"colour":"blue"}}'`)
	if v := w.want("one: done"); v.Steps[0].State != Done {
		t.Errorf("%+v", v.Steps[0])
	}
	w.typed("kubectl delete configmap one")
	w.want("one: lost")
	w.typed("kubectl create configmap one --from-literal=colour=blue; COLOUR=blue")
	w.want("one: done")

	for _, want := range []string{"first", "second", ""} {
		if text, ok, err := w.Hint(); err != nil || text != want || ok != (want != "") {
			t.Errorf("hint %q %v %v, want %q", text, ok, err, want)
		}
	}
	w.must(w.Next(t.Context(), false, w.out))
	w.typed("kubectl create configmap two --from-literal=colour=$COLOUR")
	if v := w.want("two: done"); v.Steps[1].State != ToDo {
		t.Error("the step is done without its answer")
	}
	if right, _, err := w.Answer(0, 0); err != nil || right {
		t.Errorf("a wrong answer: %v %v", right, err)
	}
	if right, why, err := w.Answer(0, 1); err != nil || !right || why != "It is." {
		t.Errorf("the right answer: %v %q %v", right, why, err)
	}
	if right, _, err := w.Answer(0, 0); err != nil || right {
		t.Errorf("%v, %v", right, err)
	}
	if v, err := w.View(); err != nil || !v.Quiz[0].Right {
		t.Errorf("what was answered rightly is open again: %+v, %v", v.Quiz, err)
	}
	if _, _, err := w.Answer(1, 0); err == nil {
		t.Error("an answer to no question")
	}
	w.must(w.Next(t.Context(), false, w.out))
	w.want("three: todo")
	w.typed("kubectl get configmap three") // set up
}

// Any step is reached from any state, and what was not done by oneself is noted as that.
func TestSolveResetGoto(t *testing.T) {
	w := begin(t)
	w.typed("kubectl create configmap one --from-literal=colour=red") // in the way of the solution
	w.must(w.Solve(t.Context(), w.out))
	if v := w.want("one: done"); v.Steps[0].State != Solved {
		t.Errorf("%+v\n%s", v.Steps[0], w.out)
	}
	if !strings.Contains(w.out.String(), "begun again") {
		t.Errorf("solved as things were: %s", w.out)
	}
	w.must(w.Reset(t.Context(), w.out))
	w.want("one: todo")
	if _, err := os.Stat(filepath.Join(w.Dir(), "mine.txt")); err == nil {
		t.Error("reset left a file of the step")
	}
	if _, err := os.Stat(filepath.Join(w.Dir(), ".kept", "mine.txt")); err != nil {
		t.Errorf("reset did not keep it: %v", err)
	}
	started := time.Now()
	w.must(w.Goto(t.Context(), 3, w.out))
	t.Logf("goto of the last step: %v", time.Since(started))
	v := w.want("four: todo")
	if v.Steps[2].State != Skipped {
		t.Errorf("%+v", v.Steps)
	}
	three, err := w.client.CoreV1().ConfigMaps("lab-maps").Get(t.Context(), "three", metav1.GetOptions{})
	if err != nil || three.Data["colour"] != "blue" {
		t.Errorf("the step before: %+v, %v", three, err)
	}
	w.must(w.Back())
	w.must(w.Goto(t.Context(), 2, w.out))
	w.want("three: todo")
	w.must(w.Solve(t.Context(), w.out))
	if v := w.want("three: done"); v.Steps[2].State != Solved {
		t.Errorf("%+v", v.Steps[2])
	}
	w.must(w.Next(t.Context(), false, w.out))
	if err := w.Next(t.Context(), true, w.out); !errors.Is(err, io.EOF) {
		t.Errorf("after the last step: %v", err)
	}
}

// A check follows the cluster, and finds what was made in another namespace.
func TestWatch(t *testing.T) {
	w := begin(t)
	w.must(w.choose(3))
	ctx, cancel := context.WithCancel(t.Context())
	views, done := make(chan View, 100), make(chan error, 1)
	go func() { done <- w.Watch(ctx, func(v View) { views <- v }, nil) }()
	await := func(what string, ok func(CheckView) bool) {
		t.Helper()
		for {
			select {
			case v := <-views:
				if ok(v.Checks[0]) {
					return
				}
			case <-time.After(wait.Limit):
				t.Fatalf("never %s", what)
			}
		}
	}
	await("to do", func(c CheckView) bool { return c.State == ToDo })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	run := func(ns string) time.Time {
		t.Helper()
		p, err := w.client.CoreV1().Pods(ns).Create(t.Context(), pod.DeepCopy(), metav1.CreateOptions{})
		w.must(err)
		p.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		_, err = w.client.CoreV1().Pods(ns).UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
		w.must(err)
		return time.Now()
	}
	run("default")
	if _, v := w.states(Look{Asked: true}); v.Checks[0].State != ToDo {
		t.Errorf("%+v", v.Checks[0])
	}
	_, v := w.states(Look{Asked: true})
	if r := v.Checks[0].Reason; r == nil || r.Elsewhere != "pod web is in namespace default; this lab lives in lab-maps" {
		t.Errorf("%+v", r)
	}
	ran := run("lab-maps")
	await("done", func(c CheckView) bool { return c.State == Done })
	t.Logf("seen %v after the change", time.Since(ran))
	w.must(w.client.CoreV1().Pods("lab-maps").Delete(t.Context(), "web", *metav1.NewDeleteOptions(0)))
	await("lost", func(c CheckView) bool { return c.State == Lost })
	cancel()
	w.must(<-done)
}

// The learner's shell has everything set, and its variables are there the next time, and for solutions.
func TestShell(t *testing.T) {
	w := begin(t)
	typed := func(lines string) string {
		t.Helper()
		cmd, err := w.Shell(t.Context())
		w.must(err)
		cmd.Env = append(cmd.Env, "HOME="+t.TempDir())
		cmd.Stdin = strings.NewReader(lines)
		out, err := cmd.CombinedOutput()
		if err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatal(err)
			}
		}
		return string(out)
	}
	out := typed("pwd; echo in $NAMESPACE; kubectl config view --minify -o jsonpath={..namespace}; echo; COLOUR='light blue'\ntrue\n")
	for _, want := range []string{w.Dir() + "\n", "in lab-maps\n", "\nlab-maps\n", "[maps: one] maps"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := typed("echo \"the colour is $COLOUR\"\n"); !strings.Contains(out, "the colour is light blue\n") {
		t.Errorf("the variable is not kept: %s", out)
	}
	w.typed(`[ "$COLOUR" = 'light blue' ]`)
}
