package clients

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestHelm: the life of a release of a chart: what is installed, upgraded, rolled back and uninstalled is
// what the server then has; what others wrote stays; a refusal of the server is printed with its reason.
func TestHelm(t *testing.T) {
	for _, driver := range []string{"secret", "configmap"} {
		t.Run(driver, func(t *testing.T) {
			t.Setenv("HELM_DRIVER", driver)
			helmRelease(t, startServer(t))
		})
	}
}

func helmRelease(t *testing.T, c *cluster) {
	t.Helper()
	helm := func(args ...string) string {
		return c.run(t, program(t, "helm"), append(args, "--namespace", "web")...)
	}
	value := func(kind, path string) string {
		return c.kubectl(t, "get", kind, "blue", "--namespace", "web", "-o", "jsonpath={"+path+"}")
	}
	equal := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	holds(t, helm("install", "blue", "testdata/chart", "--create-namespace", "--dry-run=server"), `dns: "kube-system"`, `server: "v1.36`)
	holds(t, helm("install", "blue", "testdata/chart", "--create-namespace", "--set", "greeting=good day"),
		"STATUS: deployed", "REVISION: 1", "blue says good day in revision 1.")
	equal("the greeting", value("configmap", ".data.greeting"), "good day")
	equal("the replicas", value("deployment", ".spec.replicas"), "2")
	equal("the owner of the labels", value("serviceaccount", `.metadata.labels.app\.kubernetes\.io/managed-by`), "Helm")
	equal("the manager of the fields", value("deployment", ".metadata.managedFields[0].manager"), "helm")
	equal("what is stored of the release", helmRecords(t, c, "web"), "sh.helm.release.v1.blue.v1")

	// Others write to the same objects: helm's merge of three versions keeps it.
	c.kubectl(t, "label", "deployment", "blue", "--namespace", "web", "team=blue")
	c.kubectl(t, "scale", "deployment", "blue", "--namespace", "web", "--replicas", "4")
	holds(t, helm("upgrade", "--install", "blue", "testdata/chart", "--reuse-values", "--set", "autoscale=true"), "REVISION: 2")
	equal("the greeting", value("configmap", ".data.greeting"), "good day")
	equal("the label of others", value("deployment", ".metadata.labels.team"), "blue")
	equal("the autoscaler's maximum", value("hpa", ".spec.maxReplicas"), "5")
	equal("the hook's revision", c.kubectl(t, "get", "configmap", "blue-before", "--namespace", "web", "-o", "jsonpath={.data.revision}"), "2")

	out, err := c.try(t, program(t, "helm"), "upgrade", "blue", "testdata/chart", "--reuse-values", "--set", "crossed=true", "--namespace", "web")
	if err == nil {
		t.Error("helm upgraded to a probe with two handlers")
	}
	holds(t, out, `Deployment.apps "blue" is invalid: spec.template.spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type`)

	holds(t, helm("rollback", "blue", "1"), "Rollback was a success")
	if out, err := c.try(t, built(t, "kubectl"), "get", "hpa", "blue", "--namespace", "web"); err == nil {
		t.Errorf("the autoscaler is still there after the rollback: %s", out)
	}
	equal("the label of others", value("deployment", ".metadata.labels.team"), "blue")
	helmHistory(t, helm("history", "blue", "-o", "json"), "superseded", "superseded", "failed", "deployed")

	// Drift that others made is repaired where the chart changes; what is listed is the release.
	var list []struct{ Name, Namespace, Revision, Status, Chart string }
	if err := json.Unmarshal([]byte(helm("list", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Name != "blue" || list[0].Revision != "4" || list[0].Status != "deployed" || list[0].Chart != "greeter-0.1.0" {
		t.Errorf("helm list: %+v", list)
	}
	holds(t, helm("status", "blue", "--show-resources"), "STATUS: deployed", "==> v1/Deployment", "==> v1/Service", "blue   0/")
	holds(t, helm("get", "values", "blue"), "greeting: good day")

	holds(t, helm("uninstall", "blue", "--wait", "--cascade", "foreground", "--timeout", limit.String()), `release "blue" uninstalled`)
	equal("what is left", c.kubectl(t, "get", "deployments,services,configmaps,secrets,roles,rolebindings,serviceaccounts", "--namespace", "web", "-l", "app.kubernetes.io/instance=blue", "-o", "name"), "")
	equal("what is stored of the release", helmRecords(t, c, "web"), "")
	equal("helm list", strings.TrimSpace(helm("list", "-q")), "")
}

// helmRecords are the names of what helm keeps of its releases.
func helmRecords(t *testing.T, c *cluster, namespace string) string {
	t.Helper()
	var names []string
	secrets, err := c.client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		names = append(names, s.Name)
	}
	maps, err := c.client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range maps.Items {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

// helmHistory fails the test unless the revisions have these statuses, the oldest first.
func helmHistory(t *testing.T, out string, want ...string) {
	t.Helper()
	var revisions []struct{ Status string }
	if err := json.Unmarshal([]byte(out), &revisions); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range revisions {
		got = append(got, r.Status)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("helm history: %v, want %v", got, want)
	}
}
