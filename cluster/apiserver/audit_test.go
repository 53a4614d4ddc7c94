package apiserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/wait"
)

// audited is a server with an audit log.
type audited struct {
	*rest.Config
	lines wait.Output
}

// startAudited serves with a policy ("" is the default one); who comes with the token
// jane is jane of the group devs, and may act as others.
func startAudited(t *testing.T, policy string, options ...apitest.Option) *audited {
	t.Helper()
	p, err := audit.LoadPolicy("")
	if policy != "" {
		p, err = audit.ParsePolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n" + policy))
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &audited{}
	log := audit.NewLog(p, &a.lines, slog.Default())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	rule := janesRule{}
	options = append([]apitest.Option{func(c *apiserver.Config) {
		c.Audit, c.Metrics, c.Authorizer = log, log.Collectors(), rule
		c.Authenticator = authn.New(authn.Config{Static: map[string]*client.User{
			"jane": {Name: "jane", UID: "u1", Groups: []string{"devs"}, Extra: map[string][]string{"team": {"a"}}},
			"root": {Name: "root", Groups: []string{"system:masters"}},
		}, Authorizer: rule})
	}}, options...)
	a.Config = apitest.Start(t, append(options, asRoot)...)
	return a
}

// asRoot has apitest's own requests, which have no credentials, come from root.
func asRoot(c *apiserver.Config) {
	inner := c.Authenticator
	c.Authenticator = authenticator(func(r *http.Request) (*client.User, error) {
		if r.Header.Get("Authorization") == "" {
			return &client.User{Name: "root", Groups: []string{"system:masters"}}, nil
		}
		return inner.Authenticate(r)
	})
}

type authenticator func(*http.Request) (*client.User, error)

func (f authenticator) Authenticate(r *http.Request) (*client.User, error) { return f(r) }

// janesRule allows everything but deletes of jane.
type janesRule struct{}

func (janesRule) Authorize(_ context.Context, at authz.Attributes) (bool, string, error) {
	if at.User.Name == "jane" && at.Verb == "delete" {
		return false, "because", nil
	}
	if at.User.Name == "jane" && strings.HasPrefix(at.Verb, "impersonate") && at.Name == "boss" {
		return false, "", nil
	}
	return true, "allowed by a test", nil
}

func (a *audited) as(token string) *kubernetes.Clientset {
	c := rest.CopyConfig(a.Config)
	c.BearerToken, c.UserAgent = token, "test/1"
	return kubernetes.NewForConfigOrDie(c)
}

// events waits until some events fit, and returns them.
func (a *audited) events(t *testing.T, n int, fits func(*audit.Event) bool) []*audit.Event {
	t.Helper()
	var found []*audit.Event
	wait.For(t, fmt.Sprintf("%d events", n), func() error {
		found = nil
		for line := range strings.Lines(a.lines.String()) {
			e := &audit.Event{}
			if err := json.Unmarshal([]byte(line), e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if fits(e) {
				found = append(found, e)
			}
		}
		return wait.Seen(len(found) >= n, len(found), ", the log is\n", a.lines.String())
	})
	return found
}

func about(id string) func(*audit.Event) bool {
	return func(e *audit.Event) bool { return string(e.AuditID) == id }
}

func (a *audited) do(t *testing.T, method, path, token, body string, headers ...string) *http.Response {
	t.Helper()
	transport, err := rest.TransportFor(&rest.Config{TLSClientConfig: a.TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func stages(events []*audit.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Stage))
	}
	return strings.Join(all, " ")
}

func TestAuditOfAWrite(t *testing.T) {
	a := startAudited(t, "rules: [{level: RequestResponse}]")
	const body = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"sent\nby jane"}}`
	resp := a.do(t, "POST", "/api/v1/namespaces/default/configmaps?fieldManager=m", "jane", body,
		"Content-Type", "application/json", "Audit-Id", "mine", "User-Agent", "test\"/1", "X-Forwarded-For", "192.0.2.7", "Accept-Encoding", "gzip")
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Audit-Id") != "mine" {
		t.Errorf("%s, Audit-Id %q", resp.Status, resp.Header.Get("Audit-Id"))
	}
	events := a.events(t, 2, about("mine"))
	if stages(events) != "RequestReceived ResponseComplete" {
		t.Fatalf("stages %s", stages(events))
	}
	e := events[1]
	if e.Kind != "Event" || e.APIVersion != "audit.k8s.io/v1" || e.Level != "RequestResponse" || e.Verb != "create" || e.RequestURI != "/api/v1/namespaces/default/configmaps?fieldManager=m" {
		t.Errorf("event %+v", e)
	}
	if e.User.Username != "jane" || e.User.UID != "u1" || strings.Join(e.User.Groups, " ") != "devs system:authenticated" || e.User.Extra["team"][0] != "a" || e.ImpersonatedUser != nil {
		t.Errorf("user %+v", e.User)
	}
	if strings.Join(e.SourceIPs, " ") != "192.0.2.7 127.0.0.1" || e.UserAgent != `test"/1` {
		t.Errorf("from %v, %q", e.SourceIPs, e.UserAgent)
	}
	if want := (audit.ObjectReference{Resource: "configmaps", Namespace: "default", Name: "a", APIVersion: "v1"}); *e.ObjectRef != want {
		t.Errorf("about %+v", *e.ObjectRef)
	}
	if e.ResponseStatus.Code != 201 || e.Annotations["authorization.k8s.io/decision"] != "allow" || e.Annotations["authorization.k8s.io/reason"] != "allowed by a test" {
		t.Errorf("%+v, %v", e.ResponseStatus, e.Annotations)
	}
	if string(e.RequestObject) != body {
		t.Errorf("sent: %s", e.RequestObject)
	}
	var made corev1.ConfigMap
	if err := json.Unmarshal(e.ResponseObject, &made); err != nil || made.UID == "" || made.Data["x"] != "sent\nby jane" {
		t.Errorf("answered: %v %s", err, e.ResponseObject)
	}
	if e.StageTimestamp.Time.Before(e.RequestReceivedTimestamp.Time) || events[0].StageTimestamp != events[0].RequestReceivedTimestamp {
		t.Errorf("times %v, %v", e.RequestReceivedTimestamp, e.StageTimestamp)
	}
	if events[0].RequestObject != nil || events[0].ResponseStatus != nil || events[0].Annotations != nil {
		t.Errorf("received: %+v", events[0])
	}
}

// What is written of each way to send and to be answered.
func TestAuditOfMediaTypes(t *testing.T) {
	a := startAudited(t, "omitManagedFields: true\nrules: [{level: RequestResponse, users: [jane]}]")
	c := rest.CopyConfig(a.Config)
	c.BearerToken, c.ContentType = "jane", "application/vnd.kubernetes.protobuf"
	cs := kubernetes.NewForConfigOrDie(c)
	ctx := t.Context()
	if _, err := cs.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"x": "y"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {z: applied}\n"
	if _, err := cs.CoreV1().ConfigMaps("default").Patch(ctx, "a", types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "m", Force: new(bool)}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.CoreV1().ConfigMaps("default").Patch(ctx, "a", types.JSONPatchType, []byte(`[{"op": "add", "path": "/data/n", "value": "1"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cs.CoreV1().ConfigMaps("default").Delete(ctx, "missing", metav1.DeleteOptions{}); err == nil {
		t.Fatal("what is not there was deleted")
	}
	done := a.events(t, 5, func(e *audit.Event) bool { return e.Stage == audit.StageResponseComplete })
	for i, want := range []struct{ sent, answered string }{
		{`"data":{"x":"y"}`, `"data":{"x":"y"}`},
		{`"data":{"z":"applied"}`, `"z":"applied"`},
		{`[{"op":"add","path":"/data/n","value":"1"}]`, `"n":"1"`},
		{"", `"kind":"ConfigMapList"`},
		{"", `"kind":"Status"`}, // what is refused is not read
	} {
		e := done[i]
		if !strings.Contains(string(e.RequestObject), want.sent) || !strings.Contains(string(e.ResponseObject), want.answered) {
			t.Errorf("%s: sent %s, answered %s", e.Verb, e.RequestObject, e.ResponseObject)
		}
		if strings.Contains(string(e.RequestObject)+string(e.ResponseObject), "managedFields") {
			t.Errorf("%s: managed fields are not left out: %s %s", e.Verb, e.RequestObject, e.ResponseObject)
		}
	}
	if s := done[4].ResponseStatus; s.Code != 403 || s.Reason != metav1.StatusReasonForbidden || done[4].Annotations["authorization.k8s.io/decision"] != "forbid" {
		t.Errorf("a delete that is forbidden: %+v, %v", s, done[4].Annotations)
	}
}

func TestAuditOfAWatch(t *testing.T) {
	a := startAudited(t, "rules: [{level: RequestResponse}]")
	ctx, cancel := context.WithCancel(t.Context())
	w, err := a.as("jane").CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watches := func(e *audit.Event) bool { return e.Verb == "watch" }
	if begun := a.events(t, 2, watches); stages(begun) != "RequestReceived ResponseStarted" || begun[1].ResponseStatus.Code != 200 {
		t.Errorf("while it goes on: %s", stages(begun))
	}
	w.Stop()
	cancel()
	if all := a.events(t, 3, watches); stages(all) != "RequestReceived ResponseStarted ResponseComplete" || all[2].AuditID != all[0].AuditID || all[2].ResponseObject != nil {
		t.Errorf("in the end: %s", stages(all))
	}
	a.do(t, "GET", "/api/v1/namespaces/default/pods/none/exec?command=id", "jane", "", "Audit-Id", "exec")
	if all := a.events(t, 3, about("exec")); stages(all) != "RequestReceived ResponseStarted ResponseComplete" || all[2].ResponseStatus.Code != 404 || all[2].ObjectRef.Subresource != "exec" {
		t.Errorf("exec: %s, %+v", stages(all), all[2].ResponseStatus)
	}
}

func TestAuditOfRefusals(t *testing.T) {
	a := startAudited(t, "rules: [{level: Metadata}]")
	if resp := a.do(t, "GET", "/api/v1/secrets", "stolen", "", "Audit-Id", "401"); resp.StatusCode != 401 {
		t.Fatal(resp.Status)
	}
	e := a.events(t, 1, about("401"))
	if stages(e) != "ResponseStarted" || e[0].ResponseStatus.Code != 401 || e[0].ResponseStatus.Message != "Authentication failed, attempted: bearer" || e[0].User.Username != "" || e[0].ObjectRef.Resource != "secrets" {
		t.Errorf("%s %+v", stages(e), e[0])
	}
	if strings.Contains(a.lines.String(), "stolen") {
		t.Error("the token is in the log")
	}
	if resp := a.do(t, "GET", "/api/v1/secrets", "jane", "", "Audit-Id", "as", "Impersonate-User", "joe", "Impersonate-Group", "ops"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	e = a.events(t, 2, about("as"))
	if as := e[1].ImpersonatedUser; e[1].User.Username != "jane" || as == nil || as.Username != "joe" || as.Groups[0] != "ops" || e[1].AuthenticationMetadata.ImpersonationConstraint != "impersonate:user-info" {
		t.Errorf("acting as joe: %+v as %+v", e[1].User, as)
	}
	if resp := a.do(t, "GET", "/api/v1/secrets", "jane", "", "Audit-Id", "boss", "Impersonate-User", "boss"); resp.StatusCode != 403 {
		t.Fatal(resp.Status)
	}
	e = a.events(t, 2, about("boss"))
	if stages(e) != "RequestReceived ResponseComplete" || e[1].User.Username != "jane" || e[1].ResponseStatus.Code != 403 {
		t.Errorf("%s %+v", stages(e), e[1])
	}
}

func TestAuditOfAPanic(t *testing.T) {
	panics := func(c *apiserver.Config) {
		c.Paths = map[string]http.Handler{"/panics": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })}
	}
	a := startAudited(t, "rules: [{level: Metadata}]", panics)
	if resp := a.do(t, "GET", "/panics", "jane", "", "Audit-Id", "p"); resp.StatusCode != 500 {
		t.Error(resp.Status)
	}
	e := a.events(t, 2, about("p"))
	if stages(e) != "RequestReceived Panic" || e[1].ResponseStatus.Message != "APIServer panic'd: oh" || e[1].ResponseStatus.Code != 500 {
		t.Errorf("%s %+v", stages(e), e[1].ResponseStatus)
	}
}

// noting is an admission that finds something.
type noting struct{ apiserver.Admission }

func (noting) Admit(_ context.Context, r *admission.Request) error {
	r.AuditAnnotations = map[string]string{"pod-security.kubernetes.io/audit-violations": "would violate " + r.Verb}
	if r.Name == "refused" {
		return errors.New("refused")
	}
	return nil
}
func (noting) Validate(context.Context, *admission.Request) error { return nil }
func (noting) Done(context.Context, *admission.Request, error)    {}

func TestAuditOfAdmission(t *testing.T) {
	a := startAudited(t, "rules: [{level: Metadata}]", func(c *apiserver.Config) { c.Admission = noting{} })
	for _, name := range []string{"admitted", "refused"} {
		body := fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q}}`, name)
		a.do(t, "POST", "/api/v1/namespaces/default/configmaps", "jane", body, "Content-Type", "application/json", "Audit-Id", name)
		e := a.events(t, 2, about(name))
		if e[0].Annotations != nil || e[1].Annotations["pod-security.kubernetes.io/audit-violations"] != "would violate "+string(admission.Create) {
			t.Errorf("%s: %v, %v", name, e[0].Annotations, e[1].Annotations)
		}
	}
	a.do(t, "GET", "/api/v1/namespaces/default", "jane", "", "Audit-Id", "ns")
	if ref := a.events(t, 2, about("ns"))[1].ObjectRef; ref.Namespace != "default" || ref.Name != "default" {
		t.Errorf("a namespace is in itself, as upstream: %+v", ref)
	}
}

// Nothing that a client sends breaks a line, and nothing is logged without bound.
func TestAuditOfHostileClients(t *testing.T) {
	a := startAudited(t, "rules: [{level: RequestResponse}]")
	long := strings.Repeat("x", 5000)
	a.do(t, "GET", "/api/v1/namespaces/default/configmaps/a%0A%7B%22kind%22:%22Event%22%7D%0A", "jane", "", "Audit-Id", long, "User-Agent", long)
	e := a.events(t, 2, about(long[:64]))
	if e[1].UserAgent != long[:1024]+"...TRUNCATED" || !strings.Contains(e[1].ObjectRef.Name, "\n") {
		t.Errorf("%+v", e[1])
	}
	large := fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":%q}}`, strings.Repeat("x", 1600<<10))
	a.do(t, "POST", "/api/v1/namespaces/default/configmaps", "jane", large, "Content-Type", "application/json", "Audit-Id", "large")
	e = a.events(t, 2, about("large"))
	if e[1].RequestObject != nil || e[1].Annotations["audit.k8s.io/truncated"] != "true" {
		t.Errorf("a large object: %d bytes, %v", len(e[1].RequestObject), e[1].Annotations)
	}
	a.do(t, "POST", "/api/v1/namespaces/default/configmaps", "jane", "{\"no\": \njson", "Content-Type", "application/json", "Audit-Id", "bad")
	if e = a.events(t, 2, about("bad")); e[1].RequestObject != nil || e[1].ResponseStatus.Code != 400 {
		t.Errorf("a body that is not JSON: %s", e[1].RequestObject)
	}
}

// With the default policy no content of a credential is in the log.
func TestAuditByDefault(t *testing.T) {
	a := startAudited(t, "")
	const hush = "hush-hush"
	cs, ctx := a.as("jane"), t.Context()
	_, err := cs.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"p": hush}}, metav1.CreateOptions{})
	_, err2 := cs.CoreV1().Secrets("default").Patch(ctx, "s", types.MergePatchType, []byte(`{"stringData":{"q":"`+hush+`"}}`), metav1.PatchOptions{})
	_, err3 := cs.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{"p": hush}}, metav1.CreateOptions{})
	_, err4 := cs.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if resp := a.do(t, "GET", "/readyz", "jane", ""); resp.StatusCode != 200 || resp.Header.Get("Audit-Id") == "" {
		t.Errorf("readyz: %s, %v", resp.Status, resp.Header)
	}
	events := a.events(t, 4, func(e *audit.Event) bool { return e.User.Username == "jane" })
	if len(events) != 4 || events[0].ObjectRef.Name != "s" || events[0].ObjectRef.Resource != "secrets" || !strings.Contains(string(events[3].RequestObject), `"port":80`) {
		t.Errorf("the log is\n%s", a.lines.String())
	}
	if strings.Contains(a.lines.String(), hush) || strings.Contains(a.lines.String(), "aHVzaC1odXNo") {
		t.Errorf("the log holds a secret:\n%s", a.lines.String())
	}
}

// A server without an audit log does not name requests.
func TestWithoutAudit(t *testing.T) {
	cfg := apitest.Start(t)
	a := &audited{Config: cfg}
	resp := a.do(t, "GET", "/api/v1/namespaces", "", "", "Audit-Id", "mine")
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Header.Get("Audit-Id") != "" {
		t.Errorf("%v, %v", err, resp.Header)
	}
}
