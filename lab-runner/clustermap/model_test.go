package clustermap_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"wheelhouse/lab-runner/clustermap"
)

// object reads an object of the API.
func object(t *testing.T, text string) *clustermap.Object {
	t.Helper()
	o := &clustermap.Object{}
	if err := json.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func put(t *testing.T, kind clustermap.Kind, text string) clustermap.Change {
	t.Helper()
	return clustermap.Change{Kind: kind, Object: object(t, text)}
}

func pod(name, node, status string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"nodeName":%q},"status":%s}`, name, node, status)
}

const (
	running  = `{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`
	creating = `{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ContainerCreating"}}}]}`
)

// The states are those of kubectl's column STATUS.
func TestPodStates(t *testing.T) {
	for status, want := range map[string]string{
		running:               "* p Running",
		creating:              "~ p ContainerCreating",
		`{"phase":"Running"}`: "~ p Running, not ready",
		`{"phase":"Pending"}`: "~ p Pending",
		`{}`:                  "~ p Pending",
		`{"phase":"Failed"}`:  "! p Error",
		`{"phase":"Succeeded","containerStatuses":[{"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}`: "- p Completed",
		`{"phase":"Failed","reason":"Evicted"}`:                                                                                               "! p Evicted",
		`{"phase":"Running","containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}`:                                       "! p CrashLoopBackOff",
		`{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff"}}}]}`:                                       "! p ImagePullBackOff",
		`{"phase":"Running","containerStatuses":[{"state":{"terminated":{"exitCode":3}}}]}`:                                                   "! p ExitCode:3",
		`{"phase":"Pending","initContainerStatuses":[{"state":{"terminated":{"exitCode":0}}},{"state":{"running":{}}}]}`:                      "~ p Init:1/2",
		`{"phase":"Pending","initContainerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}`:                                   "! p Init:CrashLoopBackOff",
		`{"phase":"Pending","initContainerStatuses":[{"state":{"waiting":{"reason":"PodInitializing"}}}]}`:                                    "~ p Init:0/1",
		`{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"ready":true,"state":{"running":{}}}]}`:     "* p Running",
		`{"phase":"Running","initContainerStatuses":[{"ready":true,"state":{"running":{}}}],"conditions":[{"type":"Ready","status":"True"}]}`: "* p Running",
	} {
		m := clustermap.Map{}.Apply(put(t, clustermap.Pods, pod("p", "n", status)))
		if rows := m.Draw(60, 9); len(rows) != 2 || rows[1].Text != "  "+want {
			t.Errorf("%s: %+v, wanted %q", status, rows, want)
		}
	}
	gone := clustermap.Map{}.Apply(put(t, clustermap.Pods, `{"metadata":{"name":"p","deletionTimestamp":"2026-01-01T00:00:00Z"}}`))
	if rows := gone.Draw(60, 9); rows[1].Text != "  - p Terminating" {
		t.Errorf("%+v", rows)
	}
}

// A map is a value: what is drawn does not change with its successors.
func TestApplyLeavesTheFormerMap(t *testing.T) {
	one := clustermap.Map{}.Apply(put(t, clustermap.Pods, pod("a", "n", running)))
	two := one.Apply(put(t, clustermap.Pods, pod("b", "n", running)), clustermap.Change{Kind: clustermap.Pods, Object: object(t, pod("a", "n", running)), Deleted: true})
	if rows := one.Draw(40, 9); len(rows) != 2 || rows[1].Text != "  * a Running" {
		t.Errorf("the former: %+v", rows)
	}
	if rows := two.Draw(40, 9); len(rows) != 2 || rows[1].Text != "  * b Running" {
		t.Errorf("the latter: %+v", rows)
	}
	three := two.Apply(clustermap.Change{Kind: clustermap.Pods, Reset: []clustermap.Object{}})
	if rows := three.Draw(40, 9); len(rows) != 0 {
		t.Errorf("after a reset: %+v", rows)
	}
}

// However many objects there are, the map holds a bounded number, and says so.
func TestTheMapIsBounded(t *testing.T) {
	m := clustermap.Map{}
	for _, kind := range []clustermap.Kind{clustermap.Nodes, clustermap.Pods, clustermap.Services, clustermap.Endpoints} {
		var changes []clustermap.Change
		for i := range 3 * clustermap.Limit {
			changes = append(changes, put(t, kind, fmt.Sprintf(`{"metadata":{"name":"x%d"}}`, i)))
		}
		m = m.Apply(changes...)
	}
	if rows := m.Draw(40, 1e6); len(rows) > 4*clustermap.Limit {
		t.Errorf("%d rows", len(rows))
	}
	said := map[string]bool{}
	for _, r := range m.Draw(40, 1e6) {
		said[r.Text] = true
	}
	for _, kind := range []string{"nodes", "pods", "services", "endpointslices"} {
		if !said["more than 500 "+kind] {
			t.Errorf("nothing is said of more %s", kind)
		}
	}
}
