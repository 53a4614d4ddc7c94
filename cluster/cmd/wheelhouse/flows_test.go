//go:build !quick

package main_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"wheelhouse/cluster/wait"
)

var (
	otherServer = flag.String("flows-kubeconfig", "", "run the flows against the control plane of this kubeconfig")
	recordFlows = flag.Bool("update-flows", false, "write what the commands print into testdata/flows")
)

// flowNames are the flows in testdata/flows.
var flowNames = []string{"migration", "managers", "autoscaler", "status", "garbage", "rollout"}

// TestFlows runs sequences of kubectl commands, and compares what each prints with what it printed against
// Kubernetes 1.36.3 with its controllers:
//
//	go test ./cluster/cmd/wheelhouse -run TestFlows -flows-kubeconfig FILE -update-flows
//
// A line `$ COMMAND` runs once, `? COMMAND` until it prints what follows: the controllers are not in step.
func TestFlows(t *testing.T) {
	kubeconfig := *otherServer
	if kubeconfig == "" {
		kubeconfig = startServer(t, "server", t.TempDir()).kubeconfig
	}
	for _, name := range flowNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runFlow(t, kubeconfig, name)
		})
	}
}

// step is a command of a flow, and what it prints.
type step struct {
	line string // from "$ " or "? " on
	want string
}

func readFlow(t *testing.T, file string) (head string, steps []step) {
	t.Helper()
	text := string(must[[]byte](t)(os.ReadFile(file)))
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "? "):
			steps = append(steps, step{line: strings.TrimSpace(line)})
		case len(steps) == 0:
			head += line
		default:
			steps[len(steps)-1].want += line
		}
	}
	return head, steps
}

func runFlow(t *testing.T, kubeconfig, name string) {
	t.Helper()
	file := filepath.Join("testdata", "flows", name+".txt")
	out, steps := readFlow(t, file)
	kubeconfig = must[string](t)(filepath.Abs(kubeconfig))
	f := &flow{kubeconfig: kubeconfig, namespace: "flow-" + rand.String(6), home: t.TempDir()}
	f.kubectl(t, "create namespace "+f.namespace)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		_ = f.command(ctx, "delete namespace "+f.namespace+" --wait=false").Run() // of a server that may be another
	})
	wait.For(t, "the namespace's account", func() error {
		got := f.kubectl(t, "get serviceaccount default -o name")
		return wait.Seen(got == "serviceaccount/default\n", got)
	})
	for _, s := range steps {
		command := s.line[2:]
		if s.line[0] == '?' {
			wait.Within(t, 2*time.Minute, command, func() error {
				got := f.kubectl(t, command)
				return wait.Seen(got == s.want, got)
			})
		} else {
			got := f.kubectl(t, command)
			if got != s.want && !*recordFlows {
				t.Errorf("%s\n%swant\n%s", s.line, got, s.want)
			}
			s.want = got
		}
		out += s.line + "\n" + s.want
	}
	if *recordFlows && !t.Failed() {
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// flow is a namespace of a server, and kubectl in it.
type flow struct{ kubeconfig, namespace, home string }

// managers prints the managers of an object, which are written in the order of their times.
const managers = `jsonpath={range.metadata.managedFields[*]}{.manager}/{.operation}/{.subresource}{"\n"}{end}`

func (f *flow) command(ctx context.Context, line string) *exec.Cmd {
	args := []string{"kubectl", "--kubeconfig", f.kubeconfig, "-n", f.namespace}
	words := strings.Fields(strings.ReplaceAll(line, "NS", f.namespace))
	if words[0] == "managers" {
		words = append([]string{"get", "-o", managers}, words[1:]...)
	}
	c := exec.CommandContext(ctx, binary, append(args, words...)...)
	c.Dir, c.Env = filepath.Join("testdata", "flows"), append(os.Environ(), "HOME="+f.home)
	return c
}

// kubectl returns what a command prints, errors last, without what is different in each run.
func (f *flow) kubectl(t *testing.T, line string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	c := f.command(ctx, line)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	_ = c.Run() // what it prints tells
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if strings.HasPrefix(line, "managers ") {
		slices.Sort(lines)
	}
	text := strings.TrimSpace(strings.Join(lines, "\n") + "\n" + stderr.String())
	for _, r := range varying {
		text = r.form.ReplaceAllString(text, r.by)
	}
	if text = strings.ReplaceAll(text, f.namespace, "NS"); text == "" {
		return ""
	}
	return text + "\n"
}

// varying is what is different in each run: uids, times, ages, hashes and suffixes.
var varying = []struct {
	form *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b`), "UID"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT[\d:]+Z`), "TIME"},
	{regexp.MustCompile(`(pod-template-hash["=: ]+)\w+`), "${1}HASH"},
	{regexp.MustCompile(`\b(web|st)-[bcdfghjklmnpqrstvwxz2456789]{6,10}\b`), "${1}-HASH"},
	{regexp.MustCompile(`"resourceVersion":"\d+"`), `"resourceVersion":"VERSION"`},
	{regexp.MustCompile(`(?m)\b(\d+m)?\d+s$`), "AGE"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}
