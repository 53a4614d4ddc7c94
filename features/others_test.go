//go:build !quick

package features_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestLabsOfOthers: on a cluster that the lab runner did not start, labs run with an account that has one namespace; and a
// lab that somebody else wrote stays in its namespace.
func TestLabsOfOthers(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	c := bringUp(t, "others", 1)
	t.Run("an account with one namespace", func(t *testing.T) { oneNamespace(t, c) })
	t.Run("a lab of somebody else", func(t *testing.T) { somebodyElses(t, c) })
}

// labOn runs the lab commands with a kubeconfig, for a learner of the test.
func labOn(t *testing.T, c *testCluster, kubeconfig string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program, append([]string{"lab", "--kubeconfig", kubeconfig, "--slow", "10"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(kubeconfig), "XDG_STATE_HOME="+filepath.Dir(kubeconfig), "KUBECONFIG=")
	out, err := cmd.CombinedOutput()
	t.Logf("lab %s: %v\n%s", strings.Join(args, " "), err, out)
	return string(out), err
}

// narrow makes a service account that has the rights of edit in the namespace, and returns its kubeconfig.
func narrow(t *testing.T, c *testCluster, namespace string) string {
	t.Helper()
	ctx := t.Context()
	_, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "learner"}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "learner"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "learner", Namespace: namespace}},
	}
	_, err = c.client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	_, err2 := c.client.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{})
	token, err3 := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, "learner", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	raw, err4 := clientcmd.LoadFromFile(c.kubeconfig)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	own := clientcmdapi.NewConfig()
	own.Clusters["c"] = raw.Clusters[raw.Contexts[raw.CurrentContext].Cluster]
	own.AuthInfos["learner"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	own.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "learner", Namespace: namespace}
	own.CurrentContext = "c"
	path := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*own, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func oneNamespace(t *testing.T, c *testCluster) {
	t.Helper()
	const team = "team"
	kubeconfig := narrow(t, c, team)
	ctx := t.Context()
	mine := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Data: map[string]string{"a": "b"}}
	if _, err := c.client.CoreV1().ConfigMaps(team).Create(ctx, mine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := labOn(t, c, kubeconfig, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, err := labOn(t, c, kubeconfig, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("lab %v: no %q", args, want)
		}
	}
	// A learner's way through a lab.
	must("start", "drills/no-endpoints")
	var view struct {
		Namespace string `json:"namespace"`
		Checks    []struct {
			State string `json:"state"`
		} `json:"checks"`
	}
	states := func(out string) (all []string) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), &view); err != nil {
			t.Fatal(err)
		}
		for _, check := range view.Checks {
			all = append(all, check.State)
		}
		return all
	}
	if got := states(must("check", "--output", "json")); view.Namespace != team || !slices.Contains(got, "todo") {
		t.Errorf("at first: %v in %s", got, view.Namespace)
	}
	refused("holds the lab drills/no-endpoints", "start", "drills/crash-loop")
	if got := states(must("solve", "--output", "json")); slices.Contains(got, "todo") {
		t.Errorf("solved: %v", got)
	}
	must("next")
	must("reset")
	must("stop")
	refused("cluster-admin", "start", "drills/unbound-claim")
	must("run", "drills/crash-loop", "drills/target-port", "drills/secret-key")
	// What was in the namespace before is there, and nothing else; nothing was made elsewhere.
	maps, err := c.client.CoreV1().ConfigMaps(team).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range maps.Items {
		names = append(names, maps.Items[i].Name)
	}
	slices.Sort(names)
	if want := []string{"kube-root-ca.crt", "mine"}; !slices.Equal(names, want) {
		t.Errorf("config maps %v are left, want %v", names, want)
	}
	for _, path := range []string{"/api/v1/namespaces/team/pods", "/api/v1/namespaces/team/services", "/apis/apps/v1/namespaces/team/deployments", "/api/v1/namespaces/team/secrets"} {
		var list metav1.PartialObjectMetadataList
		text, err := c.client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err = errors.Join(err, json.Unmarshal(text, &list)); err != nil || len(list.Items) > 0 {
			t.Errorf("%s: %d are left (%v)", path, len(list.Items), err)
		}
	}
	namespaces, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range namespaces.Items {
		if name := namespaces.Items[i].Name; strings.HasPrefix(name, "lab-") {
			t.Errorf("there is a namespace %s", name)
		}
	}
}

// hostileLab tries what a lab of somebody else may not.
const hostileLab = `# Helpful

## One
` + "```" + `
$ kubectl create configmap here --from-literal=a=b
$ kubectl run good --image=busybox:1.35 --command -- sleep 3600
` + "```" + `
` + "```fails" + `
$ kubectl --namespace kube-system get secrets
$ kubectl --namespace default create configmap there
$ kubectl get nodes
$ kubectl create namespace mine
$ kubectl delete namespace $NAMESPACE
$ kubectl label namespace $NAMESPACE pod-security.kubernetes.io/enforce=privileged --overwrite
$ kubectl create rolebinding all --clusterrole=cluster-admin --serviceaccount=$NAMESPACE:lab
$ kubectl create clusterrolebinding all --clusterrole=cluster-admin --serviceaccount=$NAMESPACE:lab
$ kubectl create role all --verb='*' --resource=namespaces
$ kubectl get configmap here --as=system:admin --as-group=system:masters
$ kubectl create token default --namespace kube-system
$ kubectl run bad --image=busybox:1.35 --privileged
$ kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"hostNetwork":true}}'
$ kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"hostPID":true}}'
$ kubectl run bad --image=busybox:1.35 --overrides='{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}'
` + "```" + `
<!-- check: it is here -->
`

var sumIn = regexp.MustCompile(`--agree (sha256:[0-9a-f]{64})'`)

func somebodyElses(t *testing.T, c *testCluster) {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"labs/odd/01-helpful/lab.yaml":             "title: Helpful\nimages: [busybox:1.35]\nmanifests:\n  source: ./manifests\n",
		"labs/odd/01-helpful/text.md":              hostileLab,
		"labs/odd/01-helpful/manifests/there.yaml": "# nothing\n",
		"features/odd/helpful.feature":             "Feature: f\n  Scenario: it is here\n    Then `kubectl get configmap here -o jsonpath={.data.a}` prints \"b\"\n    And pod \"good\" is running and ready\n",
		"config":                                   "",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(root, "config")
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := labOn(t, c, kubeconfig, "run", "helpful", "--labs", root)
	sum := sumIn.FindStringSubmatch(out)
	if err == nil || sum == nil {
		t.Fatal("it is run without agreement")
	}
	if _, err := c.client.CoreV1().Namespaces().Get(t.Context(), "lab-helpful", metav1.GetOptions{}); err == nil {
		t.Error("it has a namespace without agreement")
	}
	if _, err := labOn(t, c, kubeconfig, "run", "helpful", "--labs", root, "--agree", sum[1]); err != nil {
		t.Error(err)
	}
}
