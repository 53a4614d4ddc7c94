package runner

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Each command has its own patience: a learner who checks wants an answer now, a run
// without anybody waits.
func TestPatienceIsEachCommandsOwn(t *testing.T) {
	for name, want := range map[string]string{"run": "1m0s", "check": "2s"} {
		c, _, err := Command().Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Flags().Lookup("patience").Value.String(); got != want {
			t.Errorf("lab %s waits %s, want %s", name, got, want)
		}
	}
}

func TestUnknownCommandIsAnError(t *testing.T) {
	c := Command()
	c.SetArgs([]string{"frob"})
	c.SilenceUsage, c.SilenceErrors = true, true
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "frob") {
		t.Errorf("got %v, want an error that names frob", err)
	}
}

// What is named can be typed: who has the labs as 'wheelhouse lab' need not have a program lab.
func TestCommandsAreNamedAsTheyAreTyped(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l := lab(t, text, feature)
	for program, want := range map[string]string{"lab": "'lab list' shows them, 'lab start LAB' starts one", "wheelhouse": "'wheelhouse lab list' shows them, 'wheelhouse lab start LAB' starts one"} {
		c, args := Command(), []string{"next", "--labs", filepath.Join(l.Dir, "../../..")}
		if program != "lab" {
			root := &cobra.Command{Use: program}
			root.AddCommand(c)
			c, args = root, append([]string{"lab"}, args...)
		}
		c.SetArgs(args)
		c.SilenceUsage, c.SilenceErrors = true, true
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("as %s: %v, want %s", program, err, want)
		}
	}
	t.Setenv("WHEELHOUSE_LAB_DIR", t.TempDir())
	root, c := &cobra.Command{Use: "wheelhouse", SilenceUsage: true, SilenceErrors: true}, Command()
	root.AddCommand(c)
	root.SetArgs([]string{"lab", "next", "--labs", filepath.Join(l.Dir, "../../..")})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "'lab list'") {
		t.Errorf("in the lab's shell: %v", err)
	}
}

// The commands themselves refuse, before anything is run; and a kubeconfig that others can
// change, which may name a program to run.
func TestCommandsRefuseLabsThatOthersCanChange(t *testing.T) {
	l := lab(t, text, feature)
	own(t, l.Root())
	if err := errors.Join(os.Mkdir(filepath.Join(l.Dir, "manifests"), 0o755), os.WriteFile(filepath.Join(l.Dir, "manifests/pod.yaml"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	root, dir := filepath.Join(l.Dir, "../../.."), t.TempDir()
	config := filepath.Join(dir, "config")
	var warned bytes.Buffer
	execute := func(args ...string) string {
		t.Helper()
		c := Command()
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetErr(&warned)
		c.SetArgs(append(args, "--labs", root, "--kubeconfig", config))
		if err := c.ExecuteContext(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	}
	unreachable := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\n"
	if err := os.WriteFile(config, []byte(unreachable), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{"run", "first"}, {"start", "first", "--dir", filepath.Join(dir, "new")}, {"check", "first", "--dir", dir}}
	for _, args := range commands {
		if said := execute(args...); !strings.Contains(said, "is the cluster up?") {
			t.Errorf("%v of a lab that nobody else can change: %s", args, said)
		}
	}
	if warned.Len() > 0 {
		t.Errorf("warned of a kubeconfig that nobody else can read: %s", &warned)
	}
	if err := os.Chmod(config, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if said := execute(args...); !strings.Contains(said, "config can be written by others") {
			t.Errorf("%v with a kubeconfig for all: %s", args, said)
		}
	}
	if want := config + " can be read by others"; !strings.Contains(warned.String(), want) {
		t.Errorf("no warning that %s: %s", want, &warned)
	}
	if err := errors.Join(os.Chmod(config, 0o600), os.Chmod(filepath.Join(l.Dir, "text.md"), 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if said := execute(args...); !strings.Contains(said, "lab first is not run: ") {
			t.Errorf("%v of a lab that others can change: %s", args, said)
		}
	}
	// A directory that somebody else has put where the lab's files are to be.
	if err := errors.Join(os.Chmod(filepath.Join(l.Dir, "text.md"), 0o644), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"start", "check"} {
		if said := execute(command, "first", "--dir", dir); !strings.Contains(said, "can be written by others") {
			t.Errorf("%s in a directory for all: %s", command, said)
		}
	}
}
