package consent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

const absent = "\x00" // a file that is not written

// tree is a lab of somebody else, in a tree of its own.
func tree(t *testing.T, changes map[string]string) *catalog.Lab {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"labs/track/01-first/lab.yaml":           "title: A lab\nimages: [busybox:1.35]\nneeds: [openssl]\ncleanup: echo cleaned\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-first/text.md":            "## One\n```\n$ echo 1 >n\n```\n<!-- check: it is one -->\n<!-- break: rm n -->\n",
		"labs/track/01-first/setup/one.sh":       "echo set\nup\n",
		"labs/track/01-first/manifests/pod.yaml": "kind: Pod\nmetadata: {name: a}\n---\nkind: Service\n",
		"features/track/first.feature":           "Feature: f\n  Scenario: it is one\n    Then `cat n` prints \"1\"\n",
	}
	for name, text := range changes {
		files[name] = text
	}
	for name, text := range files {
		if text == absent {
			continue
		}
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, root)
}

func load(t *testing.T, root string) *catalog.Lab {
	t.Helper()
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	labs[0].Foreign = true
	return labs[0]
}

// Every file of a lab is in its checksum; where the lab lies is not.
func TestChecksumIsOfAllFiles(t *testing.T) {
	sum := func(changes map[string]string) string {
		t.Helper()
		s, err := Examine(t.Context(), tree(t, changes))
		if err != nil {
			t.Fatal(err)
		}
		return s.Checksum
	}
	as := sum(nil)
	if again := sum(nil); again != as {
		t.Errorf("the same lab elsewhere has %s, not %s", again, as)
	}
	seen := map[string]string{as: "no change"}
	for file, text := range map[string]string{
		"labs/track/01-first/lab.yaml":           "title: A lab\nimages: [busybox:1.35]\nneeds: [openssl]\ncleanup: echo cleane\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-first/text.md":            "## One\n```\n$ echo 1 > n\n```\n<!-- check: it is one -->\n<!-- break: rm n -->\n",
		"labs/track/01-first/setup/one.sh":       "echo set\n",
		"labs/track/01-first/solve/one.sh":       "echo 1 >n\n",
		"labs/track/01-first/manifests/pod.yaml": "kind: Pod\n",
		"labs/track/01-first/manifests/new.sh":   "rm -rf ~\n",
		"features/track/first.feature":           "Feature: f\n  Scenario: it is one\n    Then `cat n; id` prints \"1\"\n",
	} {
		s := sum(map[string]string{file: text})
		if seen[s] != "" {
			t.Errorf("a change of %s has the checksum of %s", file, seen[s])
		}
		seen[s] = file
	}
}

// What the learner is shown has each command, no terminal escape, and nothing that looks like another line.
func TestSummaryShowsAllAndObeysNothing(t *testing.T) {
	lab := tree(t, map[string]string{
		"labs/track/01-first/lab.yaml":           "title: \"A lab\\e[2J\\nchecksum: sha256:0\"\nrequires: [docker]\nimages: [\"busybox\\e]0;x\\a\"]\ncleanup: \"echo cleaned # \\e[8m\"\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-first/text.md":            "## One \x1b[31m\n```\n$ echo 1 >n # \x1b[1A\x1b[2K\u202e\n> echo more\n```\n<!-- check: it is one -->\n<!-- break: rm n -->\n",
		"labs/track/01-first/solve/one-31m.sh":   "echo solved\n",
		"labs/track/01-first/setup/one-31m.sh":   "echo set\nup\n",
		"labs/track/01-first/setup/one.sh":       absent,
		"labs/track/01-first/manifests/pod.yaml": "kind: \"Pod\\e[0m\"\n",
	})
	s, err := Examine(t.Context(), lab)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Write(&out, "ann"); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		`A lab^[[2J`, "as you\n(user ann)", "docker: it runs containers on this machine, which is as much as being root", "works in namespace lab-first alone",
		"$ echo 1 >n # ^[[1A^[[2K\\u202e\n", "> echo more", "(setup)", "$ echo set", "> up", "(solve)", "$ echo solved", "(break)", "$ rm n", "$ echo cleaned # ^[[8m",
		"`cat n` prints \"1\"", "busybox^[]0;x^G", "1 Pod^[[0m", "pod.yaml", "checksum: " + s.Checksum,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\x07\r\u202e") {
		t.Errorf("a terminal would obey %q", text)
	}
	if strings.Count(text, "\nchecksum: ") != 1 {
		t.Errorf("a title made a line of its own:\n%s", text)
	}
}

// More than the namespace is asked for by 'requires', where the learner sees it, or refused.
func TestManifestsBeyondTheNamespace(t *testing.T) {
	pod := func(spec string) string { return "kind: Pod\nmetadata: {name: a}\nspec: {" + spec + "}\n" }
	for _, c := range []struct{ manifest, refused, requirement string }{
		{pod("containers: [{name: a, image: b}]"), "", ""},
		{"kind: ConfigMap\nmetadata: {name: a, namespace: lab-first}\ndata: {hostPath: x, privileged: \"true\"}\n", "", ""},
		{"kind: ConfigMap\nmetadata: {name: a, namespace: kube-system}\n", "names namespace kube-system", "cluster-admin"},
		{"kind: ClusterRoleBinding\nmetadata: {name: a}\n", "belongs to the whole cluster", "cluster-admin"},
		{"kind: List\nitems:\n- kind: ConfigMap\n- kind: PersistentVolume\n", "PersistentVolume in m.yaml belongs", "cluster-admin"},
		{"kind: ConfigMap\n---\n{\"kind\": \"Namespace\"}\n", "Namespace in m.yaml belongs", "cluster-admin"},
		{pod("hostNetwork: true"), "has hostNetwork", "privileged-pods"},
		{pod("hostPID: true"), "has hostPID", "privileged-pods"},
		{pod("hostIPC: \"true\""), "has hostIPC", "privileged-pods"},
		{pod("hostPID: false, hostNetwork: false"), "", ""},
		{pod("volumes: [{name: v, hostPath: {path: /}}]"), "has hostPath", "privileged-pods"},
		{pod("containers: [{ports: [{containerPort: 1, hostPort: 80}]}]"), "has hostPort", "privileged-pods"},
		{pod("initContainers: [{securityContext: {privileged: true}}]"), "has privileged", "privileged-pods"},
		{"kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{securityContext: {privileged: true}}]}}}}}\n", "CronJob in m.yaml has privileged", "privileged-pods"},
	} {
		for _, requires := range []string{"", c.requirement} {
			lab := tree(t, map[string]string{
				"labs/track/01-first/lab.yaml":         "title: A lab\nrequires: [" + requires + "]\nmanifests:\n  source: ./manifests\n",
				"labs/track/01-first/manifests/m.yaml": c.manifest,
			})
			s, err := Examine(t.Context(), lab)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Refusal()
			switch wanted := c.refused != "" && requires == ""; {
			case wanted && (err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "does not require "+c.requirement)):
				t.Errorf("%s: %v, want %q", c.manifest, err, c.refused)
			case !wanted && err != nil:
				t.Errorf("%s with %q: %v", c.manifest, requires, err)
			}
		}
	}
}

// A lab's files are its own: no link, and no directory of the learner's.
func TestFilesThatAreNotTheLabs(t *testing.T) {
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "id_rsa"), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := "title: A lab\nmanifests:\n  source: "
	for _, c := range []struct {
		name, source string
		change       func(lab *catalog.Lab) error
		want         string
	}{
		{"manifests of the learner's", secrets, nil, "outside of the lab's own tree"},
		{"manifests by climbing", strings.Repeat("../", 30) + "etc", nil, "outside of the lab's own tree"},
		{"manifests by a link", "./linked", func(l *catalog.Lab) error { return os.Symlink(secrets, filepath.Join(l.Dir, "linked")) }, "symbolic link"},
		{"a repository of this machine", "git::file://" + secrets, nil, "to be taken from this machine"},
		{"an unpinned address", "https://127.0.0.1:1/x.tgz", nil, "private network"},
		{"a link in the lab", "./manifests", func(l *catalog.Lab) error { return os.Symlink("/etc/passwd", filepath.Join(l.Dir, "manifests", "p")) }, "symbolic link"},
		{"a feature that is a link", "./manifests", func(l *catalog.Lab) error {
			return errors.Join(os.Rename(l.Feature, l.Feature+".real"), os.Symlink(l.Feature+".real", l.Feature))
		}, "is no file"},
	} {
		lab := tree(t, map[string]string{"labs/track/01-first/lab.yaml": yaml + c.source + "\n"})
		if c.change != nil {
			if err := c.change(lab); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Examine(t.Context(), lab); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Own are the labs beside the program, and those of an author; not what was fetched, wherever it lies.
func TestOwn(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(filepath.Join(dir, "state", "agreed.json"))
	for _, d := range []string{"pkg/bin", "pkg/share/wheelhouse", "repo/bin", "pkg/bin/labs", "elsewhere", "home/mine"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, exe := range []string{"pkg/bin/lab", "repo/bin/lab"} {
		if err := os.WriteFile(filepath.Join(dir, exe), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(filepath.Join(dir, "pkg/bin/lab"), filepath.Join(dir, "elsewhere/lab")), os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "repo/link"))); err != nil {
		t.Fatal(err)
	}
	own := func(root, exe string, want bool) {
		t.Helper()
		got, err := s.Own(filepath.Join(dir, root), filepath.Join(dir, exe))
		if err != nil || got != want {
			t.Errorf("%s for %s: %v, %v", root, exe, got, err)
		}
	}
	own("pkg/share/wheelhouse", "pkg/bin/lab", true)
	own("pkg/share/wheelhouse", "elsewhere/lab", true)
	own("repo", "repo/bin/lab", true)
	own("elsewhere", "repo/bin/lab", false)
	own("elsewhere", "elsewhere/lab", false) // a link to the program has nothing beside it
	own("repo/link", "repo/bin/lab", false)
	own(".", "repo/bin/lab", false)
	own("home/mine", "repo/bin/lab", false)
	own("repo", "repo/bin/gone", false)
	if err := s.AddAuthor(filepath.Join(dir, "home/mine")); err != nil {
		t.Fatal(err)
	}
	own("home/mine", "repo/bin/lab", true)
	own("home", "repo/bin/lab", false)
	if err := s.AddFetched(filepath.Join(dir, "repo")); err != nil {
		t.Fatal(err)
	}
	own("repo", "repo/bin/lab", false)
}

// An agreement is of one checksum, and is not guessed from a broken file.
func TestAgreements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "agreed.json")
	s := NewStore(path)
	if err := s.Agree("sha256:1", "a/b"); err != nil {
		t.Fatal(err)
	}
	for sum, want := range map[string]bool{"sha256:1": true, "sha256:2": false, "": false} {
		if got, err := s.Agreed(sum); err != nil || got != want {
			t.Errorf("%q: %v, %v", sum, got, err)
		}
	}
	for _, broken := range []string{"", "{", `{"version": 2, "agreed": {"sha256:1": {}}}`} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Agreed("sha256:1"); ok || err == nil {
			t.Errorf("%q: %v, %v", broken, ok, err)
		}
	}
}
