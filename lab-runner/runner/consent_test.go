package runner

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
)

// foreign is a lab of somebody else, and the commands on it, with answers to what they ask.
type foreign struct {
	t      *testing.T
	lab    *catalog.Lab
	config string
	answer *bool // nil: no terminal
	asked  int
}

func foreignLab(t *testing.T, text, feature string) *foreign {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l := lab(t, text, feature)
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	f := &foreign{t: t, lab: l, config: filepath.Join(t.TempDir(), "config")}
	body := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: '" + server.URL + "'}}]\ncontexts: [{name: c, context: {cluster: c}}]\n"
	if err := errors.Join(os.WriteFile(f.config, []byte(body), 0o600), os.Mkdir(filepath.Join(l.Dir, "manifests"), 0o755),
		os.WriteFile(filepath.Join(l.Dir, "manifests/m.yaml"), []byte("kind: Pod\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return f
}

// do runs a command, and returns what it prints, with its error.
func (f *foreign) do(args ...string) string {
	f.t.Helper()
	s := &settings{}
	var out bytes.Buffer
	c := s.command()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(""))
	pre := c.PersistentPreRun
	c.PersistentPreRun = func(cmd *cobra.Command, args []string) {
		pre(cmd, args)
		if s.ask == nil && f.answer != nil {
			s.ask = func(string) (bool, error) { f.asked++; return *f.answer, nil }
		}
	}
	c.SetArgs(append(args, "--labs", f.lab.Root(), "--kubeconfig", f.config))
	if err := c.ExecuteContext(f.t.Context()); err != nil {
		out.WriteString("error: " + err.Error())
	}
	return out.String()
}

// runs reports whether a command got as far as the cluster.
func (f *foreign) runs(said string) bool { return strings.Contains(said, "listing nodes") }

var checksumIn = regexp.MustCompile(`--agree (sha256:[0-9a-f]{64})'`)

// Without agreement nothing of a foreign lab is run, by no command; its text may be read.
func TestAForeignLabIsData(t *testing.T) {
	f := foreignLab(t, text, feature)
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "first"}, {"test", "first"}, {"start", "first"}, {"goto", "first/two"}, {"check", "first"}, {"solve", "first"}, {"reset", "first"}, {"next", "first"}, {"shell", "first"}, {"stop", "first"}} {
		if args[0] != "run" && args[0] != "test" {
			args = append(args, "--dir", dir)
		}
		said := f.do(args...)
		if !strings.Contains(said, "lab track/first is not run: "+ErrNotAgreed.Error()) || !checksumIn.MatchString(said) {
			t.Errorf("%v: %s", args, said)
		}
	}
	for _, args := range [][]string{{"list"}, {"text", "first"}, {"status", "first"}, {"lint"}} {
		if said := f.do(args...); strings.Contains(said, ErrNotAgreed.Error()) {
			t.Errorf("%v only reads: %s", args, said)
		}
	}
}

// The flag agrees to the files that the learner has seen, once; a changed file is asked for again.
func TestAgreementByFlag(t *testing.T) {
	f := foreignLab(t, text, feature)
	shown := f.do("agree", "first")
	sum := checksumIn.FindStringSubmatch(shown)
	if sum == nil || !strings.Contains(shown, "$ echo 1 >n") || !strings.Contains(shown, "1 Pod") || !strings.Contains(shown, "as you") {
		t.Fatalf("agree: %s", shown)
	}
	if said := f.do("test", "first", "--agree", "sha256:"+strings.Repeat("0", 64)); !strings.Contains(said, "--agree names another") || f.runs(said) {
		t.Errorf("another checksum: %s", said)
	}
	if said := f.do("test", "first"); f.runs(said) {
		t.Errorf("agreed by another checksum: %s", said)
	}
	if said := f.do("test", "first", "--agree", sum[1]); !f.runs(said) {
		t.Errorf("agreed: %s", said)
	}
	if said := f.do("test", "first"); !f.runs(said) {
		t.Errorf("agreed before: %s", said)
	}
	for _, file := range []string{filepath.Join(f.lab.Dir, "text.md"), f.lab.Feature, filepath.Join(f.lab.Dir, "manifests/m.yaml")} {
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(was, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		if said := f.do("test", "first"); f.runs(said) {
			t.Errorf("%s has changed: %s", file, said)
		}
		if said := f.do("test", "first", "--agree", sum[1]); f.runs(said) {
			t.Errorf("%s has changed, and the old checksum is given: %s", file, said)
		}
		if err := os.WriteFile(file, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if said := f.do("test", "first"); !f.runs(said) {
		t.Errorf("all is as it was agreed to: %s", said)
	}
}

// In a terminal the learner sees what is run before the question, and is asked once.
func TestAgreementInATerminal(t *testing.T) {
	f := foreignLab(t, text, feature)
	no, yes := false, true
	f.answer = &no
	if said := f.do("test", "first"); f.runs(said) || f.asked != 1 || !strings.Contains(said, "$ echo 1 >n") {
		t.Errorf("no: asked %d times: %s", f.asked, said)
	}
	f.answer = &yes
	if said := f.do("test", "first"); !f.runs(said) || f.asked != 2 {
		t.Errorf("yes: asked %d times: %s", f.asked, said)
	}
	if said := f.do("test", "first"); !f.runs(said) || f.asked != 2 || strings.Contains(said, "$ echo") {
		t.Errorf("again: asked %d times: %s", f.asked, said)
	}
}

// Who writes a lab is not asked; and what was fetched is nobody's own.
func TestAuthorsAreNotAsked(t *testing.T) {
	f := foreignLab(t, text, feature)
	if said := f.do("author", f.lab.Root()); !strings.Contains(said, "are your own") {
		t.Fatal(said)
	}
	if said := f.do("test", "first"); !f.runs(said) {
		t.Errorf("the author: %s", said)
	}
	if said := f.do("agree", "first"); !strings.Contains(said, "needs no agreement") {
		t.Errorf("the author: %s", said)
	}
	copied := filepath.Join(t.TempDir(), "copied")
	if said := f.do("fetch", f.lab.Root(), copied); said != "" {
		t.Fatal(said)
	}
	labs, err := catalog.Load(copied)
	if err != nil {
		t.Fatal(err)
	}
	f.lab = labs[0]
	if said := f.do("test", "first"); f.runs(said) {
		t.Errorf("fetched: %s", said)
	}
}

// A lab that asks for more than its 'requires' says is refused, whatever was agreed to.
func TestMoreThanRequiredIsRefused(t *testing.T) {
	f := foreignLab(t, text, feature)
	if err := os.WriteFile(filepath.Join(f.lab.Dir, "manifests/m.yaml"), []byte("kind: ClusterRoleBinding\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	yes := true
	f.answer = &yes
	for _, args := range [][]string{{"test", "first"}, {"agree", "first"}} {
		if said := f.do(args...); f.runs(said) || f.asked > 0 || !strings.Contains(said, "does not require cluster-admin") {
			t.Errorf("%v: %s", args, said)
		}
	}
}

// No command prints what a terminal would obey.
func TestATerminalObeysNoLab(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e"
	f := foreignLab(t, "# T"+evil+"\n\nIntro"+evil+"\n\n## One\nProse "+evil+" `code"+evil+"`\n```\n$ echo 1 # "+evil+"\n"+evil+"\n```\n<!-- check: it is "+evil+" one -->\n<!-- hint: h"+evil+" -->\n\n"+
		"```quiz\nQ"+evil+"?\n- [ ] no"+evil+"\n- [x] yes\n> E"+evil+"\n```\n", "Feature: f\n  Scenario: it is "+evil+" one\n    Then `printf '\\033[2J'; echo '"+evil+"'` prints \"no"+evil+"\"\n")
	yaml := "title: \"T\\e[2J\\u009b31m\"\nabout: \"A\\e[2J\"\nmanifests:\n  source: ./manifests\n"
	if err := os.WriteFile(filepath.Join(f.lab.Dir, "lab.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"list"},
		{"list", "--output", "json"},
		{"text", "first"},
		{"text", "first", "--output", "json"},
		{"status", "first"},
		{"status", "first", "--output", "json"},
		{"hint", "first"},
		{"hint", "first"},
		{"hint", "first", "--output", "json"},
		{"agree", "first"},
		{"lint"},
	} {
		said := f.do(args...)
		if !strings.Contains(said, "error: ") && strings.TrimSpace(said) == "" {
			t.Errorf("%v prints nothing", args)
		}
		said, _, _ = strings.Cut(said, "error: ") // which main prints by render.Visible
		if strings.ContainsAny(said, "\x1b\x07\u009b\u202e") {
			t.Errorf("%v: a terminal would obey %q", args, said)
		}
	}
	// A run: its commands, their output, its checks and what they see.
	labs, err := catalog.Load(f.lab.Root())
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, labs[0])
	if err == nil || strings.ContainsAny(out, "\x1b\x07\u009b\u202e") || !strings.Contains(out, "^[[2J") {
		t.Errorf("%v: a terminal would obey %q", err, out)
	}
}
