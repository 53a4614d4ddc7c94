package environment

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/objects"
)

func TestALabSaysWhatItLacks(t *testing.T) {
	l := lab(t)
	bin := t.TempDir()
	env := []string{"HOME=/", "PATH=" + bin}
	program := func(name, body string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckPrograms(t.Context(), l, env, 1); err != nil {
		t.Errorf("no needs: %v", err)
	}
	l.Needs = []string{"openssl"}
	if err := CheckPrograms(t.Context(), l, env, 1); err == nil || !strings.Contains(err.Error(), "needs openssl, which is not on the PATH") {
		t.Errorf("absent: %v", err)
	}
	program("openssl", "exit 1", 0o644)
	if err := CheckPrograms(t.Context(), l, env, 1); err == nil {
		t.Error("a file that cannot be run is taken for a program")
	}
	program("docker", "echo Cannot connect to the daemon >&2; exit 1", 0o755)
	l.Needs, l.Requires = nil, []string{"docker"}
	err := CheckPrograms(t.Context(), l, env, 1)
	if err == nil || !strings.Contains(err.Error(), "needs a Docker Engine, and none answers here: exit status 1: Cannot connect") {
		t.Fatalf("docker without engine: %v", err)
	}
	program("docker", "echo 20.10", 0o755)
	if err := CheckPrograms(t.Context(), l, env, 1); err != nil {
		t.Errorf("docker with its engine: %v", err)
	}
}

// What a lab leaves is deleted by its manifests; a kind that the cluster has never observed
// has left nothing.
func TestDeletionForgivesOnlyUnknownKinds(t *testing.T) {
	const unknown = `echo 'error: resource mapping not found for name: "a" namespace: "" from "a.yaml": no matches for kind "A" in version "b"
ensure CRDs are installed first' >&2; exit 1`
	for _, c := range []struct {
		name, manifest, kubectl string
		fails                   bool
	}{
		{"all is deleted", "a.yaml", "exit 0", false},
		{"nothing to delete", "Dockerfile", "exit 1", false},
		{"an unknown kind", "a.yml", unknown, false},
		{"a refusal", "sub/a.json", "echo 'Error from server (Forbidden): no' >&2; exit 1", true},
		{"an unknown kind and a refusal", "a.yaml", "echo 'Error from server (Forbidden): no' >&2; " + unknown, true},
	} {
		dir := t.TempDir()
		for path, body := range map[string]string{filepath.Join("lab", c.manifest): "x", "bin/kubectl": "#!/bin/sh\n" + c.kubectl + "\n"} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(body), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", deletion)
		cmd.Dir, cmd.Env = filepath.Join(dir, "lab"), []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); (err != nil) != c.fails {
			t.Errorf("%s: %v: %s", c.name, err, out)
		}
	}
}

// anyUser is everyone's name on the server: one of an administrator with the token "admin".
type anyUser struct{}

func (anyUser) Authenticate(r *http.Request) (*client.User, error) {
	if r.Header.Get("Authorization") == "Bearer admin" {
		return &client.User{Name: "admin", Groups: []string{"system:masters"}}, nil
	}
	return &client.User{Name: "learner"}, nil
}

// startReviewing starts a server that answers what a user may do, as the real authorizer does.
func startReviewing(t *testing.T) *rest.Config {
	t.Helper()
	var rights *authz.Authorizer
	config := apitest.Start(t, func(c *apiserver.Config) {
		var err error
		if rights, err = authz.New(authz.Config{Objects: authz.FromStore(c.Store, builtin.Kinds)}); err != nil {
			t.Fatal(err)
		}
		c.Authenticator, c.Virtual = anyUser{}, map[schema.GroupVersionResource]apiserver.CreateFunc{}
		for resource, review := range rights.Reviews() {
			c.Virtual[resource] = review
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rights.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return config
}

// What `requires` says of the cluster is looked at, and what is missing is named with a way out.
func TestALabSaysWhatTheClusterLacks(t *testing.T) {
	limited := startReviewing(t)
	admin := rest.CopyConfig(limited)
	admin.BearerToken = "admin"
	set := kubernetes.NewForConfigOrDie(admin)
	node := func(name string, ready, cordoned bool, taints ...corev1.Taint) {
		t.Helper()
		status := corev1.ConditionFalse
		if ready {
			status = corev1.ConditionTrue
		}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n, err := set.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n.Spec.Unschedulable, n.Spec.Taints = cordoned, taints
		if n, err = set.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.1.2.3"}}
		if _, err := set.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	needs := func(c *Cluster, env []string, requires ...string) string {
		t.Helper()
		l := lab(t)
		l.Requires = requires
		if err := c.CheckNeeds(t.Context(), l, env); err != nil {
			return err.Error()
		}
		return ""
	}
	wanted := func(got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%q does not say %q", got, p)
			}
		}
	}
	of, err := objects.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Client: of, Config: admin, Slow: 1}

	node("master", true, true)
	node("minion-1", true, false)
	node("minion-2", false, false)
	node("minion-3", true, false, corev1.Taint{Key: "of", Value: "others", Effect: corev1.TaintEffectNoSchedule})
	wanted(needs(c, nil, "many-nodes"), "lab first needs two nodes that run pods, and here is 1", "master is cordoned", "minion-2 is not ready",
		"minion-3 has the taint of=others:NoSchedule", "'wheelhouse up --nodes 2'", "leave this lab out")
	node("minion-4", true, false, corev1.Taint{Key: "of", Effect: corev1.TaintEffectPreferNoSchedule})
	if got := needs(c, nil, "many-nodes", "cluster-admin", "track/other"); got != "" {
		t.Errorf("two nodes, an administrator: %s", got)
	}

	if of, err = objects.New(limited); err != nil {
		t.Fatal(err)
	}
	wanted(needs(&Cluster{Client: of, Config: limited, Slow: 1}, nil, "cluster-admin"), "the user of this kubeconfig may not", "--kubeconfig", "leave this lab out")

	bin := t.TempDir()
	env := []string{"PATH=" + bin, "NODE=minion-1"}
	wanted(needs(c, env, "node-shell"), "wheelhouse is not on the PATH", "leave it out")
	program := filepath.Join(bin, "wheelhouse")
	for body, seen := range map[string][]string{
		`[ "$*" = "ssh minion-1 -- true" ]`:    nil,
		"echo no cluster of that name; exit 1": {"'wheelhouse ssh minion-1 -- true' fails here", "no cluster of that name", "$WHEELHOUSE_CLUSTER"},
	} {
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := needs(c, env, "node-shell"); seen == nil && got != "" {
			t.Errorf("a node that answers: %s", got)
		} else {
			wanted(got, seen...)
		}
	}
}

// lab writes a lab, and reads it as the runner does.
func lab(t *testing.T) *catalog.Lab {
	t.Helper()
	root := t.TempDir()
	for name, body := range map[string]string{
		"labs/track/01-first/lab.yaml": "title: A lab\nmanifests:\n  source: ./manifests\n",
		"labs/track/01-first/text.md":  "## One\n```\n$ echo 1 >n\n```\n<!-- check: it is one -->\n",
		"features/track/first.feature": "Feature: f\n  Scenario: it is one\n    Then `cat n` prints \"1\"\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return labs[0]
}
