package runner

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/report"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// own says that the labs of a tree are the learner's, whose progress is in a directory of the test.
func own(t testing.TB, root string) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	store, err := agreements()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.AddAuthor(root); err != nil {
		t.Fatal(err)
	}
}

// lab writes a lab of one text and one feature, and reads it as the runner does.
func lab(t *testing.T, text, feature string) *catalog.Lab {
	t.Helper()
	root := t.TempDir()
	for name, body := range map[string]string{
		"labs/track/01-first/lab.yaml": "title: A lab\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-first/text.md":  text,
		"features/track/first.feature": feature,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return labs[0]
}

// run follows the lab with a real bash, on no cluster.
func run(t *testing.T, l *catalog.Lab) (string, error) {
	t.Helper()
	return runOn(t, l, 1)
}

func runOn(t *testing.T, l *catalog.Lab, slow steps.Slow) (string, error) {
	t.Helper()
	dir := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH")}
	shell, err := script.Start(t.Context(), dir, env)
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	var out bytes.Buffer
	rep := report.New(&out)
	rep.Lab(l.Name, l.Title)
	w := &steps.World{Dir: dir, Env: env, Patience: 300 * time.Millisecond, Slow: slow, OnWait: rep.Waiting}
	if err := follow(t.Context(), l, shell, w, rep); err != nil {
		t.Fatal(err)
	}
	err = rep.Summary()
	return out.String(), err
}

// A lab whose commands and checks take longer than they wait passes on a machine that is said
// to be slow, and shows the commands that were run.
func TestALabOnASlowMachine(t *testing.T) {
	l := lab(t, "## Slow\n```\n$ timeout 0.1 sleep 0.5\n```\n<!-- check: it comes late -->\n",
		"Feature: f\n  Scenario: it comes late\n    Then `[ -e late ] || { sleep 1; touch late; false; }; timeout 0.1 sh -c 'sleep 0.5; echo late'` prints \"late\"\n")
	if out, err := runOn(t, l, 1); err == nil {
		t.Errorf("on a machine of usual speed it passes\n%s", out)
	}
	out, err := runOn(t, l, 600)
	if err != nil || !strings.Contains(out, "$ timeout 60 sleep 0.5") {
		t.Errorf("on a slow machine: %v\n%s", err, out)
	}
}

const text = "## One\n```\n$ echo 1 >n\n```\n<!-- check: it is one -->\n## Two\n```\n$ echo 2 >n\n```\n<!-- check: it is two -->\n"

const feature = "Feature: f\n  Scenario: it is one\n    Then `cat n` prints \"1\"\n  Scenario: it is two\n    Then `cat n` prints \"2\"\n"

func TestChecksRunAtTheirMoment(t *testing.T) {
	out, err := run(t, lab(t, text, feature))
	if err != nil || !strings.Contains(out, "2 checks passed, 0 failed") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatGoesWrongIsAFailure(t *testing.T) {
	cases := []struct {
		name, text, feature string
		want                []string
	}{
		{"a check that does not hold", strings.Replace(text, "echo 1", "echo 7", 1), feature, []string{"FAIL it is one", "wanted: `cat n` prints \"1\"", "seen:   7", "since:", "try:", "PASS it is two"}},
		{"a command that fails", strings.Replace(text, "echo 2 >n", "echo broken; false", 1), feature, []string{"PASS it is one", "FAIL text.md line 8", "exit status 1: broken", "it is two: not reached"}},
		{"a command that should fail", strings.Replace(text, "```\n$ echo 2", "```fails\n$ echo 2", 1), feature, []string{"end with an error", "not reached"}},
		{"an undefined step", text, strings.Replace(feature, "`cat n` prints \"1\"", "all is well", 1), []string{"FAIL it is one", "step:   all is well", "undefined"}},
		{"a command that ends the shell", strings.Replace(text, "echo 1 >n", "exit 0", 1), feature, []string{"shell has ended", "it is one: not reached", "it is two: not reached"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := run(t, lab(t, c.text, c.feature))
			if err == nil {
				t.Errorf("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestCommandLineErrorsNameTheWayOut(t *testing.T) {
	l := lab(t, text, feature)
	root := filepath.Dir(filepath.Dir(filepath.Dir(l.Dir)))
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	cases := []struct {
		args []string
		want string
	}{
		{[]string{"run", "other"}, "no lab other: 'lab list' lists the labs"},
		{[]string{"start", "frist"}, "no lab frist; did you mean track/first? 'lab list' lists the labs"},
		{[]string{"goto", "first/on"}, "no step on; did you mean one? 'lab status track/first' lists the steps"},
		{[]string{"run", "--output", "html=x"}, "use --output junit=FILE"},
		{[]string{"run", "--kubeconfig", "/nowhere"}, "'wheelhouse up' brings one up"},
		{[]string{"run"}, "'wheelhouse up' brings one up"},
		{[]string{"run", "--slow", "0"}, "--slow 0: want a number from 1 to 1000"},
		{[]string{"run", "--slow", "NaN"}, "--slow NaN: want a number from 1 to 1000"},
		{[]string{"fetch", "http://127.0.0.1/x"}, "is not fetched from"},
	}
	for _, c := range cases {
		cmd := Command()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append(c.args, "--labs", root))
		cmd.SetOut(&bytes.Buffer{})
		err := cmd.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, wanted %q in it", c.args, err, c.want)
		}
	}
}

// No start of a program starts another: godog asks the go command for a directory when it is
// initialized, so it is for tests alone. kubectl is the same program, started for each command.
func TestProgramsDoNotImportGodog(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "wheelhouse/lab-runner/cmd/lab", "wheelhouse/cluster/cmd/wheelhouse").Output()
	if err != nil {
		t.Fatal(err)
	}
	if deps := string(out); strings.Contains(deps, "cucumber/godog") || !strings.Contains(deps, "wheelhouse/lab-runner/steps\n") {
		t.Error("a program imports godog")
	}
}

// A lab that cannot start is a failure, and so are all its checks.
func TestALabThatDidNotBegin(t *testing.T) {
	l := lab(t, text, feature)
	var out bytes.Buffer
	rep := report.New(&out)
	rep.Lab(l.Name, l.Title)
	notReached(l, errors.New("Cannot connect"), rep)
	if rep.Summary() == nil || !strings.Contains(out.String(), "Cannot connect") || !strings.Contains(out.String(), "it is two: not reached") {
		t.Errorf("a lab that did not begin: %s", out.String())
	}
}

// The client-only program has nothing of a cluster in it.
func TestTheClientIsAClient(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "wheelhouse/lab-runner/cmd/lab").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		for _, never := range []string{"wheelhouse/cluster", "go.etcd.io", "github.com/docker", "github.com/vishvananda"} {
			if strings.HasPrefix(dep, never) {
				t.Errorf("the client depends on %s", dep)
			}
		}
	}
}
