package lint

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const base = "labs/track/01-first/"

func sound() map[string]string {
	return map[string]string{
		"labs/images/nginx/Dockerfile": "# tag: nginx:1.9.14\n# tag: nginx:latest\nFROM scratch\n",
		base + "lab.yaml":              "title: T\nabout: A.\nminutes: 5\nimages: [docker.io/library/nginx, nginx:1.9.14]\nmanifests:\n  source: ./manifests\n",
		base + "manifests/pod.yaml":    "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\n",
		base + "text.md": "# T\n\nSee [the labs](../../images) and [this](https://example.com/x), `[no](link)` in\n```\n[x](nowhere)\n```\n\n## First\n```\n$ kubectl create -f pod.yaml\n```\n" +
			"<!-- check: it is there -->\n<!-- hint: h -->\n<!-- break: kubectl delete pod pod -->\n",
		"features/track/first.feature": "Feature: f\n  Scenario: it is there\n    Then pod \"pod\" is gone\n",
	}
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Each fault is the only one that is found, where it is.
func TestLabs(t *testing.T) {
	replace := func(file, old, by string) map[string]string {
		text := sound()[file]
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %q", file, old)
		}
		return map[string]string{file: strings.Replace(text, old, by, 1)}
	}
	add := func(file, text string) map[string]string { return map[string]string{file: text} }
	text, feature, yaml, pod := base+"text.md", "features/track/first.feature", base+"lab.yaml", base+"manifests/pod.yaml"
	cases := []struct {
		name   string
		change map[string]string
		want   string // "" for none
	}{
		{"sound", nil, ""},
		{"an undefined sentence", replace(feature, "is gone", "is well"), feature + ":2: scenario \"it is there\": no step is defined for the sentence \"pod \\\"pod\\\" is well\""},
		{"a check that writes", replace(feature, "pod \"pod\" is gone", "`sed s/a/b/ x | kubectl -n other create -f -` fails with \"quota\""), feature + ":2: scenario \"it is there\": the check \"`sed s/a/b/ x | kubectl -n other create -f -` fails with \\\"quota\\\"\" changes the cluster"},
		{"a check that would write", replace(feature, "pod \"pod\" is gone", "`kubectl create --dry-run=server -f pod.yaml` fails with \"quota\""), ""},
		{"a check that only reads", replace(feature, "pod \"pod\" is gone", "`kubectl get events -n create | grep -v delete` prints nothing"), ""},
		{"a step without a check", replace(text, "## First", "## Nothing\n\nText.\n\n## First"), text + ":8: the step nothing has neither check nor question"},
		{"a check without a step", replace(feature, "Feature: f\n", "Feature: f\n  Scenario: another\n    Then pod \"x\" is gone\n"), "text.md never checks \"another\""},
		{"a check without a scenario", replace(text, "check: it is there", "check: it is not"), "has no scenario \"it is not\""},
		{"no hint", replace(text, "<!-- hint: h -->\n", ""), text + ":8: the step first has a check and no hint"},
		{"no break", replace(text, "<!-- break: kubectl delete pod pod -->\n", ""), text + ":8: the step first has a check and no 'break:'"},
		{"no minutes", replace(yaml, "minutes: 5\n", ""), yaml + ": minutes is missing"},
		{"an image", replace(yaml, "nginx:1.9.14", "nginx:1.9.15"), yaml + ": the image nginx:1.9.15 is not in the catalogue"},
		{"a flag", replace(text, "kubectl create -f pod.yaml", "kubectl run pod --image=x --replicas=2 # pod.yaml"), text + ":10: warning: kubectl run makes only a pod since 1.18; today: kubectl create deployment"},
		{"a command", replace(text, "kubectl create -f pod.yaml", "kubectl rolling-update a -f pod.yaml"), text + ":10: warning: kubectl rolling-update was removed in 1.18; today: kubectl set image"},
		{"a wait for pods that may not exist yet", replace(text, "kubectl create -f pod.yaml", "kubectl create -f pod.yaml\n$ kubectl wait --for=condition=Ready pod -l app=web"), text + ":11: kubectl wait with a selector fails at once"},
		{"a wait for pods to come", replace(text, "kubectl create -f pod.yaml", "kubectl create -f pod.yaml\n$ kubectl wait --for=create --for=condition=Ready pod -l app=web"), ""},
		{"an API version", replace(pod, "apiVersion: v1\nkind: Pod", "apiVersion: extensions/v1beta1\nkind: Ingress"), pod + ":1: warning: Ingress of extensions/v1beta1 is not served any more; today: networking.k8s.io/v1"},
		{"one of several documents", replace(pod, "apiVersion", "kind: Service\napiVersion: v1\n---\nkind: CronJob\napiVersion: batch/v1beta1\n---\napiVersion"), pod + ":5: warning: CronJob of batch/v1beta1 is not served any more; today: batch/v1"},
		{"a link", replace(text, "../../images", "../../pictures"), text + ":3: the link leads nowhere: there is no ../../pictures"},
		{"an address", replace(text, "https://", "http://"), text + ":3: the link http://example.com/x does not begin with https://"},
		{"a manifest", add(base+"manifests/other.yaml", "x: y\n"), base + "manifests/other.yaml: nothing uses it"},
		{"a file", add(base+"notes.txt", ""), base + "notes.txt: nothing uses it"},
		{"a feature", add("features/track/other.feature", ""), "features/track/other.feature: no lab of the track track uses it"},
		{"a script", add(base+"solve/other.sh", ""), "solve/other.sh is the script of no step"},
		{"a lab that is refused beside a sound one", map[string]string{
			"labs/track/02-second/lab.yaml": "title: T\nsize: 5\n", "features/track/second.feature": "",
		}, "labs/track/02-second/lab.yaml: error unmarshaling JSON"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := sound()
			maps.Copy(files, c.change)
			found, err := Labs(write(t, files), nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), c.want)) {
				t.Errorf("got %v\nwant %s", fmt.Sprint(found), c.want)
			}
		})
	}
}

// A lab by name is looked at alone.
func TestLabsByName(t *testing.T) {
	files := sound()
	files["features/track/other.feature"] = ""
	root := write(t, files)
	if found, err := Labs(root, []string{"first"}); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := Labs(root, []string{"none"}); err == nil || !strings.Contains(err.Error(), "no lab none") {
		t.Errorf("%v", err)
	}
}

// The labs of this tree have no fault.
func TestTheLabsOfThisTree(t *testing.T) {
	found, err := Labs("../..", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !f.Warning {
			t.Error(f)
		}
	}
}
