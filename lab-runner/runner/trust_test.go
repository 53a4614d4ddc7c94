//go:build !quick

package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A lab runs only if nobody but root and its caller can change what it runs.
func TestLabsThatOthersCanChange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("files are given away, which takes root")
	}
	const stranger = 12345
	chmod := func(mode os.FileMode) func(string) error { return func(p string) error { return os.Chmod(p, mode) } }
	give := func(p string) error { return os.Lchown(p, stranger, stranger) }
	for _, c := range []struct {
		name, path string
		change     func(string) error
		sudo       string
		why        string // it is refused, empty: it is not
	}{
		{"as it is", ".", func(string) error { return nil }, "", ""},
		{"a text for all", "labs/track/01-first/text.md", chmod(0o666), "", "can be written by others"},
		{"a manifest for all", "labs/track/01-first/manifests/pod.yaml", chmod(0o646), "", "can be written by others"},
		{"a directory for all", "labs/track/01-first", chmod(0o777), "", "can be written by others"},
		{"a sticky directory of the lab's own", "labs/track/01-first", chmod(0o777 | os.ModeSticky), "", "can be written by others"},
		{"a directory above for all", "labs", chmod(0o777), "", "can be written by others"},
		{"a sticky directory above", "labs", chmod(0o777 | os.ModeSticky), "", ""},
		{"a feature for all", "features/track/first.feature", chmod(0o666), "", "can be written by others"},
		{"a directory of features for all", "features", chmod(0o777), "", "can be written by others"},
		{"the caller's own group", "labs/track", chmod(0o775), "", ""},
		{"a stranger's file", "labs/track/01-first/text.md", give, "", "belongs to user 12345"},
		{"a stranger's directory above", "labs", give, "", "belongs to user 12345"},
		{"the file of who has become root", "labs/track/01-first/text.md", give, "12345", ""},
		{"the file of somebody else than who has become root", "labs/track/01-first/text.md", give, "12346", "belongs to user 12345"},
		{"a group of others", "labs/track", func(p string) error {
			return errorsOf(os.Chown(p, 0, stranger), os.Chmod(p, 0o775))
		}, "", "can be written by others"},
		{"manifests that are a link into a directory for all", "labs/track/01-first/manifests", func(p string) error {
			elsewhere := filepath.Join(filepath.Dir(p), "../../../elsewhere")
			return errorsOf(os.Rename(p, p+".was"), os.Mkdir(elsewhere, 0o755), os.Mkdir(elsewhere+"/m", 0o755), os.Chmod(elsewhere, 0o777), os.Symlink("../../../elsewhere/m", p))
		}, "", "can be written by others"},
	} {
		t.Setenv("SUDO_UID", c.sudo)
		l := lab(t, text, feature)
		root := filepath.Join(l.Dir, "../../..")
		if err := errorsOf(os.Mkdir(filepath.Join(l.Dir, "manifests"), 0o755), os.WriteFile(filepath.Join(l.Dir, "manifests/pod.yaml"), nil, 0o644), c.change(filepath.Join(root, c.path))); err != nil {
			t.Fatal(err)
		}
		err := currentCaller().checkFiles(l)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), "lab first is not run: ") || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "chmod go-w")):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// The commands themselves refuse, before anything is run; and a kubeconfig that others can
// change, which may name a program to run.
func TestCommandsRefuseLabsThatOthersCanChange(t *testing.T) {
	l := lab(t, text, feature)
	if err := errorsOf(os.Mkdir(filepath.Join(l.Dir, "manifests"), 0o755), os.WriteFile(filepath.Join(l.Dir, "manifests/pod.yaml"), nil, 0o644)); err != nil {
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
	if err := errorsOf(os.Chmod(config, 0o600), os.Chmod(filepath.Join(l.Dir, "text.md"), 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if said := execute(args...); !strings.Contains(said, "lab first is not run: ") {
			t.Errorf("%v of a lab that others can change: %s", args, said)
		}
	}
	// A directory that somebody else has put where the lab's files are to be.
	if err := errorsOf(os.Chmod(filepath.Join(l.Dir, "text.md"), 0o644), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"start", "check"} {
		if said := execute(command, "first", "--dir", dir); !strings.Contains(said, "can be written by others") {
			t.Errorf("%s in a directory for all: %s", command, said)
		}
	}
}
