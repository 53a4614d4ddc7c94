package kubectl

import (
	"strings"
	"testing"
)

const owned = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1"}]}
`

// TestServerSideAfterClientSide: who goes over to server-side apply keeps what others have set.
func TestServerSideAfterClientSide(t *testing.T) {
	k := newTerminal(t)
	for _, line := range []string{
		"apply -f FILE", "scale deployment web --replicas=3", "set env deployment web A=b", "label deployment web team=x", "apply --server-side -f FILE",
	} {
		if out := k.run(t, owned, line); strings.Contains(out, "rror") {
			t.Fatalf("%s: %s", line, out)
		}
	}
	const columns = `-o=jsonpath={.spec.replicas}/{.metadata.labels.team}/{.spec.template.spec.containers[0].env[0].name}`
	if out := k.run(t, owned, "get deployment web "+columns); out != "3/x/A" {
		t.Errorf("replicas, label and variable after the apply: %s", out)
	}
	const managers = `-o=jsonpath={range.metadata.managedFields[*]}{.manager}:{.operation}:{.subresource},{end}`
	out := k.run(t, owned, "get deployment web "+managers)
	for _, want := range []string{"kubectl:Apply:,", "kubectl:Update:scale,", "kubectl-set:Update:,", "kubectl-label:Update:,"} {
		if !strings.Contains(out, want) {
			t.Errorf("the managers are %s, want %s", out, want)
		}
	}
	if out := k.run(t, strings.ReplaceAll(owned, "nginx:1", "nginx:2"), "apply --server-side --field-manager=other -f FILE"); !strings.Contains(out, `conflict with "kubectl": .spec.template.spec.containers[name="c"].image`) {
		t.Errorf("another manager's apply: %s", out)
	}
	if out := k.run(t, owned, "get deployment web -o yaml"); strings.Contains(out, "managedFields") {
		t.Errorf("shown without being asked for: %s", out)
	}
	if out := k.run(t, owned, "get deployment web -o yaml --show-managed-fields"); !strings.Contains(out, "managedFields") {
		t.Errorf("not shown when asked for: %s", out)
	}
}

// TestForgottenOwners: the documented way to clear managedFields.
func TestForgottenOwners(t *testing.T) {
	k := newTerminal(t)
	k.run(t, owned, "create -f FILE")
	out := k.run(t, owned, `patch deployment web --type=merge -p={"metadata":{"managedFields":[{}]}}`)
	if !strings.Contains(out, "patched") {
		t.Fatal(out)
	}
	if out := k.run(t, owned, "get deployment web -o yaml --show-managed-fields"); strings.Contains(out, "managedFields") {
		t.Errorf("still there: %s", out)
	}
}
