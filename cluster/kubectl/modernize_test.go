package kubectl

import (
	"reflect"
	"strings"
	"testing"
)

func TestModernize(t *testing.T) {
	for _, tc := range []struct {
		name, old, today, note string
		year                   kubectlYear
	}{
		{"stop", "stop|pod/influxdb", "delete|pod/influxdb", "kubectl delete pod/influxdb", today},
		{"stop with a namespace before it", "-n|stop|stop|pod|influxdb", "-n|stop|delete|pod|influxdb", "kubectl delete pod influxdb", today},
		{"template flag", "get|svc/inspector|-o|template|-t|{{.spec.ports}}", "get|svc/inspector|-o|template|--template|{{.spec.ports}}", "--template '{{.spec.ports}}'", today},
		{"template flag with equals", "get|pod|-o|template|-t={{.kind}}", "get|pod|-o|template|--template={{.kind}}", "--template={{.kind}}", today},
		{"today's get", "get|pod|-o|wide", "get|pod|-o|wide", "", today},
		{"-t of another verb", "exec|-i|-t|nginx|--|sh", "exec|-i|-t|nginx|--|sh", "", today},
		{"a pod called stop", "get|pod|stop", "get|pod|stop", "", today},
		{"flags alone", "--help", "--help", "", today},
		{"all pods, ended ones too", "get|pods|-a", "get|pods", "kubectl get pods", today},
		{"the same, at length", "get|--show-all=true|pods", "get|pods", "kubectl get pods", today},
		{"a version of the API that is gone", "--v=2|get|--api-version|v1beta3|pods", "--v=2|get|pods", "kubectl get pods", today},
		{"a version to explain", "explain|hpa|--api-version=autoscaling/v1", "explain|hpa|--api-version=autoscaling/v1", "", today},
		{"resize", "resize|--replicas=3|rc|nginx", "scale|--replicas=3|rc|nginx", "kubectl scale --replicas=3 rc nginx", today},
		{"log", "log|nginx", "logs|nginx", "kubectl logs nginx", today},
		{"update", "update|-f|rc.yaml", "replace|-f|rc.yaml", "kubectl replace -f rc.yaml", today},
		{"local data", "drain|minion-1|--delete-local-data|--force", "drain|minion-1|--delete-emptydir-data|--force", "--delete-emptydir-data", today},
		{"target port", "expose|rc|nginx|--port=80|--container-port=8000", "expose|rc|nginx|--port=80|--target-port=8000", "--target-port=8000", today},
		{"load balancer", "expose|rc|nginx|--create-external-load-balancer=true", "expose|rc|nginx|--type=LoadBalancer", "--type=LoadBalancer", today},
		{"short version", "version|--short", "version", "kubectl version", today},
		{"exec without dashes", "exec|nginx|ls|-l", "exec|nginx|--|ls|-l", "kubectl exec nginx -- ls -l", today},
		{"exec, a container", "exec|nginx|-c|web|-it|bash", "exec|nginx|-c|web|-it|--|bash", "-- bash", today},
		{"exec -p", "exec|-p|nginx|date", "exec|nginx|--|date", "kubectl exec nginx -- date", today},
		{"exec of today", "exec|nginx|-c|web|--|ls|-t", "exec|nginx|-c|web|--|ls|-t", "", today},
		{"a command's own flags", "run|x|--image=y|--|get|-a", "run|x|--image=y|--|get|-a", "", today},
		{"delete today", "delete|rc|nginx", "delete|rc|nginx", "", today},
		{"delete then", "delete|rc|nginx", "delete|--cascade=foreground|rc|nginx", "", year2015},
		{"delete then, without the pods", "delete|rc|nginx|--cascade=false", "delete|rc|nginx|--cascade=false", "", year2016},
		{"stop then", "stop|rc|nginx", "delete|--cascade=foreground|rc|nginx", "kubectl delete rc nginx", year2016},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, notes := Modernize(strings.Split(tc.old, "|"), tc.year)
			if want := strings.Split(tc.today, "|"); !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := strings.Join(notes, "\n"); (tc.note == "") != (got == "") || !strings.Contains(got, tc.note) {
				t.Errorf("note is %q, want it to contain %q", got, tc.note)
			}
			if len(notes) > 1 {
				t.Errorf("%d lines of notes, want one", len(notes))
			}
		})
	}
}

func TestEra(t *testing.T) {
	for value, want := range map[string]kubectlYear{"": today, "2015": year2015, "2016": year2016} {
		if got, err := parseYear(value); got != want || err != nil {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	for _, value := range []string{"2014", "2017", "then"} {
		if _, err := parseYear(value); err == nil || !strings.Contains(err.Error(), "unset it") {
			t.Errorf("%q: %v, want an error with the way out", value, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		year      kubectlYear
		verb      string
		now, then string
	}{
		{year2015, "scale", "replicationcontroller/inspector scaled\n", "scaled\n"},
		{year2016, "scale", "deployment.apps/inspector scaled\n", "deployment \"inspector\" scaled\n"},
		{year2015, "delete", "replicationcontroller \"nginx\" deleted from default namespace\n", "replicationcontroller \"nginx\" deleted\n"},
		{year2016, "create", "namespace/x created\nservice/y created\n", "namespace \"x\" created\nservice \"y\" created\n"},
		{year2016, "get", "pod/a scaled\n", "pod/a scaled\n"},
		{year2016, "rolling-update", "replicationcontroller/a rolling updated\n", "replicationcontroller \"a\" rolling updated\n"},
		{year2016, "create", "apiVersion: v1\nkind: Pod\n", "apiVersion: v1\nkind: Pod\n"},
		{today, "scale", "replicationcontroller/inspector scaled\n", "replicationcontroller/inspector scaled\n"},
	} {
		var out strings.Builder
		w := tc.year.answers([]string{tc.verb}, &out)
		for _, b := range []byte(tc.now) {
			if _, err := w.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != tc.then {
			t.Errorf("%d %s: %q became %q, want %q", tc.year, tc.verb, tc.now, out.String(), tc.then)
		}
	}
}

func TestErrorsNameSuccessors(t *testing.T) {
	const head, advice = `resource mapping not found for name: "p" namespace: "" from "p.yaml": `, "\nensure CRDs are installed first"
	for in, want := range map[string]string{
		head + `no matches for kind "PetSet" in version "apps/v1alpha1"` + advice:  head + "apps/v1alpha1 PetSet is not served; use apps/v1 StatefulSet",
		head + `no matches for kind "Widget" in version "example.com/v1"` + advice: head + `no matches for kind "Widget" in version "example.com/v1"` + advice,
		"another error": "another error",
	} {
		if got := nameSuccessors(in); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}
