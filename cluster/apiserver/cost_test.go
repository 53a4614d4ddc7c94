package apiserver_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/apitest"
)

const (
	asPatch     = "application/json-patch+json"
	asMerge     = "application/merge-patch+json"
	asStrategic = "application/strategic-merge-patch+json"
	asApply     = "application/apply-patch+yaml"
	asProtobuf  = "application/vnd.kubernetes.protobuf"
)

// times repeats what f makes, with something between.
func times(n int, between string, f func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, between)
}

func always(s string) func(int) string { return func(int) string { return s } }

// megabyte is what the costs below are counted in.
const megabyte = 1 << 20

// cost is a request, the answer, and the most bytes that answering it may allocate in all.
type cost struct {
	name, method, path, media, body string
	code                            int
	answer                          string
	most                            uint64
}

func (c *cost) check(r *raw) {
	r.t.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resp, answer := r.do(c.method, c.path, c.media, c.body)
	runtime.ReadMemStats(&after)
	if resp.StatusCode != c.code || !strings.Contains(answer, c.answer) {
		r.t.Errorf("got %d %.400s\n            want %d and %q", resp.StatusCode, answer, c.code, c.answer)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > c.most*megabyte {
		r.t.Errorf("a body of %d bytes cost %d MB, want at most %d", len(c.body), used/megabyte, c.most)
	}
}

// TestCostOfRequests: no request costs much more than its size, whatever is in it. What
// these bodies cost without their bounds is seconds and gigabytes.
func TestCostOfRequests(t *testing.T) {
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	for _, body := range []string{`{"metadata":{"name":"m"},"data":{"a":"b"}}`, `{"metadata":{"name":"s"},"data":{}}`} {
		if resp, answer := r.do("POST", maps, asJSON, body); resp.StatusCode != http.StatusCreated {
			t.Fatal(answer)
		}
	}
	if resp, answer := r.do("POST", somePods, asJSON, podJSON); resp.StatusCode != http.StatusCreated {
		t.Fatal(answer)
	}
	const tooMany = "it has more than 100000 values"
	pod := func(spec string) string {
		return `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{` + spec + `}}`
	}
	cpu := func(q string) string {
		return pod(`"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":` + q + `}}}]`)
	}
	named := func(i int) string { return fmt.Sprintf(`{"name":"k%d"}`, i) }
	deep := strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000)
	for _, c := range []cost{
		{"copies double", "PATCH", maps + "/m", asPatch, "[" + times(22, ",", func(i int) string {
			return fmt.Sprintf(`{"op":"copy","from":"/data","path":"/data/x%d"}`, i)
		}) + "]", 422, "", 64},
		{"copies double in a dry run", "PATCH", maps + "/m?dryRun=All", asPatch, "[" + times(22, ",", func(i int) string {
			return fmt.Sprintf(`{"op":"copy","from":"/data","path":"/data/x%d"}`, i)
		}) + "]", 422, "", 64},
		{"copies of a scale", "PATCH", "/api/v1/namespaces/default/replicationcontrollers/none/scale", asPatch, "[]", 404, "", 8},
		{"insertions into a list", "PATCH", maps + "/m", asPatch, `[{"op":"add","path":"/l","value":[` + times(50_000, ",", always("1")) + `]},` +
			times(9000, ",", always(`{"op":"add","path":"/l/0","value":1}`)) + "]", 413, "split it into several patches", 64},
		{"a deep merge patch", "PATCH", maps + "/m", asMerge, deep, 200, "", 32},
		{"a merge patch of many keys", "PATCH", maps + "/m", asMerge, `{"data":{` + times(150_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) }) + `}}`, 413, tooMany, 16},
		{"a list in another order", "PATCH", somePods + "/p", asStrategic, `{"spec":{"$setElementOrder/containers":[` + times(4000, ",", named) + `],"containers":[` + times(4000, ",", named) + `]}}`, 413, "comparisons", 48},
		{"a list to merge", "PATCH", somePods + "/p", asStrategic, `{"spec":{"containers":[` + times(9000, ",", named) + `]}}`, 413, "comparisons", 48},
		{"a list of text to merge", "PATCH", maps + "/m", asStrategic, `{"metadata":{"$setElementOrder/finalizers":[` + times(9000, ",", func(i int) string { return fmt.Sprintf(`"a/%d"`, i) }) + `]}}`, 413, "comparisons", 32},
		{"empty containers", "POST", somePods, asJSON, pod(`"containers":[` + times(100_000, ",", always("{}")) + `]`), 413, tooMany, 8},
		{"empty containers in protobuf", "POST", somePods, asProtobuf, "k8s\x00\n\t\n\x02v1\x12\x03Pod\x12\xc9\x9a\x0c\x0a\x03\x0a\x01x\x12\xc0\x9a\x0c" + strings.Repeat("\x12\x00", 100_000), 413, tooMany, 8},
		{"keys of JSON", "POST", maps, asJSON, `{"metadata":{"name":"x"},"data":{` + times(150_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) }) + `}}`, 413, tooMany, 16},
		{"keys of YAML", "POST", maps, asYAML, "metadata: {name: x}\ndata:\n" + times(180_000, "\n", func(i int) string { return fmt.Sprintf("  k%d: v", i) }), 413, "send it as JSON", 16},
		{"keys of YAML options", "DELETE", maps + "/none", asYAML, times(180_000, "\n", func(i int) string { return fmt.Sprintf("k%d: v", i) }), 413, "send it as JSON", 16},
		{"aliases of a long text", "POST", maps, asYAML, "metadata: {name: x}\ndata:\n  a: &a " + strings.Repeat("x", 100_000) + "\n" + times(500, "\n", func(i int) string { return fmt.Sprintf("  k%d: *a", i) }), 413, "aliases", 16},
		{"aliases in what is applied", "PATCH", maps + "/x?fieldManager=a", asApply, "metadata: {name: x}\ndata:\n  a: &a " + strings.Repeat("x", 100_000) + "\n" + times(500, "\n", func(i int) string { return fmt.Sprintf("  k%d: *a", i) }), 413, "aliases", 16},
		{"a long quantity", "POST", somePods, asJSON, cpu(`"1` + strings.Repeat("0", 40_000) + `"`), 400, "quantity", 8},
		{"a quantity with a long exponent", "POST", somePods, asJSON, cpu(`"1e-10000000"`), 400, "quantity", 8},
		{"a quantity with a long exponent in YAML", "POST", somePods, asYAML, "metadata: {name: x}\nspec: {containers: [{name: c, resources: {limits: {cpu: \"1e-10000000\"}}}]}", 400, "quantity", 8},
		{"a quantity that is merged", "PATCH", somePods + "/p", asMerge, `{"spec":{"overhead":{"cpu":"1e-10000000"}}}`, 422, "quantity", 8},
		{"a quantity that is added", "PATCH", somePods + "/p", asPatch, `[{"op":"add","path":"/spec/overhead","value":{"cpu":"1e-10000000"}}]`, 422, "quantity", 8},
		{"a quantity that is merged strategically", "PATCH", somePods + "/p", asStrategic, `{"spec":{"overhead":{"cpu":"1e-10000000"}}}`, 400, "quantity", 8},
		{"a quantity that is applied", "PATCH", somePods + "/p?fieldManager=a", asApply, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"overhead":{"cpu":"1e-10000000"}}}`, 400, "quantity", 8},
		{"a selector of many requirements", "GET", maps + "?labelSelector=" + times(3000, ",", func(i int) string { return fmt.Sprintf("!a%d", i) }), "", "", 400, "too many requirements", 16},
		{"a selector of many values", "GET", maps + "?watch=1&labelSelector=a+in+(" + times(3000, ",", func(i int) string { return fmt.Sprintf("a%d", i) }) + ")", "", "", 400, "too many requirements", 16},
		{"a selector of many fields", "GET", maps + "?fieldSelector=" + times(3000, ",", always("metadata.name!=a")), "", "", 400, "too many requirements", 16},
		{"a query of many parameters", "POST", maps + "?dryRun=All&" + times(10_000, "&", always("a")), asJSON, `{"metadata":{"name":"x"}}`, 400, "at most 10000", 8},
		{"many fields to own", "PATCH", maps + "/x?fieldManager=a", asApply, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{` + times(20_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) }) + `}}`, 413, "more than 16000 fields", 24},
		{"many fields, owned by one who says so", "POST", maps, asJSON, `{"metadata":{"name":"x","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{` +
			times(30_000, ",", func(i int) string { return fmt.Sprintf(`"f:%06d":{}`, 30_000-i) }) + `}}]}}`, 413, "more than 16000 fields", 24},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(&raw{t, r.host, r.http}) })
	}
}

// TestAnswersAreBounded: what a body has wrong or unwise in it is named as far as a reader
// goes.
func TestAnswersAreBounded(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	containers := func(image string) string {
		return `{"metadata":{"name":"p"},"spec":{"containers":[` + times(8000, ",", func(i int) string { return fmt.Sprintf(`{"name":"c%d","image":"%s"}`, i, image) }) + `]}}`
	}
	invalid := cost{"", "POST", somePods, asJSON, containers(" i"), 422, ", and 7000 more", 200}
	invalid.check(r)
	aliases := `{"metadata":{"name":"p"},"spec":{"hostAliases":[` + times(5000, ",", func(i int) string { return fmt.Sprintf(`{"ip":"2001:0db8::%d"}`, i%200) }) + `],"containers":[{"name":"c","image":"i"}]}}`
	resp, answer := r.do("POST", somePods, asJSON, aliases)
	length := 0
	for _, w := range resp.Header["Warning"] {
		length += len(w)
	}
	if n := len(resp.Header["Warning"]); resp.StatusCode != http.StatusCreated || n < 10 || length > 8<<10 {
		t.Errorf("%d warnings of %d bytes, with %d %.300s", n, length, resp.StatusCode, answer)
	}
	for _, c := range []struct {
		name     string
		unknown  []string
		from, to int // the length of the first warning
	}{
		{"long ones are whole", []string{strings.Repeat("a", 1000), "b"}, 1000, 1050},
		{"unless there are many", []string{strings.Repeat("a", 3000), strings.Repeat("b", 3000)}, 256, 300},
	} {
		body := times(len(c.unknown), ",", func(i int) string { return fmt.Sprintf(`"%s":1`, c.unknown[i]) })
		resp, _ := r.do("POST", maps+"?dryRun=All", asJSON, `{"metadata":{"name":"m"},`+body+`}`)
		if w := resp.Header["Warning"]; len(w) != 2 || len(w[0]) < c.from || len(w[0]) > c.to {
			t.Errorf("%s: %d, the first of %d bytes", c.name, len(w), len(w[0]))
		}
	}
}

// TestManyFieldsOfAnObject: server-side apply is refused for an object that has too many
// fields, be they there before or applied. Other writes keep their owners at a price that does
// not grow faster than the fields, so that they pass.
func TestManyFieldsOfAnObject(t *testing.T) {
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	data := times(20_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) })
	object := func(name, data string) string {
		return `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"` + name + `"},"data":{` + data + `}}`
	}
	for _, c := range []cost{
		{"create with many", "POST", maps, asJSON, object("many", data), 201, "", 100},
		{"update it", "PUT", maps + "/many", asJSON, object("many", data+`,"a":"b"`), 200, "", 100},
		{"apply to it", "PATCH", maps + "/many?fieldManager=a", asApply, object("many", `"a":"b"`), 413, "more than 16000 fields", 100},
		{"apply a few", "PATCH", maps + "/few?fieldManager=a", asApply, object("few", `"a":"b"`), 201, "", 300},
		{"update to many", "PUT", maps + "/few", asJSON, object("few", data), 200, "", 100},
		{"merge many", "PATCH", maps + "/few", asMerge, `{"data":{` + data + `}}`, 200, "", 100},
		{"apply to what has become many", "PATCH", maps + "/few?fieldManager=a", asApply, object("few", `"a":"b"`), 413, "more than 16000 fields", 100},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(&raw{t, r.host, r.http}) })
	}
}

// TestLargeObjects: what tools write passes.
func TestLargeObjects(t *testing.T) {
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	text := strings.Repeat("x", 100)
	data := times(9000, ",", func(i int) string { return fmt.Sprintf(`"key-%d":"%s"`, i, text) })
	definition := "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: yaml\ndata:\n" + times(14_000, "\n", func(i int) string {
		return fmt.Sprintf("  # a comment, and one more\n  key-%d: some text", i)
	})
	table := "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: table\ndata:\n  csv: |\n" + times(30_000, "\n", always("    12,text - and more"))
	for _, c := range []cost{
		{"a ConfigMap of many keys", "POST", maps, asJSON, `{"metadata":{"name":"keys"},"data":{` + data + `}}`, 201, "", 200},
		{"the same, applied", "PATCH", maps + "/applied?fieldManager=a", asApply, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"applied"},"data":{` + data + `}}`, 201, "", 300},
		{"a Secret of a megabyte", "POST", "/api/v1/namespaces/default/secrets", asJSON, `{"metadata":{"name":"release"},"type":"helm.sh/release.v1","data":{"release":"` + strings.Repeat("SDRz", 340_000) + `"}}`, 201, "", 100},
		{"long YAML", "POST", maps, asYAML, definition, 201, "", 200},
		{"YAML with a long text", "POST", maps, asYAML, table, 201, "", 200},
		{"a patch of many operations", "PATCH", maps + "/keys", asPatch, "[" + times(9000, ",", func(i int) string {
			return fmt.Sprintf(`{"op":"replace","path":"/data/key-%d","value":"y"}`, i)
		}) + "]", 200, "", 200},
		{"YAML with an alias", "POST", maps, asYAML, "metadata: {name: alias}\ndata:\n  a: &a x\n  b: *a", 201, `"b":"x"`, 8},
		{"YAML with a key twice", "POST", maps + "?fieldValidation=Strict", asYAML, "metadata: {name: twice}\ndata: {a: b, a: c}", 400, `key \"a\" already set in map`, 8},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(&raw{t, r.host, r.http}) })
	}
	many := times(15_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) })
	for i, code := range []int{201, 200, 200} { // each time by another manager
		c := cost{"", "PATCH", fmt.Sprintf("%s/often?fieldManager=m%d", maps, i), asApply, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"often"},"data":{` + many + `}}`, code, "", 200}
		c.check(r)
	}
	endpoints := corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "e"}, Subsets: []corev1.EndpointSubset{{Ports: []corev1.EndpointPort{{Port: 1}}}}}
	for i := range 1000 {
		endpoints.Subsets[0].Addresses = append(endpoints.Subsets[0].Addresses, corev1.EndpointAddress{IP: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "p"}})
	}
	if _, err := clientset(t, cfg).CoreV1().Endpoints("default").Create(within(t), &endpoints, metav1.CreateOptions{}); err != nil {
		t.Errorf("as many endpoints as the controller writes: %v", err)
	}
}
