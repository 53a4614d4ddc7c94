package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/metrics"
	"wheelhouse/cluster/api/policy"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store"
)

// object is one that a request read or changed.
type object struct {
	kind            *api.Kind
	namespace, name string
}

func (o object) String() string {
	return fmt.Sprintf("%s.%s %s/%s", o.kind.Plural, o.kind.Group, o.namespace, o.name)
}

// touch is what a request did to an object.
type touch struct {
	object
	did string // returned, created, changed, deleted, admitted (to be written), connected
}

// walk sends requests to a server and compares what was authorized with what was touched.
type walk struct {
	t       *testing.T
	st      *store.Store
	handler http.Handler
	kept    map[object]*store.Item

	mu      sync.Mutex
	asked   []authz.Attributes
	touched []touch
	reached map[string]bool
	sent    int
	wrong   int
}

// Authorize allows all, and keeps what it was asked.
func (w *walk) Authorize(_ context.Context, a authz.Attributes) (bool, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, a)
	return true, "", nil
}

// Admit keeps what is written, even if it is not valid.
func (w *walk) Admit(_ context.Context, r *admission.Request) error {
	if r.Verb == admission.Connect {
		w.touch(touch{object{r.Kind, r.Namespace, r.Name}, "connected"})
		return nil
	}
	for _, o := range []runtime.Object{r.Object, r.Old} {
		if o == nil {
			continue
		}
		if m, ok := o.(api.Object); ok {
			kind := r.Kind
			if _, ok := o.(*corev1.Binding); ok {
				kind = core.Pods
			}
			if _, ok := o.(*authenticationv1.TokenRequest); !ok {
				w.touch(touch{object{kind, m.GetNamespace(), m.GetName()}, "admitted"})
			}
		}
	}
	w.touch(touch{object{r.Kind, r.Namespace, r.Name}, "admitted"})
	return nil
}

func (w *walk) Validate(context.Context, *admission.Request) error  { return nil }
func (w *walk) Done(context.Context, *admission.Request, error)     {}
func (w *walk) ServeHTTP(rw http.ResponseWriter, req *http.Request) { w.kubelet(rw, req) }

// kubelet is asked for a pod by its path.
func (w *walk) kubelet(rw http.ResponseWriter, req *http.Request) {
	if parts := strings.Split(req.URL.Path, "/"); len(parts) > 3 {
		did := "connected"
		if parts[1] == "containerLogs" {
			did = "returned"
		}
		w.touch(touch{object{core.Pods, parts[2], parts[3]}, did})
	}
	http.Error(rw, "no", http.StatusTeapot)
}

func (w *walk) issue(_ context.Context, _ *client.User, sa *corev1.ServiceAccount, r *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	w.touch(touch{object{core.ServiceAccounts, sa.Namespace, sa.Name}, "connected"})
	return r, nil
}

func (w *walk) touch(t touch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched = append(w.touched, t)
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{t: t, reached: map[string]bool{}, kept: map[object]*store.Item{}}
	kubelet := httptest.NewTLSServer(w)
	t.Cleanup(kubelet.Close)
	echo := func(_ context.Context, _ *client.User, obj runtime.Object) (runtime.Object, error) { return obj, nil }
	server, cfg := apitest.StartServer(t, func(c *apiserver.Config) {
		w.st = c.Store
		c.Authorizer, c.Admission, c.ServiceAccountToken = w, w, w.issue
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
		c.Components = []apiserver.Component{{Name: "x", Probe: func(context.Context) (string, error) { return "ok", nil }}}
		c.Virtual = map[schema.GroupVersionResource]apiserver.CreateFunc{}
		for _, k := range builtin.Kinds {
			if k.Virtual && slices.Equal(k.Verbs, []string{"create"}) && k != core.Bindings {
				c.Virtual[k.GroupVersion().WithResource(k.Plural)] = echo
			}
		}
	})
	w.handler = server.Handler()
	nodeAt(within(t), t, clientset(t, cfg), "x", kubelet.Listener.Addr().String())
	for _, k := range builtin.Kinds {
		if !k.Virtual {
			w.seed(k)
		}
	}
	w.snapshot()
	return w
}

// seed makes objects of the same names in two namespaces, and one that only the second has.
func (w *walk) seed(k *api.Kind) {
	names, namespaces := []string{"x", "z", "a", "b"}, []string{""}
	if k.Namespaced {
		namespaces = []string{"a", "b"}
	}
	for _, ns := range namespaces {
		for _, name := range append(names, map[string][]string{"b": {"only"}}[ns]...) {
			if k == core.Nodes && name == "x" {
				continue
			}
			obj := k.New()
			obj.SetName(name)
			obj.SetNamespace(ns)
			obj.SetUID(types.UID(k.Plural + ns + name))
			if pod, ok := obj.(*corev1.Pod); ok {
				pod.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
				if name != "z" {
					pod.Spec.NodeName = "x"
				}
			}
			if _, err := w.st.Of(k).Create(w.t.Context(), obj); err != nil {
				w.t.Fatalf("seeding %s %s/%s: %v", k.Plural, ns, name, err)
			}
		}
	}
}

// snapshot is all that is stored; what is not as it was is counted as touched, and is put
// back.
func (w *walk) snapshot() {
	now := map[object]*store.Item{}
	for _, k := range builtin.Kinds {
		if k.Virtual {
			continue
		}
		page, err := w.st.Of(k).List(w.t.Context(), "", store.ListOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, item := range page.Items {
			now[object{k, item.Object().GetNamespace(), item.Object().GetName()}] = item
		}
	}
	if len(w.kept) == 0 {
		w.kept = now
		return
	}
	for o, item := range now {
		switch was := w.kept[o]; {
		case was == nil:
			w.touch(touch{o, "created"})
			w.remove(o)
		case was.Revision() != item.Revision():
			w.touch(touch{o, "changed"})
			w.remove(o)
			w.restore(o)
		}
	}
	for o := range w.kept {
		if now[o] == nil {
			w.touch(touch{o, "deleted"})
			w.restore(o)
		}
	}
}

func (w *walk) remove(o object) {
	if _, err := w.st.Of(o.kind).Delete(w.t.Context(), o.namespace, o.name, func(*store.Item) error { return nil }); err != nil {
		w.t.Fatalf("removing %s: %v", o, err)
	}
}

func (w *walk) restore(o object) {
	obj := w.kept[o].Object().DeepCopyObject().(api.Object)
	obj.SetResourceVersion("")
	item, err := w.st.Of(o.kind).Create(w.t.Context(), obj)
	if err != nil {
		w.t.Fatalf("restoring %s: %v", o, err)
	}
	w.kept[o] = item
}

// answer is a ResponseWriter that ends a watch when the first events have come.
type answer struct {
	*httptest.ResponseRecorder
	end context.CancelFunc
}

func (a answer) Flush() {
	if bytes.Contains(a.Body.Bytes(), []byte("k8s.io/initial-events-end")) {
		a.end()
	}
}

// line is a request.
type line struct {
	method, path, query, contentType, body string
	upgrade                                bool
}

func (l line) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s?%s %s %s", l.method, l.path, l.query, l.contentType, l.body))
}

// send does one request, and compares.
func (w *walk) send(k *api.Kind, l line) int {
	w.t.Helper()
	if w.wrong > 40 {
		w.t.FailNow() // the rest is more of the same
	}
	w.asked, w.touched = nil, nil
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, l.method, l.path, strings.NewReader(l.body))
	req.URL.RawQuery = l.query
	if l.contentType != "" {
		req.Header.Set("Content-Type", l.contentType)
	}
	if l.upgrade {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	before := w.st.Revision()
	rec := answer{httptest.NewRecorder(), cancel}
	w.handler.ServeHTTP(rec, req)
	w.sent++
	if w.st.Revision() != before {
		w.snapshot()
	}
	if rec.Code < 300 && rec.Header().Get("Content-Type") == "application/json" {
		w.returned(k, rec.Body.Bytes())
	}
	w.compare(l, rec.Code)
	if a := w.asked; len(a) > 0 && rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
		w.reached[reach(a[0].Group, a[0].Version, a[0].Resource, a[0].Subresource, a[0].Verb)] = true
	}
	return rec.Code
}

func reach(parts ...string) string { return strings.Join(parts, " ") }

// returned are the objects in an answer: one, a list, or the events of a watch.
func (w *walk) returned(k *api.Kind, body []byte) {
	type thing struct {
		Kind     string
		Metadata struct{ Namespace, Name string }
		Object   *struct {
			Metadata struct{ Namespace, Name string }
		}
		Items []struct {
			Metadata struct{ Namespace, Name string }
		}
	}
	add := func(namespace, name string) {
		if name != "" {
			w.touch(touch{object{k, namespace, name}, "returned"})
		}
	}
	for scan := bufio.NewReader(bytes.NewReader(body)); ; {
		text, err := scan.ReadBytes('\n')
		var one thing
		if json.Unmarshal(text, &one) == nil && one.Kind != "Status" {
			add(one.Metadata.Namespace, one.Metadata.Name)
			for _, i := range one.Items {
				add(i.Metadata.Namespace, i.Metadata.Name)
			}
			if one.Object != nil {
				add(one.Object.Metadata.Namespace, one.Object.Metadata.Name)
			}
		}
		if err != nil {
			return
		}
	}
}

// compare holds what was touched against what the authorizer was asked.
func (w *walk) compare(l line, code int) {
	w.t.Helper()
	if len(w.asked) == 0 {
		w.t.Errorf("%s: %d, and nobody was asked", l, code)
		return
	}
	for _, t := range w.touched {
		if why := mismatch(w.asked, t); why != "" {
			a := w.asked[0]
			w.wrong++
			w.t.Errorf("%s: %d\nauthorized %s %s.%s/%s in %q name %q\nbut %s %s: %s",
				l, code, a.Verb, a.Resource, a.Group, a.Subresource, a.Namespace, a.Name, t.did, t.object, why)
		}
	}
}

// mismatch returns why t is not what was authorized.
func mismatch(asked []authz.Attributes, t touch) string {
	a := asked[0]
	named := builtin.Lookup(a.Group, a.Version, a.Resource)
	switch {
	case named == nil:
		return "a resource that is not served"
	case t.kind == policy.PodDisruptionBudgets && a.Subresource == "eviction" && t.namespace == a.Namespace:
		return ""
	case named == core.Bindings && t.kind == core.Pods && a.Verb == "create" && t.namespace == a.Namespace && a.Name == "":
		return "" // the name is in the body
	case named != t.kind && named.Stored != t.kind:
		return "another kind"
	case a.Name != "" && a.Name != t.name:
		return "another name"
	}
	switch {
	case t.kind == core.Namespaces && a.Namespace != "" && a.Namespace != t.name:
		return "another namespace"
	case !t.kind.Namespaced && t.kind != core.Namespaces && a.Namespace != "":
		return "in no namespace"
	case t.kind.Namespaced && a.Namespace != t.namespace && (a.Namespace != "" || (a.Verb != "list" && a.Verb != "watch")):
		return "another namespace"
	}
	by := map[string][]string{ // the verbs of which one must have been asked about
		"returned":  {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
		"created":   {"create"},
		"changed":   {"update", "patch", "delete", "deletecollection"},
		"deleted":   {"delete", "deletecollection"},
		"admitted":  {"create", "update", "patch", "delete", "deletecollection"},
		"connected": {"create"},
	}[t.did]
	if a.Subresource != "" && a.Verb == "create" { // binding, eviction, rollback
		by = append(by, "create")
	}
	if !slices.ContainsFunc(asked, func(b authz.Attributes) bool {
		in := a.Namespace
		if t.did == "created" {
			in = t.namespace // a Namespace is created in none
		}
		return slices.Contains(by, b.Verb) && b.Resource == a.Resource && b.Subresource == a.Subresource && b.Namespace == in && b.Name == a.Name
	}) {
		return "the verb is " + a.Verb
	}
	if a.Name == "" && slices.Contains([]string{"get", "update", "patch", "delete"}, a.Verb) {
		return "no name was asked about"
	}
	return ""
}

// TestAuthorizedIsTouched walks every resource, subresource, verb and form of path, and some
// that nobody serves: a request may touch only what the authorizer was asked about.
func TestAuthorizedIsTouched(t *testing.T) {
	w := newWalk(t)
	for _, k := range builtin.Table().Served() {
		for _, path := range pathsOf(k) {
			for _, l := range linesOf(k, path) {
				code := w.send(k, l)
				if strings.Contains(path.string, "/namespaces/a/") && strings.Contains(path.string, "/only") && code < 400 {
					t.Errorf("%s: %d, but only another namespace has it", l, code)
				}
			}
		}
	}
	for _, k := range builtin.Table().Served() {
		for _, verb := range offered(k.Verbs, k.Virtual) {
			if k == metrics.NodeMetrics || k == metrics.PodMetrics {
				continue // the kubelet of this test has none
			}
			if !w.reached[reach(k.Group, k.Version, k.Plural, "", verb)] {
				t.Errorf("%s of %s was never reached", verb, k.GroupVersion().WithResource(k.Plural))
			}
		}
		for _, sub := range subresourcesOf(k) {
			for _, verb := range sub.Verbs {
				if !w.reached[reach(k.Group, k.Version, k.Plural, sub.Name, verb)] {
					t.Errorf("%s of %s/%s was never reached", verb, k.GroupVersion().WithResource(k.Plural), sub.Name)
				}
			}
		}
	}
	t.Logf("%d requests", w.sent)
}
