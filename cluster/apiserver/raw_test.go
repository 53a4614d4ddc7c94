package apiserver_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/apitest"
)

// raw is an HTTP client that shows what the server said, and nothing else.
type raw struct {
	t    *testing.T
	host string
	http *http.Client
}

func newRaw(t *testing.T, cfg *rest.Config) *raw {
	t.Helper()
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t, cfg.Host, c}
}

func (r *raw) do(method, path, contentType, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(within(r.t), method, r.host+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(answer)
}

const (
	asJSON   = "application/json"
	asYAML   = "application/yaml"
	maps     = "/api/v1/namespaces/default/configmaps"
	somePods = "/api/v1/namespaces/default/pods"
	podJSON  = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`
)

// TestVersionZero: it is the version of no object, so that it stands for any.
func TestVersionZero(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	body := `{"metadata":{"name":"m","resourceVersion":"0"},"data":{"a":"b"}}`
	for _, c := range []struct {
		method, path string
		code         int
	}{{"POST", maps, 201}, {"PUT", maps + "/m", 200}} {
		if resp, answer := r.do(c.method, c.path, asJSON, body); resp.StatusCode != c.code {
			t.Errorf("%s: got %d %s", c.method, resp.StatusCode, answer)
		}
	}
	if resp, answer := r.do("PATCH", maps+"/m", "application/merge-patch+json", `{"metadata":{"resourceVersion":"0"},"data":{"a":"c"}}`); resp.StatusCode != 200 {
		t.Errorf("PATCH: got %d %s", resp.StatusCode, answer)
	}
}

func TestBadInput(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	if resp, body := r.do("POST", maps, asJSON, `{"metadata":{"name":"there"},"data":{"a":"b"}}`); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	if resp, body := r.do("POST", somePods, asJSON, podJSON); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	operations := strings.Repeat(`{"op":"test","path":"/data/a","value":"b"},`, 10001)
	for _, c := range []struct {
		name, method, path, contentType, body string
		code                                  int
		message                               string
	}{
		{"unknown resource", "GET", "/apis/apps/v1/nope", "", "", 404, `"message":"the server could not find the requested resource","reason":"NotFound","details":{}`},
		{"timeout", "GET", "/version?timeout=soon", "", "", 400, `invalid timeout specified in the request URL - time: invalid duration "soon"`},
		{"unknown group", "GET", "/apis/nope/v1/things", "", "", 404, "the server could not find the requested resource"},
		{"unknown part", "GET", maps + "/there/nope", "", "", 404, "could not find the requested resource"},
		{"not found", "GET", maps + "/nope", "", "", 404, `configmaps "nope" not found`},
		{"method", "POST", maps + "/there", asJSON, "{}", 405, "the server does not allow this method on the requested resource"},
		{"exists", "POST", maps, asJSON, `{"metadata":{"name":"there"}}`, 409, `configmaps "there" already exists`},
		{"malformed JSON", "POST", maps, asJSON, `{"metadata":`, 400, "json parse error: unexpected end of JSON input"},
		{"malformed YAML", "POST", maps, asYAML, "a: [", 400, "did not find expected node content"},
		{"empty body", "POST", maps, asJSON, "", 400, "the object provided is unrecognized"},
		{"media type", "POST", maps, "text/plain", "{}", 415, "the body of the request was in an unknown format"},
		{"wrong kind", "POST", maps, asJSON, podJSON, 400, `Pod in version "v1" cannot be handled as a ConfigMap`},
		{"unknown kind", "POST", maps, asJSON, `{"kind":"Nope","apiVersion":"v1"}`, 400, `no kind "Nope" is registered for version "v1"`},
		{"wrong version", "POST", maps, asJSON, `{"kind":"ConfigMap","apiVersion":"v2"}`, 400, `no kind "ConfigMap" is registered for version "v2"`},
		{"unknown field", "POST", maps + "?fieldValidation=Strict", asJSON, `{"metadata":{"name":"x"},"spec":{"foo":1}}`, 400, `strict decoding error: unknown field "spec"`},
		{"duplicate field", "POST", maps + "?fieldValidation=Strict", asJSON, `{"metadata":{"name":"x","name":"y"}}`, 400, `strict decoding error: duplicate field "metadata.name"`},
		{"field validation", "POST", maps + "?fieldValidation=Nope", asJSON, `{}`, 422, "fieldValidation"},
		{"dry run", "POST", maps + "?dryRun=Some", asJSON, `{}`, 422, `dryRun: Unsupported value: ["Some"]`},
		{"wrong namespace", "POST", maps, asJSON, `{"metadata":{"name":"x","namespace":"other"}}`, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		{"no name", "POST", maps, asJSON, `{}`, 422, "name or generateName is required"},
		{"bad name", "POST", maps, asJSON, `{"metadata":{"name":"A_b"}}`, 422, "a lowercase RFC 1123 subdomain must consist of"},
		{"too large", "POST", maps, asJSON, `{"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`, 413, "limit is 3145728"},
		{"much too large", "POST", maps, asJSON, `{"data":{"a":"` + strings.Repeat("x", 9<<20) + `"}}`, 413, "limit is 3145728"},
		{"name differs", "PUT", maps + "/there", asJSON, `{"metadata":{"name":"x"}}`, 400, "the name of the object (x) does not match the name on the URL (there)"},
		{"old version", "PUT", maps + "/there", asJSON, `{"metadata":{"name":"there","resourceVersion":"1"}}`, 409, `Operation cannot be fulfilled on configmaps "there": the object has been modified; please apply your changes to the latest version and try again`},
		{"other uid", "PUT", maps + "/there", asJSON, `{"metadata":{"name":"there","uid":"u"}}`, 409, "Precondition failed: UID in precondition: u"},
		{"label selector", "GET", maps + "?labelSelector=a%3D%3D%3Db", "", "", 400, "unable to parse requirement"},
		{"field selector", "GET", maps + "?fieldSelector=spec.a%3Db", "", "", 400, `"spec.a" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		{"field selector of volumes", "GET", "/api/v1/persistentvolumes?fieldSelector=name%3Db", "", "", 400, `"name" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		{"namespace of nodes", "GET", "/api/v1/nodes?fieldSelector=metadata.namespace%3Db", "", "", 400, "field label not supported: metadata.namespace"},
		{"method", "POST", maps + "/there", asJSON, "{}", 405, `"message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{}`},
		{"version of an object", "GET", maps + "/there?resourceVersion=abc", "", "", 400, `"resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax"`},
		{"version of a page", "GET", maps + "?resourceVersion=-1", "", "", 400, `"invalid resource version: resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": invalid syntax"`},
		{"another kind", "POST", maps, asJSON, `{"kind":"Pod","apiVersion":"v1"}`, 400, `Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion`},
		{"a kind of another group", "POST", "/apis/apps/v1/namespaces/default/deployments", asJSON, `{"kind":"Pod","apiVersion":"v1"}`, 400, `cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): unknown conversion`},
		{"patch that is no list", "PATCH", maps + "/there", "application/json-patch+json", `{}`, 400, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"},
		{"dry run of a proxy", "GET", somePods + "/p/proxy?dryRun=All", "", "", 400, "dryRun is not supported"},
		{"field selector of pods", "GET", somePods + "?fieldSelector=spec.a%3Db", "", "", 400, "field label not supported: spec.a"},
		{"continue token", "GET", maps + "?continue=abc", "", "", 400, "invalid continue token: continue key is not valid"},
		{"version of a list", "GET", maps + "?resourceVersionMatch=Exact", "", "", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
		{"exact version of a watch", "GET", maps + "?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1", "", "", 422, `Unsupported value: "Exact": supported values: "NotOlderThan"`},
		{"watch that continues", "GET", maps + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", "", "", 422, "resourceVersionMatch is forbidden when continue is provided"},
		{"limit range without a name", "POST", "/api/v1/namespaces/default/limitranges", asJSON, `{"spec":{"limits":[]}}`, 201, `"name":`},
		{"secret of null", "POST", "/api/v1/namespaces/default/secrets", asJSON, `{"metadata":{"name":"null"},"data":{"a":null}}`, 201, `"a":""`},
		{"version", "GET", "/version", "", "", 200, `"emulationMinor": "36"`},
		{"version of a watch", "GET", maps + "?watch=1&sendInitialEvents=true", "", "", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
		{"limit", "GET", maps + "?limit=x", "", "", 400, "invalid syntax"},
		{"patch type", "PATCH", maps + "/there", asJSON, "{}", 415, `"message":"415: Unsupported Media Type","reason":"UnsupportedMediaType","details":{}`},
		{"malformed patch", "PATCH", maps + "/there", "application/merge-patch+json", "{", 400, "unexpected end of JSON input"},
		{"patch with an unknown directive", "PATCH", somePods + "/p", "application/strategic-merge-patch+json", `{"spec":{"$patch":"nope"}}`, 422, "unknown patch type: nope in map: map[$patch:nope]"},
		{"patch of an element without its key", "PATCH", somePods + "/p", "application/strategic-merge-patch+json", `{"spec":{"containers":[{"image":"x"}]}}`, 422, "map: map[image:x] does not contain declared merge key: name"},
		{"patch that does not fit", "PATCH", maps + "/there", "application/json-patch+json", `[{"op":"remove","path":"/data/nope"}]`, 422, "the server rejected our request due to an error in our request"},
		{"patch of the wrong type", "PATCH", maps + "/there", "application/merge-patch+json", `{"data":[]}`, 422, `": json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"`},
		{"unknown field in a patch", "PATCH", somePods + "/p?fieldValidation=Strict", "application/strategic-merge-patch+json", `{"spec":{"foo":1}}`, 422, `" "" is invalid: patch: Invalid value: "map[spec:map[foo:1]]": strict decoding error: unknown field "spec.foo"`},
		{"long patch", "PATCH", maps + "/there", "application/json-patch+json", "[" + strings.TrimSuffix(operations, ",") + "]", 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"apply without a manager", "PATCH", maps + "/there", "application/apply-patch+yaml", "{}", 422, "fieldManager: Required value"},
		{"apply of nothing", "PATCH", maps + "/there?fieldManager=m", "application/apply-patch+yaml", "", 400, "invalid object type: /, Kind="},
		{"grace period", "DELETE", somePods + "/p?gracePeriodSeconds=x", "", "", 400, "invalid syntax"},
		{"delete options", "DELETE", somePods + "/p", asJSON, "{", 400, "unexpected end of JSON input"},
		{"two policies", "DELETE", somePods + "/p", asJSON, `{"orphanDependents":true,"propagationPolicy":"Orphan"}`, 422, "cannot be both set"},
		{"precondition", "DELETE", somePods + "/p", asJSON, `{"preconditions":{"uid":"u"}}`, 409, "the UID in the precondition (u) does not match the UID in record"},
		{"options of another kind", "DELETE", somePods + "/p", asJSON, `{"kind":"Pod","apiVersion":"v1"}`, 400, `no kind "Pod" is registered for version "v1" in scheme "`},
		{"options of any group", "DELETE", somePods + "/p", asJSON, `{"kind":"DeleteOptions","apiVersion":"apps/v1","dryRun":["All"]}`, 200, ""},
		{"eviction without a name", "POST", somePods + "/p/eviction", asJSON, `{}`, 400, "name in URL does not match name in Eviction object"},
		{"eviction of another pod", "POST", somePods + "/p/eviction", asJSON, `{"metadata":{"name":"q"}}`, 400, "name in URL does not match name in Eviction object"},
		{"directive", "PATCH", somePods + "/p", "application/strategic-merge-patch+json", `{"spec":{"$patch":"nope"}}`, 422, "unknown patch type: nope"},
		{"uid in a patch", "PATCH", maps + "/there", "application/merge-patch+json", `{"metadata":{"uid":"u"}}`, 422, `metadata.uid: Invalid value: "u": field is immutable`},
		{"include", "GET", maps + "/there?includeObject=Some", "", "", 200, ""},
		{"exec of nothing", "POST", somePods + "/p/exec", "", "", 400, "you must specify at least 1 of stdin, stdout, stderr"},
		{"log of no container", "GET", somePods + "/p/log?container=x", "", "", 400, "container x is not valid for pod p"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := r.do(c.method, c.path, c.contentType, c.body)
			if resp.StatusCode != c.code || !strings.Contains(unquoted(body), c.message) {
				t.Errorf("got %d %.600s\nwant %d and %q", resp.StatusCode, body, c.code, c.message)
			}
			var status metav1.Status
			if err := json.Unmarshal([]byte(body), &status); c.code >= 400 && (err != nil || status.Kind != "Status" || int(status.Code) != c.code || status.Reason == "") {
				t.Errorf("not a Status: %v %.300s", err, body)
			}
		})
	}
}

// unquoted undoes JSON's quoting of quotes, so that messages can be compared.
func unquoted(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }

func TestWarnings(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	resp, body := r.do("POST", maps, asJSON, `{"metadata":{"name":"w"},"foo":1}`)
	if w := resp.Header.Get("Warning"); resp.StatusCode != 201 || w != `299 - "unknown field \"foo\""` {
		t.Errorf("warn: %d %q %s", resp.StatusCode, w, body)
	}
	resp, _ = r.do("POST", maps+"?fieldValidation=Ignore", asJSON, `{"metadata":{"name":"i"},"foo":1}`)
	if w := resp.Header.Get("Warning"); resp.StatusCode != 201 || w != "" {
		t.Errorf("ignore: %d %q", resp.StatusCode, w)
	}
}

func TestFormsOfAnswers(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for i := range 3 {
		if resp, body := r.do("POST", somePods, asJSON, strings.Replace(podJSON, `"p"`, fmt.Sprintf(`"p%d"`, i), 1)); resp.StatusCode != 201 {
			t.Fatal(body)
		}
	}
	get := func(path, accept string) (string, string) {
		resp, body := r.do("GET", path, "", "", "Accept", accept)
		if resp.StatusCode != 200 {
			t.Fatalf("GET %s as %s: %d %s", path, accept, resp.StatusCode, body)
		}
		return resp.Header.Get("Content-Type"), body
	}
	for _, version := range []string{"v1", "v1beta1"} {
		accept := "application/json;as=Table;v=" + version + ";g=meta.k8s.io,application/json"
		_, body := get(somePods, accept)
		var table metav1.Table
		if err := json.Unmarshal([]byte(body), &table); err != nil {
			t.Fatal(err)
		}
		if table.Kind != "Table" || table.APIVersion != "meta.k8s.io/"+version || len(table.Rows) != 3 || table.ColumnDefinitions[0].Name != "Name" ||
			table.Rows[0].Cells[0] != "p0" || !strings.Contains(string(table.Rows[0].Object.Raw), `"kind":"PartialObjectMetadata"`) {
			t.Errorf("table %s: %.500s", version, body)
		}
	}
	_, body := get(somePods+"/p1?includeObject=Object", "application/json;as=Table;v=v1;g=meta.k8s.io")
	if !strings.Contains(body, `"kind":"Pod"`) || !strings.Contains(body, `"spec"`) {
		t.Errorf("a row with its object: %.500s", body)
	}
	_, body = get(somePods, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
	if !strings.Contains(body, `"kind":"PartialObjectMetadataList"`) || strings.Contains(body, `"spec"`) {
		t.Errorf("metadata: %.500s", body)
	}
	for _, c := range []struct{ method, path, accept, message string }{
		{"GET", somePods, "application/xml", `"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"`},
		{"GET", somePods + "/p1", "application/xml", `"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"`},
		{"DELETE", somePods + "/p1", "application/xml", "Available representations"},
		{"GET", somePods + "/p1", "application/json;as=Nope;v=v1;g=meta.k8s.io", `"only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"`},
		{"GET", somePods, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", `"you requested PartialObjectMetadata, but the requested object is a list (*core.PodList)"`},
		{"GET", somePods + "/p1", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", `"you requested PartialObjectMetadataList, but the requested object is not a list (*core.Pod)"`},
	} {
		if resp, body := r.do(c.method, c.path, "", "", "Accept", c.accept); resp.StatusCode != 406 || !strings.Contains(body, c.message) {
			t.Errorf("%s %s as %s: %d %s\nwant 406 and %s", c.method, c.path, c.accept, resp.StatusCode, body, c.message)
		}
	}
	if resp, _ := r.do("HEAD", somePods+"/p1", "", ""); resp.StatusCode != 405 {
		t.Errorf("HEAD: %d, want 405", resp.StatusCode)
	}
	if kind, body := get(somePods+"/p1", "application/yaml"); kind != "application/yaml" || !strings.HasPrefix(body, "apiVersion: v1\nkind: Pod\n") {
		t.Errorf("yaml: %s %.200s", kind, body)
	}
	if kind, body := get(somePods, "application/vnd.kubernetes.protobuf"); kind != "application/vnd.kubernetes.protobuf" || !strings.HasPrefix(body, "k8s\x00") {
		t.Errorf("protobuf: %s %.20q", kind, body)
	}
	if _, body := get(somePods+"?pretty=true", "*/*"); !strings.Contains(body, "\n  \"items\": [") {
		t.Errorf("pretty: %.200s", body)
	}
	resp, body := r.do("GET", somePods, "", "", "Accept", "application/cbor")
	if resp.StatusCode != 406 || !strings.Contains(body, "406: Not Acceptable") {
		t.Errorf("cbor: %d %s", resp.StatusCode, body)
	}
}

// What is no resource has no Status.
func TestUnknownPaths(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for _, path := range []string{"/nope", "/apis/nope", "/apis/apps/v9", "/readyz/nope"} {
		resp, body := r.do("GET", path, "", "")
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 404 || kind != "text/plain; charset=utf-8" || body != "404 page not found\n" {
			t.Errorf("%s: %d %s %q", path, resp.StatusCode, kind, body)
		}
	}
}

func TestDiscovery(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for path, want := range map[string]string{
		"/api":                               `"versions":["v1"]`,
		"/apis":                              `"preferredVersion"`,
		"/api/v1":                            `"name":"pods/log"`,
		"/apis/apps":                         "",
		"/apis/rbac.authorization.k8s.io/v1": `"name":"clusterroles"`,
		"/version":                           `"gitVersion"`,
		"/":                                  "/api/v1",
		"/readyz?verbose":                    "[+]etcd ok",
		"/readyz/etcd":                       "ok",
		"/livez":                             "ok",
		"/metrics":                           "apiserver_request_total",
	} {
		resp, body := r.do("GET", path, "", "")
		if want != "" && (resp.StatusCode != 200 || !strings.Contains(body, want)) {
			t.Errorf("%s: %d %.300s", path, resp.StatusCode, body)
		}
	}
	for _, version := range []string{"v2", "v2beta1"} {
		accept := "application/json;g=apidiscovery.k8s.io;v=" + version + ";as=APIGroupDiscoveryList,application/json"
		resp, body := r.do("GET", "/apis", "", "", "Accept", accept)
		tag := resp.Header.Get("ETag")
		if !strings.Contains(body, `"apiVersion":"apidiscovery.k8s.io/`+version+`"`) || tag == "" ||
			!strings.Contains(resp.Header.Get("Content-Type"), "as=APIGroupDiscoveryList") {
			t.Errorf("aggregated %s: %v %.200s", version, resp.Header, body)
		}
		if resp, _ := r.do("GET", "/apis", "", "", "Accept", accept, "If-None-Match", tag); resp.StatusCode != 304 {
			t.Errorf("the same again: %d", resp.StatusCode)
		}
	}
}

func TestCompressionIsForFarClients(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	big := strings.Repeat("0123456789", 20000)
	if resp, body := r.do("POST", maps, asJSON, `{"metadata":{"name":"big"},"data":{"a":"`+big+`"}}`); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	resp, body := r.do("GET", maps+"/big", "", "", "Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "" || !strings.Contains(body, big) {
		t.Errorf("loopback: %v", resp.Header)
	}
	if _, err := gzip.NewReader(bytes.NewReader([]byte(body))); err == nil {
		t.Error("loopback: the body is compressed")
	}
}
