package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

const header = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

func policy(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(header + text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// at reads "VERB RESOURCE[/SUBRESOURCE][.GROUP] [NAMESPACE[/NAME]]" or "VERB /PATH", by
// jane of the group devs.
func at(text string) *authz.Attributes {
	a := &authz.Attributes{User: &client.User{Name: "jane", Groups: []string{"devs"}}}
	words := append(strings.Fields(text), "")
	a.Verb = words[0]
	if a.Path = words[1]; strings.HasPrefix(a.Path, "/") {
		return a
	}
	a.Path, a.ResourceRequest = "", true
	a.Resource, a.Group, _ = strings.Cut(words[1], ".")
	a.Resource, a.Subresource, _ = strings.Cut(a.Resource, "/")
	a.Namespace, a.Name, _ = strings.Cut(words[2], "/")
	return a
}

func TestRulesMatch(t *testing.T) {
	for _, c := range []struct {
		rule    string
		yes, no []string
	}{
		{"{}", []string{"get pods", "get /healthz"}, nil},
		{"{users: [jane]}", []string{"get pods", "get /healthz"}, nil},
		{"{users: [joe]}", nil, []string{"get pods", "get /healthz"}},
		{"{userGroups: [ops, devs]}", []string{"get pods"}, nil},
		{"{userGroups: [ops]}", nil, []string{"get pods"}},
		{"{verbs: [get, list]}", []string{"get pods", "list pods", "get /x"}, []string{"watch pods"}},
		{"{resources: [{resources: [pods]}]}", []string{"get pods", "create pods ns/a"}, []string{"get pods/log", "get pods.example.org", "get secrets", "get /pods"}},
		{"{resources: [{resources: [pods/log]}]}", []string{"get pods/log"}, []string{"get pods", "get pods/exec"}},
		{"{resources: [{resources: ['pods/*']}]}", []string{"get pods/log"}, []string{"get services/log"}},
		{"{resources: [{resources: ['*/scale']}]}", []string{"get rcs/scale"}, []string{"get rcs", "get rcs/status"}},
		{"{resources: [{resources: ['*']}]}", []string{"get pods", "get pods/log"}, []string{"get deployments.apps"}},
		{"{resources: [{group: apps}]}", []string{"get deployments.apps", "get deployments/scale.apps"}, []string{"get pods"}},
		{"{resources: [{group: ''}]}", []string{"get pods"}, []string{"get deployments.apps"}},
		{"{resources: [{resources: [pods], resourceNames: [a]}]}", []string{"get pods ns/a"}, []string{"get pods ns/b", "list pods ns"}},
		{"{resources: [{group: apps}, {resources: [pods]}]}", []string{"get pods", "get x.apps"}, []string{"get services"}},
		{"{namespaces: [ns, '']}", []string{"get pods ns/a", "get nodes"}, []string{"get pods other/a", "get /x"}},
		{"{namespaces: [ns], resources: [{resources: [pods]}]}", []string{"get pods ns"}, []string{"get pods other", "get services ns"}},
		{"{nonResourceURLs: ['/healthz*', /version]}", []string{"get /healthz", "get /healthz/etcd", "get /version"}, []string{"get /version/x", "get pods", "get /livez"}},
		{"{nonResourceURLs: ['*']}", []string{"get /anything"}, []string{"get pods"}},
	} {
		p := policy(t, "rules:\n- "+strings.Replace(strings.Replace(c.rule, "{", "{level: Metadata, ", 1), ", }", "}", 1)+"\n")
		for _, text := range c.yes {
			if d := p.decide(at(text)); d.Level != LevelMetadata {
				t.Errorf("%s does not match %q", c.rule, text)
			}
		}
		for _, text := range c.no {
			if d := p.decide(at(text)); d.Level != LevelNone {
				t.Errorf("%s matches %q", c.rule, text)
			}
		}
	}
}

func TestFirstRuleCounts(t *testing.T) {
	p := policy(t, `omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, verbs: [watch]}
- {level: RequestResponse, resources: [{resources: [pods]}], omitStages: [Panic], omitManagedFields: false}
- {level: Request}
`)
	if d := p.decide(at("watch pods")); d.Level != LevelNone || d.Records(LevelMetadata) {
		t.Errorf("watch: %+v", d)
	}
	d := p.decide(at("get pods"))
	if d.Level != LevelRequestResponse || !d.Records(LevelMetadata) || !d.Records(LevelRequestResponse) || d.OmitManagedFields {
		t.Errorf("pods: %+v", d)
	}
	if !d.Omits(StageRequestReceived) || !d.Omits(StagePanic) || d.Omits(StageResponseComplete) {
		t.Errorf("pods omit %+v", d)
	}
	d = p.decide(at("get services"))
	if d.Level != LevelRequest || d.Records(LevelRequestResponse) || !d.OmitManagedFields || d.Omits(StagePanic) {
		t.Errorf("services: %+v", d)
	}
	nobody := at("get pods")
	nobody.User = nil
	if d := policy(t, "rules: [{level: Metadata, users: [jane]}]").decide(nobody); d.Level != LevelNone {
		t.Errorf("who is not authenticated: %+v", d)
	}
}

func TestInvalidPolicies(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"another kind":      {"apiVersion: v1\nkind: Pod\n", `a "Pod" of "v1"`},
		"a misspelt field":  {header + "rule: []\n", `unknown field "rule"`},
		"no rules":          {header, "rules: Required value"},
		"no level":          {header + "rules: [{verbs: [get]}]", "rules[0].level: Required value"},
		"a level":           {header + "rules: [{level: All}]", `rules[0].level: Unsupported value: "All"`},
		"a stage":           {header + "omitStages: [Begin]\nrules: [{level: None}]", `omitStages[0]: Unsupported value: "Begin"`},
		"a rule's stage":    {header + "rules: [{level: None, omitStages: [End]}]", "rules[0].omitStages[0]"},
		"both":              {header + "rules: [{level: None, namespaces: [a], nonResourceURLs: [/x]}]", "both regular resources and non-resource URLs"},
		"a path":            {header + "rules: [{level: None, nonResourceURLs: [x]}]", "nonResourceURLs[0]"},
		"a star within":     {header + "rules: [{level: None, nonResourceURLs: ['/a*/b']}]", "nonResourceURLs[0]"},
		"group and version": {header + "rules: [{level: None, resources: [{group: apps/v1}]}]", "without a version"},
		"names alone":       {header + "rules: [{level: None, resources: [{resourceNames: [a]}]}]", "requires at least one resource"},
	} {
		if _, err := ParsePolicy([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// What the default policy promises.
func TestDefaultPolicy(t *testing.T) {
	p, err := LoadPolicy("")
	if err != nil {
		t.Fatal(err)
	}
	part := &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}
	proxy := &client.User{Name: client.ProxierPrefix + "n1", Groups: []string{client.Proxiers}}
	for _, c := range []struct {
		what string
		user *client.User
		want Level
	}{
		{"watch services", proxy, LevelNone},
		{"get /readyz", nil, LevelNone},
		{"get /apis/apps/v1", nil, LevelNone},
		{"get secrets ns/a", nil, LevelMetadata},
		{"create secrets ns", nil, LevelMetadata},
		{"patch configmaps ns/a", nil, LevelMetadata},
		{"get secrets ns/a", part, LevelMetadata},
		{"create serviceaccounts/token ns/a", nil, LevelMetadata},
		{"create tokenreviews.authentication.k8s.io", nil, LevelMetadata},
		{"watch pods", part, LevelNone},
		{"watch pods", nil, LevelMetadata},
		{"update leases.coordination.k8s.io ns/a", part, LevelNone},
		{"create events ns", part, LevelNone},
		{"create pods/exec ns/a", nil, LevelMetadata},
		{"create pods ns", nil, LevelRequest},
		{"patch nodes/status /n1", part, LevelRequest},
		{"delete namespaces ns/ns", nil, LevelRequest},
	} {
		a := at(c.what)
		if c.user != nil {
			a.User = c.user
		}
		if d := p.decide(a); d.Level != c.want {
			t.Errorf("%s by %s: %s, want %s", c.what, a.User.Name, d.Level, c.want)
		}
	}
}

// counted returns the metrics, by name.
func counted(t *testing.T, l *Log) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(l.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			out[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	return out
}

// flush has the log write all it has.
func flush(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx)
}

// Whatever a client sends, an event is one line.
func TestOneLineEach(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(policy(t, "rules: [{level: Metadata}]"), &out, slog.Default())
	for i := range 100 {
		l.Put(&Event{
			AuditID: "x\n{\"kind\":\"Event\"}", UserAgent: "a\r\nb\u2028c\x00\xff", RequestURI: "/\"}\n", Stage: StageRequestReceived,
			Annotations: map[string]string{"k": fmt.Sprint(i, "\n")}, RequestReceivedTimestamp: metav1.NowMicro(),
		})
	}
	flush(t, l)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 100 {
		t.Fatalf("100 events are %d lines", len(lines))
	}
	for i, line := range lines {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind != "Event" || e.APIVersion != "audit.k8s.io/v1" || e.Annotations["k"] != fmt.Sprint(i, "\n") {
			t.Errorf("line %d: %v\n%s", i, err, line)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// What cannot be written is counted, and nobody waits for it.
func TestDropsAreCounted(t *testing.T) {
	l := NewLog(policy(t, "rules: [{level: Metadata}]"), broken{}, slog.New(slog.DiscardHandler))
	for range queueEvents + 5 {
		l.Put(&Event{})
	}
	if n := counted(t, l); n["apiserver_audit_event_total"] != queueEvents+5 || n["apiserver_audit_error_total"] != 5 {
		t.Errorf("with a full queue: %v", n)
	}
	flush(t, l)
	if n := counted(t, l); n["apiserver_audit_error_total"] != queueEvents+5 {
		t.Errorf("with a full disk: %v", n)
	}
	large := &Event{RequestObject: json.RawMessage(`"` + strings.Repeat("x", queueBytes/10) + `"`)}
	for range 20 {
		l.Put(large)
	}
	if n := counted(t, l)["apiserver_audit_error_total"] - queueEvents - 5; n != 11 {
		t.Errorf("of 20 events of a tenth of the queue each %v are dropped", n)
	}
	flush(t, l)
	if l.waiting.Load() != 0 {
		t.Errorf("%d bytes wait in an empty queue", l.waiting.Load())
	}
}

func TestOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "audit.log")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := OutputConfig{Path: path, MaxSize: 1, MaxBackups: 2}.Open()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1<<19-1) + "\n"
	for range 10 {
		if _, err := out.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 3 {
		t.Errorf("%v, %v: the log was not put aside", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			continue // removed as the oldest just now
		}
		if info.Mode().Perm() != 0o600 || info.Size() > 1<<20 {
			t.Errorf("%s: mode %v, %d bytes", f, info.Mode(), info.Size())
		}
	}
	if _, err := (OutputConfig{Path: "/proc/nothing/audit.log"}).Open(); err == nil {
		t.Error("a log that cannot be written is opened")
	}
}
