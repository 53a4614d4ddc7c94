package why_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"wheelhouse/lab-runner/why"
)

var update = flag.Bool("update", false, "write the golden files")

// What is printed at 80 columns.
func TestPrint(t *testing.T) {
	for name, target := range map[string]why.Target{
		"target-port-closed": {Kind: "Service", Name: "web"},
		"rollout-hangs":      {Kind: "Deployment", Name: "web"},
		"fine-service":       {Kind: "Service", Name: "web"},
	} {
		var out bytes.Buffer
		if err := why.Print(&out, why.Explain(facts(t, name), target), why.Format{Width: 80}); err != nil {
			t.Fatal(err)
		}
		golden := "testdata/printed/" + name + ".txt"
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s is printed as\n%s\nwant\n%s", name, out.String(), want)
		}
	}
}

// Escape sequences of the cluster are shown; colour is this program's own.
func TestEscapesAreShown(t *testing.T) {
	e := &why.Explanation{Object: "pod/\x1b[2J", State: why.Broken, Do: "do \x1b]0;x\x07", Hops: []why.Hop{{
		Object: "pod/a\x1bc", Name: "run", State: why.Broken, Text: "text \x1b[1A\r", Details: []string{"log: \x1b[31mred\u202e"},
	}}, Unread: []string{"x\x1b["}}
	for _, f := range []why.Format{{}, {JSON: true}} {
		var out bytes.Buffer
		if err := why.Print(&out, e, f); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\r\x07\u202e") {
			t.Errorf("a terminal would obey this: %q", out.String())
		}
	}
	var out bytes.Buffer
	if err := why.PrintSurvey(&out, "ns\x1b[", []*why.Explanation{e}, why.Format{}); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v: %q", err, out.String())
	}
}

func TestJSON(t *testing.T) {
	e := why.Explain(facts(t, "target-port-closed"), why.Target{Kind: "Service", Name: "web"})
	var out bytes.Buffer
	if err := why.Print(&out, e, why.Format{JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got why.Explanation
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Last().Reason != "NobodyListens" || got.State != why.Broken || got.Do != e.Do {
		t.Errorf("%v: %s", err, out.String())
	}
}

// A namespace's objects are explained with one another: pods by their controllers, what is broken first.
func TestSurvey(t *testing.T) {
	all := why.Survey(facts(t, "rollout-hangs"))
	if len(all) != 1 || all[0].Object != "deployment/web" || all[0].State != why.Broken {
		t.Errorf("survey: %+v", all)
	}
	all = why.Survey(facts(t, "readiness-wrong-port"))
	var seen []string
	for _, e := range all {
		seen = append(seen, e.Object+" "+string(e.State))
	}
	if got := strings.Join(seen, ", "); got != "pod/web broken, service/web broken" {
		t.Errorf("survey: %s", got)
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"pod/web": "Pod web", "po/web": "Pod web", "svc web": "Service web", "deployments.apps/web": "Deployment web", "dns/web.shop.svc": "DNS web.shop.svc",
		"HPA/web": "HorizontalPodAutoscaler web", "pvc/data": "PersistentVolumeClaim data", "ns/shop": "Namespace shop",
	} {
		if got, err := why.ParseTarget(strings.Fields(text)); err != nil || got.Kind+" "+got.Name != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"web": "want KIND/NAME", "pod/": "want KIND/NAME", "pod/a/b": "want KIND/NAME", "servce/web": "did you mean service/web", "crd/x": "cannot be explained"} {
		if _, err := why.ParseTarget([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A registry that is asked each time for an image that the node has is distinguished from a wrong name.
func TestPullAlways(t *testing.T) {
	f := facts(t, "image-registry-unreachable")
	p := &f.Pods[0]
	p.Spec.Containers[0].ImagePullPolicy = "Always"
	for i := range f.Nodes {
		if len(f.Nodes[i].Status.Images) > 0 {
			f.Nodes[i].Status.Images[0].Names = append(f.Nodes[i].Status.Images[0].Names, p.Spec.Containers[0].Image)
		}
	}
	e := why.Explain(f, why.Target{Kind: "Pod", Name: "web"})
	if last := e.Last(); last.Reason != "PullAlways" || !strings.Contains(e.Do, "IfNotPresent") {
		t.Errorf("%+v", last)
	}
}

// What may not be read is no fault of the object: the way goes on behind it, and the output names it.
func TestUnread(t *testing.T) {
	f := facts(t, "fine-service")
	f.Nodes, f.Slices, f.Listening, f.Answers, f.NodePorts = nil, nil, nil, nil, nil
	f.Unread = map[string]string{"nodes": "nodes is forbidden", "endpointslices": "endpointslices is forbidden"}
	e := why.Explain(f, why.Target{Kind: "Service", Name: "web"})
	if e.State != why.Fine || len(e.Unread) != 2 {
		t.Errorf("%+v", e)
	}
	f.Pods, f.Unread = nil, map[string]string{"pods": "pods is forbidden"}
	for _, target := range []why.Target{{Kind: "Service", Name: "web"}, {Kind: "Pod", Name: "web"}} {
		if e := why.Explain(f, target); strings.Contains(e.Last().Text, "no pod") || strings.Contains(e.Last().Text, "there is no") {
			t.Errorf("%+v", e.Last())
		}
	}
}

// The explanation of any facts ends: objects that name each other, and objects without the fields that others have.
func TestLoopsEnd(t *testing.T) {
	f := facts(t, "external-name-of-missing-service")
	f.Services[0].Spec.ExternalName = f.Services[0].Name + "." + f.Namespace + ".svc.cluster.local"
	if e := why.Explain(f, why.Target{Kind: "Service", Name: f.Services[0].Name}); len(e.Hops) == 0 || len(e.Hops) > 100 {
		t.Errorf("%d hops", len(e.Hops))
	}
}
