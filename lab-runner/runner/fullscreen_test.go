package runner

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd/util"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/kubectl"
	"wheelhouse/cluster/wait"
)

const pageText = "# A page\n\nA config map has files.\n\n## Write a page\n\nCreate it.\n\n```\n$ kubectl create configmap page\n```\n\n" +
	"<!-- check: there is a page -->\n<!-- hint: type the command -->\n<!-- break: kubectl delete configmap page -->\n\n" +
	"## Think\n\n```quiz\nWhat is it?\n- [ ] a pod\n- [x] an object\n> Each resource is one.\n```\n"

const pageFeature = "Feature: a page\n  Scenario: there is a page\n    Then "

// learnerOn returns a kubeconfig, labs and an environment for a learner, on an API server that has one ready node.
func learnerOn(t testing.TB, config *rest.Config, sentence string) (root string, client kubernetes.Interface) {
	t.Helper()
	client = kubernetes.NewForConfigOrDie(config)
	ctx := t.Context()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1"},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.1.2.3"}},
		},
	}
	created, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	created.Status = node.Status
	if _, err = client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab-page"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ServiceAccounts("lab-page").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for name, body := range map[string]string{
		"labs/track/01-page/lab.yaml":         "title: A page\nabout: Pages.\nminutes: 2\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-page/manifests/README": "empty\n",
		"labs/track/01-page/text.md":          pageText,
		"features/track/page.feature":         pageFeature + sentence + "\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData, InsecureSkipTLSVerify: config.Insecure}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: "any"}},
		CurrentContext: "c",
	}, filepath.Join(root, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", filepath.Join(root, "home"))
	own(t, root)
	if err := os.MkdirAll(filepath.Join(root, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root, client
}

// screen is a terminal of 80 columns and 24 rows, and what it shows.
type screen struct {
	t        testing.TB
	lock     sync.Mutex
	emulator *vt.Emulator
	keys     *os.File
}

// show starts a program that is `lab`, with no words, on a pseudo-terminal.
func show(t testing.TB, program, root string, ended chan<- error) (*screen, int) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program, "--labs", root, "--kubeconfig", filepath.Join(root, "kubeconfig"))
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", runAsLab+"=1")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, emulator: vt.NewEmulator(80, 24), keys: terminal}
	go func() {
		b := make([]byte, 32<<10)
		for {
			n, err := terminal.Read(b)
			s.lock.Lock()
			_, _ = s.emulator.Write(b[:n])
			s.lock.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { // what the emulator answers to questions
		b := make([]byte, 1024)
		for {
			n, err := s.emulator.Read(b)
			if err != nil {
				return
			}
			_, _ = terminal.Write(b[:n])
		}
	}()
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = terminal.Close()
	})
	return s, cmd.Process.Pid
}

func (s *screen) text() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.emulator.String()
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the screen has a text, and takes keys: a state may be shown before the action that led to it has ended.
func (s *screen) await(want string) {
	s.t.Helper()
	wait.For(s.t, fmt.Sprintf("%q on the screen, and no action under way", want), func() error {
		text := s.text()
		return wait.Seen(strings.Contains(text, want) && !strings.Contains(text, "please wait:"), text)
	})
}

// A newcomer sees the labs, opens one, runs its command, sees the check done, and the quiz; then leaves and comes back.
func TestTheViewOnARealCluster(t *testing.T) {
	root, client := learnerOn(t, apitest.Start(t), "`kubectl get configmap page -o name` prints \"configmap/page\"")
	ended := make(chan error, 2)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := show(t, self, root, ended)
	s.await("[ ] 0/2   page")
	s.press("\r")
	s.await("[ ] there is a page")
	s.await("node node-1  Ready")
	s.await("> ") // the cursor is on the command
	s.press("\r")
	s.await("configmap/page created")
	s.await("(done)") // until then the shell is refused
	s.await("[x] there is a page")
	if err := client.CoreV1().ConfigMaps("lab-page").Delete(t.Context(), "page", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.await("[!] there is a page")
	s.press("x")
	s.await("page: write-a-page")
	s.press("kubectl create configmap page; echo in $NAMESPACE; exit\r")
	s.await("[x] there is a page")
	s.press("n")
	s.await("What is it?")
	s.press("\x1b[B\r")
	s.await("Right. Each resource is one.")
	s.press("q")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	again, _ := show(t, self, root, ended)
	again.await("What is it?")
	again.press("q")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// changes is how many the latency is measured of.
const changes = 40

// BenchmarkView measures how long after a change in the cluster the screen shows it, for a check of objects and for one
// made of kubectl, and what the view needs while nothing happens.
func BenchmarkView(b *testing.B) {
	for name, sentence := range map[string]string{
		"object":  "pod \"page\" is Pending",
		"kubectl": "`kubectl get pod page` prints a line like \"^page +0/1 +Pending\"",
	} {
		b.Run(name, func(b *testing.B) { benchmarkView(b, sentence) })
	}
}

func benchmarkView(b *testing.B, sentence string) {
	b.Helper()
	root, client := learnerOn(b, apitest.Start(b), sentence)
	program := filepath.Join(b.TempDir(), "lab")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "wheelhouse/lab-runner/cmd/lab").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	ended := make(chan error, 1)
	s, pid := show(b, program, root, ended)
	s.await("[ ] 0/2   page")
	s.press("\r")
	s.await("[ ] there is a page")
	pods, ctx := client.CoreV1().Pods("lab-page"), context.Background()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "page"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	var all []time.Duration
	for len(all) < changes || b.Loop() {
		if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		from := time.Now()
		s.await("[x] there is a page")
		all = append(all, time.Since(from))
		if err := pods.Delete(ctx, "page", *metav1.NewDeleteOptions(0)); err != nil {
			b.Fatal(err)
		}
		from = time.Now()
		s.await("[!] there is a page")
		all = append(all, time.Since(from))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "ms-p50")
	b.ReportMetric(float64(all[len(all)*95/100].Milliseconds()), "ms-p95")
	before, from := ticks(b, pid), time.Now()
	time.Sleep(10 * time.Second) // that nothing happens is what is measured
	b.ReportMetric(float64(ticks(b, pid)-before)/time.Since(from).Seconds(), "%cpu-idle")
	b.ReportMetric(resident(b, pid), "MB")
	s.press("q")
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// ticks returns the processor time of a process, in hundredths of a second.
func ticks(b *testing.B, pid int) (n int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, f := range fields[11:13] {
		v, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		n += v
	}
	return n
}

func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	return 0
}

// runAsLab is set for the processes of the test that are the program.
const runAsLab = "WHEELHOUSE_TEST_RUNS_LAB"

// TestMain runs the tests, or is kubectl or `lab` where a test starts it as that.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "kubectl":
		c, err := kubectl.Command(os.Args[1:], "")
		if err == nil {
			err = cli.RunNoErrOutput(c)
		}
		util.CheckErr(err)
		os.Exit(0)
	case os.Getenv(runAsLab) != "":
		c := Command()
		c.SilenceUsage, c.SilenceErrors = true, true
		if err := c.Execute(); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
