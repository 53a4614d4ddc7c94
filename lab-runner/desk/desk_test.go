//go:build !quick

package desk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/session"
)

var files = map[string]string{
	"labs/track/01-maps/lab.yaml": "title: Config maps\nabout: About maps.\nminutes: 5\nmanifests:\n  source: ./manifests\n",
	"labs/track/01-maps/text.md": "# Config maps\n\nWelcome <script>alert(1)</script> to [it](javascript:alert(2)).\n\n## One\nMake *one*.\n" +
		"```\n$ kubectl create configmap one \\\n> --from-literal=colour=blue\nconfigmap/one <created>\n$ kubectl get configmap one\n```\n" +
		"<!-- check: one is blue -->\n<!-- hint: Use `create`. -->\n<!-- break: kubectl delete configmap one -->\n\n" +
		"## Two\n```fails\n$ kubectl get configmap none\n```\n```quiz\nWhich?\n- [ ] red\n- [x] blue\n> It is.\n```\n",
	"labs/track/01-maps/manifests/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-the-manifest}\n",
	"features/track/maps.feature":           "Feature: f\n  Scenario: one is blue\n    Then `kubectl get configmap one -o jsonpath={.data.colour}` prints \"blue\"\n",
	"labs/track/02-admin/lab.yaml":          "title: Admin\nminutes: 5\nrequires: [cluster-admin]\nmanifests:\n  source: ./manifests\n",
	"labs/track/02-admin/text.md":           "# Admin\n\n## One\n```\n$ true\n```\n<!-- check: it is -->\n<!-- hint: h -->\n<!-- break: true -->\n",
	"labs/track/02-admin/manifests/m.yaml":  "# none\n",
	"features/track/admin.feature":          "Feature: f\n  Scenario: it is\n    Then `kubectl get configmap one -o name` prints \"one\"\n",
}

// world is a desk on a real API server, and who speaks with it.
type world struct {
	t      *testing.T
	client kubernetes.Interface
	cfg    Config
	in     *io.PipeWriter
	lines  chan map[string]any
	ended  chan error
	id     int
}

func begin(t *testing.T) *world {
	t.Helper()
	root, home := t.TempDir(), t.TempDir()
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
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "kubectl")); err != nil {
		t.Fatalf("%v: 'make build' makes it", err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", home)
	config := apitest.Start(t)
	client := kubernetes.NewForConfigOrDie(config)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
	}}
	_, err = client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	_, err2 := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	// The namespace and its account, as a class and the controller manager make them.
	_, err3 := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab-maps"}}, metav1.CreateOptions{})
	_, err4 := client.CoreV1().ServiceAccounts("lab-maps").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.Contexts["c"], c.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "c"
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "any"}
	path := filepath.Join(t.TempDir(), "config")
	if err := errors.Join(err, err2, err3, err4, clientcmd.WriteToFile(*c, path)); err != nil {
		t.Fatal(err)
	}
	cluster, err := environment.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, client: client}
	w.cfg = Config{Labs: labs, Cluster: cluster, Store: session.NewStore(filepath.Join(home, "progress.json"), nil), Home: home}
	w.run(t.Context())
	return w
}

// run starts the desk.
func (w *world) run(ctx context.Context) {
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	w.in, w.lines, w.ended = typed, make(chan map[string]any, 1000), make(chan error, 1)
	go func() { w.ended <- Run(ctx, w.cfg, in, out) }()
	go func() {
		all := bufio.NewScanner(shown)
		all.Buffer(nil, MaxLine)
		for all.Scan() {
			var v map[string]any
			if json.Unmarshal(all.Bytes(), &v) != nil {
				v = map[string]any{"event": "no JSON: " + all.Text()}
			}
			w.lines <- v
		}
	}()
	w.t.Cleanup(func() { _, _ = typed.Close(), shown.Close() })
}

func (w *world) send(line string) {
	w.t.Helper()
	if _, err := io.WriteString(w.in, line+"\n"); err != nil {
		w.t.Fatal(err)
	}
}

// until returns the first line that is wanted.
func (w *world) until(what string, wanted func(map[string]any) bool) map[string]any {
	w.t.Helper()
	var last map[string]any
	for {
		select {
		case v := <-w.lines:
			if last = v; wanted(v) {
				return v
			}
		case <-time.After(wait.Limit):
			w.t.Fatalf("no %s; the last line was %v", what, last)
		}
	}
}

// ask returns the answer to a request.
func (w *world) ask(request string) (result map[string]any, failed string) {
	w.t.Helper()
	w.id++
	w.send(fmt.Sprintf(`{"id":%d,%s}`, w.id, request))
	v := w.until("answer to "+request, func(v map[string]any) bool { return v["id"] == float64(w.id) })
	if v["ok"] != true {
		return nil, fmt.Sprint(v["error"])
	}
	result, _ = v["result"].(map[string]any)
	return result, ""
}

func (w *world) must(request string) map[string]any {
	w.t.Helper()
	result, failed := w.ask(request)
	if failed != "" {
		w.t.Fatalf("%s: %s", request, failed)
	}
	return result
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// A learner's way through a lab: what is shown, done, and noted.
func TestALabAtTheDesk(t *testing.T) {
	w := begin(t)
	w.send(`{"do":"open","progress":null,"labs":["track/maps","track/admin"]}`)
	w.until("progress", func(v map[string]any) bool { return v["event"] == "progress" })
	if _, failed := w.ask(`"do":"view"`); !strings.Contains(failed, "not started") {
		t.Errorf("a view of no lab: %q", failed)
	}
	if _, failed := w.ask(`"do":"start","lab":"track/admin"`); !strings.Contains(failed, "all rights in the cluster") {
		t.Errorf("a lab of an administrator: %q", failed)
	}
	v := w.must(`"do":"start","lab":"track/maps"`)
	shown := text(v["text"])
	for _, want := range []string{`"kind":"command"`, `kubectl create configmap one \\\n--from-literal=colour=blue`, `configmap/one \u0026lt;created\u0026gt;`, "Make "} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %s in %s", want, shown)
		}
	}
	for _, never := range []string{`\u003cscript`, "javascript:"} {
		if strings.Contains(shown, never) {
			t.Errorf("%s in %s", never, shown)
		}
	}
	home, err := os.ReadFile(filepath.Join(w.cfg.Home, ".lab"))
	if err != nil {
		t.Fatal(err)
	}
	if rc, err := os.ReadFile(strings.TrimSpace(string(home))); err != nil || !strings.Contains(string(rc), "NAMESPACE='lab-maps'") {
		t.Errorf("the shell's file: %v %s", err, rc)
	}
	if v = w.must(`"do":"hint"`); !strings.Contains(text(v["hints"]), "code") || v["hintsLeft"] != 0.0 {
		t.Errorf("hints %v", v["hints"])
	}
	if _, failed := w.ask(`"do":"next"`); !strings.Contains(failed, "one is blue") {
		t.Errorf("next: %q", failed)
	}
	// What happens in the cluster is seen without a request.
	one := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Data: map[string]string{"colour": "blue"}}
	if _, err := w.client.CoreV1().ConfigMaps("lab-maps").Create(t.Context(), one, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("view with the check done", func(v map[string]any) bool {
		return v["event"] == "view" && strings.Contains(text(v["view"]), `"name":"one is blue","since":"20`) && strings.Contains(text(v["view"]), `"state":"done"`)
	})
	v = w.must(`"do":"next"`)
	if v["step"] != 1.0 || !strings.Contains(text(v["text"]), `"kind":"fails"`) || !strings.Contains(text(v["text"]), `"kind":"quiz"`) || v["done"] != false {
		t.Errorf("the second step: %s", text(v))
	}
	w.must(`"do":"answer","question":0,"answer":0`)
	if v = w.must(`"do":"answer","question":0,"answer":1`); !strings.Contains(text(v["quiz"]), "It is.") || v["done"] != true {
		t.Errorf("answered: %s", text(v))
	}
	_ = w.in.Close()
	if err := <-w.ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}

// Solving prints what it does, and a desk that comes later has the progress.
func TestSolveAndComeBack(t *testing.T) {
	w := begin(t)
	w.send(`{"do":"open"}`)
	w.must(`"do":"start","lab":"track/maps"`)
	if _, failed := w.ask(`"do":"solve","step":1`); !strings.Contains(failed, "at another step") {
		t.Errorf("the solution of another step: %q", failed)
	}
	w.send(`{"id":99,"do":"solve","step":0}`)
	w.until("output", func(v map[string]any) bool {
		return v["event"] == "output" && strings.Contains(fmt.Sprint(v["text"]), "create configmap one")
	})
	if _, failed := w.ask(`"do":"reset"`); !strings.Contains(failed, "'solve' is still being done") {
		t.Errorf("two at a time: %q", failed)
	}
	solved := w.until("answer", func(v map[string]any) bool { return v["id"] == 99.0 })
	if solved["ok"] != true || !strings.Contains(text(solved), `"state":"solved"`) {
		t.Fatalf("%s", text(solved))
	}
	why := w.must(`"do":"why"`)
	if why["text"] == "" || why["explanations"] == nil {
		t.Errorf("why: %s", text(why))
	}
	p, err := w.cfg.Store.Progress()
	if err != nil {
		t.Fatal(err)
	}
	_ = w.in.Close()
	if err := <-w.ended; err != nil {
		t.Errorf("the end: %v", err)
	}

	// The home is lost: what the class has stored is taken.
	if err := os.Remove(filepath.Join(w.cfg.Home, "progress.json")); err != nil {
		t.Fatal(err)
	}
	w.run(t.Context())
	w.send(`{"do":"open","progress":` + text(p) + `}`)
	if v := w.must(`"do":"start","lab":"track/maps"`); !strings.Contains(text(v["steps"]), `"state":"solved"`) {
		t.Errorf("it was solved: %s", text(v))
	}
}

// What is no request ends the desk, and what it cannot do is a sentence.
func TestHostileLines(t *testing.T) {
	for name, line := range map[string]string{
		"no JSON": `open`, "no opening": `{"do":"labs"}`, "too long": `{"do":"` + strings.Repeat("x", MaxLine) + `"}`,
	} {
		var out strings.Builder
		store := session.NewStore("", nil)
		if err := Run(t.Context(), Config{Store: store}, strings.NewReader(line+"\n"), &out); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	w := begin(t)
	w.send(`{"do":"open","labs":["track/admin"]}`)
	if _, failed := w.ask(`"do":"start","lab":"track/maps"`); !strings.Contains(failed, "not open yet") {
		t.Errorf("a lab that is not open: %q", failed)
	}
	if _, failed := w.ask(`"do":"start","lab":"../../etc"`); failed == "" {
		t.Error("a lab that is not there")
	}
	if _, failed := w.ask(`"do":"run","lab":"track/maps"`); failed == "" {
		t.Error("a desk that runs commands")
	}
}
