package kubectl

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/custom"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/openapi"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/wait"
)

// widgets is a kind without a Go type.
func widgets(t *testing.T) *api.Kind {
	t.Helper()
	s := &spec.Schema{}
	if err := s.UnmarshalJSON([]byte(`{
	  "description": "Widget is a thing of which there are several.", "type": "object",
	  "properties": {
	    "spec": {"type": "object", "description": "What is wanted.", "properties": {
	      "size": {"type": "integer", "format": "int64", "description": "How large it is."},
	      "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
	      "note": {"type": "string"}}},
	    "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}`)); err != nil {
		t.Fatal(err)
	}
	return custom.Kind(&api.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"},
		Plural:           "widgets", Singular: "widget", Short: []string{"wd"}, Namespaced: true, HasStatus: true, Schema: s,
		Columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Size", Type: "integer"}},
		Row: func(o api.Object) []any {
			size, _, _ := unstructured.NestedInt64(o.(*unstructured.Unstructured).Object, "spec", "size")
			return []any{o.GetName(), size}
		},
	})
}

// byToken authenticates the user whose name is the token; byRole allows the administrator
// everything, and the others what roles allow.
type byToken struct{}

func (byToken) Authenticate(r *http.Request) (*client.User, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name == "any" || name == "" { // apitest sends none
		return &client.User{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}, nil
	}
	return &client.User{Name: name, Groups: []string{"system:authenticated"}}, nil
}

type byRole struct{ grants *authz.Authorizer }

func (a byRole) Authorize(ctx context.Context, at authz.Attributes) (bool, string, error) {
	for _, g := range at.User.Groups {
		if g == "system:masters" {
			return true, "", nil
		}
	}
	if !at.ResourceRequest {
		return true, "", nil // discovery
	}
	return a.grants.Authorize(ctx, at)
}

// customCluster is a server with roles, admission and controllers, and kubectl for it.
func customCluster(t *testing.T) (*apiserver.Server, *rest.Config, *terminal) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	var grants *authz.Authorizer
	server, cfg := apitest.StartServer(t, apitest.WithAdmission(t), func(c *apiserver.Config) {
		var err error
		if grants, err = authz.New(authz.Config{Objects: authz.FromStore(c.Store, builtin.Kinds), Log: log}); err != nil {
			t.Fatal(err)
		}
		c.OpenAPI, c.Authenticator, c.Authorizer = openapi.Handler, byToken{}, byRole{grants}
	})
	cfg.BearerToken = "any"
	inside := client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}})
	set := kubernetes.NewForConfigOrDie(inside)
	shared := client.Informers(set)
	controls, err := controller.New(controller.Config{
		Client: set, Metadata: metadata.NewForConfigOrDie(inside), Informers: shared,
		Recorder: client.Recorder(set, "controller-manager").As, Log: log, RootCA: []byte("PEM"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- grants.Run(ctx) }()
	go func() { done <- controls.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range cap(done) {
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		shared.Shutdown()
	})
	return server, cfg, terminalFor(t, cfg)
}

// eventually repeats a command until its answer has a text.
func (k *terminal) eventually(t *testing.T, manifest, line, want string) {
	t.Helper()
	wait.Within(t, 60*time.Second, fmt.Sprintf("kubectl %s with %q", line, want), func() error {
		got := k.run(t, manifest, line)
		return wait.Seen(strings.Contains(got, want), got)
	})
}

// TestCustomKind adds a kind to a running server, uses it with kubectl, and takes it away.
func TestCustomKind(t *testing.T) {
	server, cfg, k := customCluster(t)
	expect := func(manifest, line string, want ...string) string {
		t.Helper()
		got := k.run(t, manifest, line)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("kubectl %s\n%s\nwant %q", line, got, w)
			}
		}
		return got
	}
	expect("", "get widgets", `the server doesn't have a resource type "widgets"`)

	kind := widgets(t)
	table, err := builtin.Table().With(kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetTable(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	// What kubectl has of discovery is some minutes old otherwise.
	k.eventually(t, "", "api-resources --cached=false --api-group=example.com", "widgets")

	const manifest = `
apiVersion: example.com/v1
kind: Widget
metadata: {name: a, labels: {app: x}}
spec: {size: 3, tags: [one]}
`
	expect(manifest, "create -f FILE", "widget.example.com/a created")
	expect("", "get widgets", "NAME   SIZE", "a      3")
	expect("", "get wd a -o jsonpath={.spec.size}", "3")
	expect("", "explain widgets.spec", "GROUP:      example.com", "What is wanted.", "size\t<integer>", "How large it is.")
	expect(strings.Replace(manifest, "size: 3", "size: 3, colour: red", 1), "create -f FILE --validate=strict", `unknown field "spec.colour"`)
	expect(strings.Replace(manifest, "name: a", "name: Not_a_name", 1), "create -f FILE", `metadata.name: Invalid value`)

	// Applied by the client, by the server, and by two managers.
	expect(manifest, "apply -f FILE", "widget.example.com/a configured")
	expect(strings.Replace(manifest, "size: 3", "size: 4", 1), "apply -f FILE", "configured")
	expect("", "get widget a -o jsonpath={.spec.size},{.metadata.generation}", "4,2")
	applied := strings.ReplaceAll(manifest, "name: a", "name: b")
	expect(applied, "apply --server-side -f FILE", "widget.example.com/b serverside-applied")
	expect(strings.Replace(applied, "size: 3", "size: 5", 1), "apply --server-side --field-manager=other -f FILE", "conflict", ".spec.size")
	expect(strings.Replace(applied, "size: 3, tags: [one]", "tags: [two]", 1), "apply --server-side --field-manager=other -f FILE", "serverside-applied")
	expect("", "get widget b -o jsonpath={.spec.tags}", `["one","two"]`)
	expect("", "get widget b -o yaml --show-managed-fields", "manager: other", "f:spec")

	// Patches, the status, media types.
	expect("", `patch widget a --type=merge -p {"spec":{"note":"n"}}`, "patched")
	expect("", `patch widget a --type=json -p [{"op":"replace","path":"/spec/size","value":6}]`, "patched")
	expect("", `patch widget a --type=merge --subresource=status -p {"spec":{"size":9},"status":{"phase":"Ready"}}`, "patched")
	expect("", "get widget a -o jsonpath={.spec.size},{.spec.note},{.status.phase}", "6,n,Ready")
	expect("", "wait --for=jsonpath={.status.phase}=Ready widget/a --timeout=10s", "condition met")
	refused := func(method, contentType, accept, body string, code int, want string) {
		t.Helper()
		rc, err := rest.UnversionedRESTClientFor(rest.CopyConfig(&rest.Config{
			Host: cfg.Host, BearerToken: "any", TLSClientConfig: cfg.TLSClientConfig,
			ContentConfig: rest.ContentConfig{NegotiatedSerializer: api.Codecs},
		}))
		if err != nil {
			t.Fatal(err)
		}
		path := "/apis/example.com/v1/namespaces/default/widgets"
		if method != http.MethodPost {
			path += "/a"
		}
		var got int
		raw, _ := rc.Verb(method).AbsPath(path).SetHeader("Accept", accept).SetHeader("Content-Type", contentType).
			Body([]byte(body)).Do(t.Context()).StatusCode(&got).Raw()
		if got != code || !strings.Contains(string(raw), want) {
			t.Errorf("%s %s: %d %s, want %d %s", method, contentType, got, raw, code, want)
		}
	}
	refused("PATCH", "application/strategic-merge-patch+json", "application/json", "{}", 415,
		"the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
	refused("POST", "application/vnd.kubernetes.protobuf", "application/json", "k8s", 415,
		"the body of the request was in an unknown format - accepted media types include: application/json, application/yaml")
	refused("GET", "", "application/vnd.kubernetes.protobuf", "", 406,
		"object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message")
	refused("GET", "", "application/vnd.kubernetes.protobuf,application/json", "", 200, `"kind":"Widget"`)

	// Roles.
	bob := terminalFor(t, &rest.Config{Host: cfg.Host, TLSClientConfig: cfg.TLSClientConfig, BearerToken: "bob"})
	if got := bob.run(t, "", "get widgets"); !strings.Contains(got, `User "bob" cannot list resource "widgets" in API group "example.com"`) {
		t.Errorf("bob without a role: %s", got)
	}
	expect("", "create role looks --verb=get,list --resource=widgets.example.com", "created")
	expect("", "create rolebinding looks --role=looks --user=bob", "created")
	bob.eventually(t, "", "get widgets", "SIZE")
	if got := bob.run(t, "", "delete widget a"); !strings.Contains(got, "cannot delete resource") {
		t.Errorf("bob deletes: %s", got)
	}

	// Quota: two there are.
	expect("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/widgets.example.com: '3'}}\n", "create -f FILE", "created")
	k.eventually(t, "", `get quota q -o jsonpath={.status.used}`, `"count/widgets.example.com":"2"`)
	expect(strings.ReplaceAll(manifest, "name: a", "name: c"), "create -f FILE", "created")
	expect(strings.ReplaceAll(manifest, "name: a", "name: d"), "create -f FILE", "exceeded quota: q", "count/widgets.example.com=1")
	expect("", "delete widget c", "deleted")
	k.eventually(t, "", `get quota q -o jsonpath={.status.used}`, `"count/widgets.example.com":"2"`)

	// Owners: a built-in object goes with its widget, and a widget with its own.
	uid := k.run(t, "", "get widget b -o jsonpath={.metadata.uid}")
	expect(`
apiVersion: v1
kind: ConfigMap
metadata: {name: owned, ownerReferences: [{apiVersion: example.com/v1, kind: Widget, name: b, uid: `+uid+`}]}
`, "create -f FILE", "created")
	uid = k.run(t, "", "get configmap owned -o jsonpath={.metadata.uid}")
	expect(strings.ReplaceAll(manifest, "{name: a,", "{name: e, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owned, uid: "+uid+"}],"), "create -f FILE", "created")
	expect("", "delete widget b", "deleted")
	k.eventually(t, "", "get configmap owned", "not found")
	k.eventually(t, "", "get widget e", "not found")

	// Taken away: the watch on it ends with 410, another does not end.
	dyn := dynamic.NewForConfigOrDie(cfg)
	gvr := kind.GroupVersion().WithResource("widgets")
	w, err := dyn.Resource(gvr).Namespace("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := dyn.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetTable(t.Context(), builtin.Table()); err != nil {
		t.Fatal(err)
	}
	var last watch.Event
	for e := range w.ResultChan() {
		last = e
	}
	if s, ok := last.Object.(*metav1.Status); last.Type != watch.Error || !ok || s.Code != http.StatusGone {
		t.Errorf("the watch ended with %+v", last)
	}
	expect("", "create configmap after", "created")
	for e := range other.ResultChan() {
		if e.Type == watch.Error {
			t.Fatalf("the watch on configmaps: %+v", e.Object)
		}
		if o, ok := e.Object.(*unstructured.Unstructured); ok && o.GetName() == "after" {
			break
		}
	}
	other.Stop()
	expect("", "get --raw /apis/example.com/v1", "could not find the requested resource")
	k.eventually(t, "", "api-resources --cached=false", "configmaps")
	if got := k.run(t, "", "api-resources --cached=false"); strings.Contains(got, "widgets") {
		t.Errorf("still in discovery:\n%s", got)
	}

	// A namespace with objects of a kind that is served again is emptied of them.
	if err := server.SetTable(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	k.eventually(t, "", "api-resources --cached=false --api-group=example.com", "widgets")
	expect("", "get widget a -o jsonpath={.spec.size}", "6")
	expect("", "create namespace team", "created")
	expect(strings.Replace(manifest, "name: a,", "name: a, namespace: team,", 1), "create -f FILE", "created")
	expect("", "delete namespace team --timeout=30s", "deleted")
	expect("", "get widgets -A", "default")
}
