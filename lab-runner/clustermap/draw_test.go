package clustermap_test

import (
	"strings"
	"testing"

	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/render"
)

const (
	ready    = `"status":{"conditions":[{"type":"Ready","status":"True"}]}`
	notReady = `"conditions":{"ready":false}`
)

// workshop is a lab's state: two nodes, five pods, two services.
func workshop(t *testing.T) clustermap.Map {
	t.Helper()
	return clustermap.Map{}.Apply(
		put(t, clustermap.Nodes, `{"metadata":{"name":"node-1"},`+ready+`}`),
		put(t, clustermap.Nodes, `{"metadata":{"name":"node-2"},"spec":{"unschedulable":true},`+ready+`}`),
		put(t, clustermap.Nodes, `{"metadata":{"name":"node-3"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`),
		put(t, clustermap.Pods, pod("inspector-5c9f8d7b6-x7k2p", "node-1", running)),
		put(t, clustermap.Pods, pod("inspector-5c9f8d7b6-9fj3k", "node-1", creating)),
		put(t, clustermap.Pods, pod("inspector-5c9f8d7b6-qqqqq", "node-2", running)),
		put(t, clustermap.Pods, pod("lost", "node-9", running)),
		put(t, clustermap.Pods, pod("web", "", `{"phase":"Pending"}`)),
		put(t, clustermap.Services, `{"metadata":{"name":"inspector"},"spec":{"ports":[{"port":80,"nodePort":30412}]}}`),
		put(t, clustermap.Services, `{"metadata":{"name":"web"},"spec":{"ports":[{"port":1},{"port":2},{"port":3},{"port":4}]}}`),
		put(t, clustermap.Endpoints, `{"metadata":{"name":"inspector-abc","labels":{"kubernetes.io/service-name":"inspector"}},"endpoints":[
			{"addresses":["10.1.0.2"],"targetRef":{"name":"inspector-5c9f8d7b6-x7k2p"}},
			{"addresses":["10.1.0.3"],"conditions":{"ready":true}},
			{"addresses":["10.1.0.4"],`+notReady+`,"targetRef":{"name":"inspector-5c9f8d7b6-9fj3k"}}]}`),
	)
}

func drawn(rows []clustermap.Row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.Text + "\n")
	}
	return b.String()
}

func TestDraw(t *testing.T) {
	for _, c := range []struct {
		width, height int
		want          string
	}{
		{42, 20, `node node-1  Ready
  ~ inspector-5c9..9fj3k ContainerCreating
  * inspector-5c9f8d7b6-x7k2p Running
node node-2  Ready,SchedulingDisabled
  * inspector-5c9f8d7b6-qqqqq Running
node node-3  NotReady
node node-9
  * lost Running
on no node
  ~ web Pending
service inspector  80:30412
  -> 10.1.0.3
  -> inspector-5c9f8d7b6-x7k2p
  -x inspector-5c9f8d7b6-9fj3k not ready
service web reaches no pod  1,2,3,...
`},
		{30, 12, `node node-1  Ready
  ~* 1 ContainerCreating, 1 ..
node node-2  Ready,cordoned
  * inspector-5..qqqqq Running
node node-3  NotReady
node node-9
  * lost Running
on no node
  ~ web Pending
service inspector -> 2 pods ..
service web reaches no pod  ..
`},
		{42, 3, `node node-1  Ready
  ~* 1 ContainerCreating, 1 Running
(9 more rows)
`},
		{42, 0, ""},
	} {
		if got := drawn(workshop(t).Draw(c.width, c.height)); got != c.want {
			t.Errorf("%dx%d:\n%s\nwanted\n%s", c.width, c.height, got, c.want)
		}
	}
}

// Every size is kept to, and no name commands the terminal.
func TestDrawFits(t *testing.T) {
	m := workshop(t).Apply(
		put(t, clustermap.Pods, `{"metadata":{"name":"\u001b[2Jevil\u202e\n"},"spec":{"nodeName":"日本語日本語日本語日本語日本語日本語"},"status":{"reason":"\u001b]0;x\u0007"}}`),
		clustermap.Change{Kind: clustermap.Nodes, Denied: "\x1b[31m" + strings.Repeat("long ", 50)},
	)
	for width := 10; width < 90; width += 3 {
		for height := 0; height < 30; height++ {
			rows := m.Draw(width, height)
			if len(rows) > height {
				t.Fatalf("%d rows of %d", len(rows), height)
			}
			for _, r := range rows {
				if render.Width(r.Text) > width || strings.ContainsAny(r.Text, "\x1b\n\a\u202e") {
					t.Fatalf("width %d: %q", width, r.Text)
				}
			}
		}
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	m := workshop(t).Apply(clustermap.Change{Kind: clustermap.Endpoints, Denied: "not permitted"})
	got := drawn(m.Draw(60, 30))
	if !strings.Contains(got, "endpointslices: not permitted") || strings.Contains(got, "reaches no pod") {
		t.Errorf("%s", got)
	}
	if got := drawn(m.Apply(clustermap.Change{Kind: clustermap.Endpoints, Reset: []clustermap.Object{}}).Draw(60, 30)); strings.Contains(got, "not permitted") {
		t.Errorf("it is still said: %s", got)
	}
}
