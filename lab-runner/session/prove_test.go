//go:build !quick

package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// provable is a lab of two steps whose second one has a fault, by name: in the text, in a script, or none.
func provable(number, name, second string, more map[string]string) map[string]string {
	out := map[string]string{
		"labs/track/" + number + "-" + name + "/lab.yaml":           "title: T\nminutes: 5\nmanifests:\n  source: ./manifests\ncleanup: rm -f $TMPDIR/once\n",
		"labs/track/" + number + "-" + name + "/manifests/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-the-manifest}\n",
		"labs/track/" + number + "-" + name + "/text.md": "# T\n\n## First\n```\n$ COLOUR=blue\n$ kubectl create configmap first --from-literal=c=1\n```\n<!-- check: first is there -->\n<!-- hint: h -->\n" +
			"<!-- break: kubectl delete configmap first -->\n\n" + second,
		"features/track/" + name + ".feature": "Feature: f\n" +
			"  Scenario: first is there\n    Then `kubectl get configmap first -o jsonpath={.data.c}` prints \"1\"\n" +
			"  Scenario: second is blue\n    Then `kubectl get configmap second -o jsonpath={.data.colour}` prints \"blue\"\n",
	}
	for path, text := range more {
		out["labs/track/"+number+"-"+name+"/"+path] = text
	}
	return out
}

// Each fault is found where it is, and nothing else is.
func TestProve(t *testing.T) {
	const (
		make2  = "$ kubectl create configmap second --from-literal=colour=$COLOUR\n"
		end    = "<!-- check: second is blue -->\n<!-- hint: h -->\n"
		break2 = "<!-- break: kubectl patch configmap second -p '{\"data\":{\"colour\":\"red\"}}' -->\n"
	)
	step := func(commands, rest string) string { return "## Second\n```\n" + commands + "```\n" + end + rest }
	cases := []struct {
		name, second string
		more         map[string]string
		want         map[string]string // the part with the fault, and what is said of it
	}{
		{"sound", step(make2, break2) + "\n## Third\n```\n$ kubectl get configmap second\n```\n```quiz\nQ?\n- [ ] a\n- [x] b\n> E.\n```\n", nil, nil},
		{"scripts", "## Second\nIt is red. Mend it.\n" + end + break2, map[string]string{
			"setup/second.sh": "kubectl create configmap second --from-literal=colour=red",
			"solve/second.sh": "kubectl patch configmap second -p '{\"data\":{\"colour\":\"blue\"}}'",
		}, nil},
		{"before", strings.Replace(step(make2, break2), "## Second", "\n## Second", 1), map[string]string{
			"setup/second.sh": "kubectl create configmap second --from-literal=colour=blue; kubectl delete configmap second --wait=false --dry-run=client",
		}, map[string]string{PartBefore: "\"second is blue\" holds before the step", PartText: "exit status 1"}},
		{"command", step("$ false\n"+make2, break2), nil, map[string]string{PartText: "`false` ends with exit status 1"}},
		{"prose", step("$ kubectl create configmap second --from-literal=colour=red\n", break2), nil, map[string]string{PartText: "seen red"}},
		{"unnoticed", step(make2, "<!-- break: kubectl delete configmap first -->\n"), nil, map[string]string{PartBreak: "still hold"}},
		{"nobreak", step(make2, ""), nil, map[string]string{PartBreak: "no 'break:'"}},
		{"badbreak", step(make2, "<!-- break: false -->\n"), nil, map[string]string{PartBreak: "exit status 1"}},
		{"once", step("$ mkdir $TMPDIR/only-once\n"+make2, "<!-- break: kubectl delete configmap second -->\n"), map[string]string{
			"solve/second.sh": "kubectl get configmap second || kubectl create configmap second --from-literal=colour=red",
		}, map[string]string{PartSolve: "not solved by its solution", PartReset: "seen red"}},
		{
			"kept", step("$ kubectl create namespace lab-kept-other\n"+make2, "<!-- break: kubectl delete configmap second -->\n"), nil,
			map[string]string{PartReset: "AlreadyExists"},
		},
	}
	files := map[string]string{}
	for i, c := range cases {
		for path, text := range provable(string(rune('1'+i/9))+string(rune('1'+i%9)), c.name, c.second, c.more) {
			files[path] = text
		}
	}
	t.Setenv("TMPDIR", t.TempDir())
	worlds := open(t, files)
	for i, c := range cases {
		w := worlds[i]
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.cfg.Patience = 2 * time.Second
			got, reached := map[string]string{}, 0
			w.must(w.Prove(t.Context(), 0, w.out, func(f Finding) {
				if f.Step == "second" && f.Detail != "" {
					got[f.Part] = f.Detail
				} else if f.Detail != "" {
					t.Errorf("%+v", f)
				}
				if !f.NotReached {
					reached++
				}
			}))
			for part, want := range c.want {
				if !strings.Contains(got[part], want) {
					t.Errorf("%s: %q, want %q in it\n%s", part, got[part], want, w.out)
				}
				delete(got, part)
			}
			if len(got) > 0 || reached < 7 {
				t.Errorf("%d parts; found as well: %v\n%s", reached, got, w.out)
			}
			w.must(w.Clean(t.Context(), w.out))
		})
	}
}

// The lab that 'lab new' makes passes.
func TestProveANewLab(t *testing.T) {
	files := map[string]string{}
	for from, to := range map[string]string{
		"lab.yaml": "labs/track/01-new/lab.yaml", "text.md": "labs/track/01-new/text.md",
		"manifests/NAME.yaml": "labs/track/01-new/manifests/new.yaml", "NAME.feature": "features/track/new.feature",
	} {
		text, err := os.ReadFile(filepath.Join("../runner/template", from))
		if err != nil {
			t.Fatal(err)
		}
		files[to] = strings.NewReplacer("NAME", "new", "create -f", "create --validate=false -f").Replace(string(text)) // no OpenAPI is served here
	}
	w, parts := open(t, files)[0], 0
	w.must(w.Prove(t.Context(), 0, w.out, func(f Finding) {
		if parts++; f.Detail != "" {
			t.Errorf("%+v\n%s", f, w.out)
		}
	}))
	if parts != 10 {
		t.Errorf("%d parts, want 10", parts)
	}
	parts = 0
	w.must(w.Prove(t.Context(), 1, w.out, func(f Finding) {
		if parts++; f.Detail != "" || f.Step != w.lab.Steps[0].Name {
			t.Errorf("of the first step alone: %+v", f)
		}
	}))
	if parts != 5 {
		t.Errorf("%d parts of the first step, want 5", parts)
	}
}
