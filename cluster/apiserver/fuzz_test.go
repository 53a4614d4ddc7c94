package apiserver

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/metrics"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/apiserver/requestinfo"
)

// fuzzTime and fuzzMost bound the random part of each fuzz test in an ordinary run, by
// time and by inputs.
const (
	fuzzTime = 700 * time.Millisecond
	fuzzMost = 100_000
)

// podRequest is a request as a handler for pods would see it, without a server.
func podRequest(method, target, contentType, body string) *request {
	req := httptest.NewRequest(method, "/api/v1/namespaces/default/pods/p", strings.NewReader(body))
	req.URL.RawQuery = target
	req.Header.Set("Content-Type", contentType)
	k := core.Pods
	res := &resource{Kind: k, groupVersion: "v1", fieldLabels: map[string]bool{"metadata.name": true, "metadata.namespace": true}}
	for label := range k.Fields(k.New()) {
		res.fieldLabels[label] = true
	}
	s := &Server{Config: Config{Log: slog.New(slog.DiscardHandler)}}
	return newRequest(&exchange{Request: req, Info: requestinfo.Parse(req), s: s, w: &connection.Writer{ResponseWriter: httptest.NewRecorder()}, res: res})
}

var bodies = []string{
	`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`,
	"kind: Pod\napiVersion: v1\nmetadata: {name: p, labels: {a: b}}\nspec:\n  containers:\n  - {name: c, image: i, ports: [{containerPort: 80}]}\n",
	`{"metadata":{"labels":{"a":null}},"spec":{"containers":[{"$patch":"delete","name":"c"}],"$setElementOrder/containers":[{"name":"c"}]}}`,
	`[{"op":"add","path":"/metadata/labels","value":{}},{"op":"copy","from":"/spec","path":"/metadata/x"},{"op":"remove","path":"/spec/containers/0"}]`,
	`{"spec":{"tolerations":[{"$patch":"replace"}],"$retainKeys":["a"],"$deleteFromPrimitiveList/x":[1]}}`,
	`{"metadata":{"labels":{"a":"c","b":"d"}}}`,
	`[{"op":"replace","path":"/metadata/labels/a","value":"c"}]`,
	"k8s\x00\n\t\n\x02v1\x12\x03Pod\x12\x05\n\x03\n\x01p",
	`{"a":` + strings.Repeat("[", 1000),
}

var selectors = []string{"a=b", "a!=b,c", "!a", "a in (b,c),d notin ()", "a>1", "metadata.name=x,spec.nodeName!=y", `a=\,b`, "((", "a==b=c"}

// decodeAll must not panic, whatever the body is. It reports whether anything accepted it.
func decodeAll(t *testing.T, body string) (accepted bool) {
	t.Helper()
	for _, media := range []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"} {
		for _, validation := range []string{"Strict", "Warn", "Ignore"} {
			obj := &corev1.Pod{}
			err := podRequest(http.MethodPost, "", media, body).decode(obj, core.Pods.GroupVersionKind, validation)
			accepted = accepted || err == nil
			if err == nil && media == "application/json" {
				call(core.Pods.PrepareCreate, obj)
				call(core.Pods.Default, obj)
				check(core.Pods.Validate, obj)
			}
			if err != nil && apistatus.Of(err).Code >= 500 {
				t.Errorf("%s: the client's mistake is answered with %v", media, err)
			}
		}
		_ = decodeDeleteOptions([]byte(body), media, &metav1.DeleteOptions{})
	}
	return accepted
}

func patchAll(t *testing.T, body string) (accepted bool) {
	t.Helper()
	for _, kind := range []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType} {
		r := podRequest(http.MethodPatch, "", string(kind), body)
		p, err := r.newPatch(kind, []byte(body), "Strict")
		if err == nil {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			}
			var obj api.Object
			if p.onJSON != nil {
				doc, encodeErr := negotiate.Encode(pod, core.Pods.GroupVersionKind, negotiate.JSON, false)
				if encodeErr != nil {
					t.Fatal(encodeErr)
				}
				obj, err = p.patchedJSON(doc)
			} else {
				obj, err = p.merged(pod)
			}
			accepted = accepted || err == nil
			if err == nil && obj == nil {
				t.Errorf("%s: neither object nor error", kind)
			}
		}
		if err != nil && apistatus.Of(err).Code >= 500 {
			t.Errorf("%s: the client's mistake is answered with %v", kind, err)
		}
	}
	r := podRequest(http.MethodPatch, "", string(types.ApplyPatchType), body)
	if _, err := r.decodeApplied([]byte(body), r.res.GroupVersionKind, r.res.New()); err != nil && apistatus.Of(err).Code >= 500 {
		t.Errorf("apply: %v", err)
	}
	return accepted
}

func selectAll(t *testing.T, text string) (accepted bool) {
	t.Helper()
	r := podRequest(http.MethodGet, "", "", "")
	for _, o := range []*metav1.ListOptions{{LabelSelector: text}, {FieldSelector: text}} {
		keep, err := r.res.keep(o, "")
		if err != nil && apistatus.Of(err).Code != http.StatusBadRequest {
			t.Errorf("%q: %v", text, err)
		}
		if keep != nil {
			accepted = true
			keep(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{"a": "2"}}})
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/api/v1/pods", nil)
	req.URL.RawQuery, req.URL.Path = text, "/api/v1/"+text
	requestinfo.Parse(req)
	_, _ = listOptions(req.URL, true)
	req.Header.Set("Accept", text)
	_, _ = negotiate.Response(req, negotiate.AllForms)
	return accepted
}

func FuzzDecode(f *testing.F)    { fuzz(f, bodies, decodeAll) }
func FuzzPatch(f *testing.F)     { fuzz(f, bodies, patchAll) }
func FuzzSelectors(f *testing.F) { fuzz(f, selectors, selectAll) }

func fuzz(f *testing.F, seeds []string, try func(*testing.T, string) bool) {
	f.Helper()
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { try(t, s) })
}

// TestRandomInput is the fuzz tests in an ordinary run: damaged seeds, a bounded number.
// It counts: input of which all is refused at the door, or none is damaged, shows nothing.
func TestRandomInput(t *testing.T) {
	for name, c := range map[string]struct {
		seeds []string
		try   func(*testing.T, string) bool
	}{"decode": {bodies, decodeAll}, "patch": {bodies, patchAll}, "selectors": {selectors, selectAll}} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			var input string
			count := map[bool]int{}
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, input %q", seed, input)
				}
			}()
			shown := func() bool { return count[true] >= 10 && count[false] >= 10 }
			end := time.Now().Add(fuzzTime) // a busy machine gets as much longer as it needs to show something
			for n := 0; n < fuzzMost && (!shown() || time.Now().Before(end)) && !t.Failed(); n++ {
				input = damaged(random, c.seeds)
				func() {
					defer func() {
						if p := recover(); p != nil {
							t.Errorf("panic: %v", p)
						}
					}()
					count[c.try(t, input)]++
				}()
			}
			if !shown() {
				t.Errorf("of the inputs %d were accepted and %d refused", count[true], count[false])
			}
			t.Logf("%d accepted, %d refused", count[true], count[false])
		})
	}
}

// damaged is a seed with a few bytes changed, cut out, repeated, or from another seed.
func damaged(random *rand.Rand, seeds []string) string {
	b := []byte(seeds[random.IntN(len(seeds))])
	for range 1 + random.IntN(4) {
		if len(b) == 0 {
			break
		}
		i, j := random.IntN(len(b)), random.IntN(len(b))
		i, j = min(i, j), max(i, j)
		switch random.IntN(5) {
		case 0:
			b[i] = byte(random.IntN(256))
		case 1:
			b = append(b[:i:i], b[j:]...)
		case 2:
			b = append(b[:j:j], b[i:]...)
		case 3:
			other := seeds[random.IntN(len(seeds))]
			k := random.IntN(len(other))
			b = append(append(b[:i:i], other[k:]...), b[j:]...)
		default:
			b[i] = `{}[]",:/0-`[random.IntN(10)]
		}
	}
	return string(b)
}

func TestPanicsAreAnswered(t *testing.T) {
	s := &Server{Config: Config{Log: slog.New(slog.DiscardHandler), RequestTimeout: time.Second}, metrics: metrics.New(flowcontrol.New(1, 0))}
	s.Authenticator = nil
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/readyz", nil)
	r := newRequest(&exchange{Request: req, Info: requestinfo.Parse(req), s: s, w: &connection.Writer{ResponseWriter: w}})
	func() {
		defer func() { s.recovered(r, recover()) }()
		panic("boom")
	}()
	if w.Code != 500 || !strings.Contains(w.Body.String(), "caused the server to panic") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// BenchmarkStatusPatch is what a kubelet's report costs here, without the store.
func BenchmarkStatusPatch(b *testing.B) {
	body := []byte(`{"status":{"phase":"Running","podIP":"10.246.1.2","conditions":[{"type":"Ready","status":"True"},{"type":"PodScheduled","status":"True"}],` +
		`"containerStatuses":[{"name":"c","ready":true,"image":"i","state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}`)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	b.ReportAllocs()
	for b.Loop() {
		p, err := podRequest(http.MethodPatch, "", "", "").newPatch(types.StrategicMergePatchType, body, "Warn")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.merged(pod); err != nil {
			b.Fatal(err)
		}
	}
}
