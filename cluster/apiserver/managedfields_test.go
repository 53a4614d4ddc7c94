package apiserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/apitest"
)

const deployments = "/apis/apps/v1/namespaces/default/deployments"

// owners returns the entries of an object in an answer: "manager Operation version/subresource", with
// the fields.
func (r *raw) owners(body string) map[string]string {
	r.t.Helper()
	var obj metav1.PartialObjectMetadata
	if err := json.Unmarshal([]byte(body), &obj); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range obj.ManagedFields {
		if e.FieldsType != "FieldsV1" || e.FieldsV1 == nil {
			r.t.Errorf("an entry without fields: %+v", e)
			continue
		}
		all[strings.TrimSuffix(fmt.Sprintf("%s %s %s/%s", e.Manager, e.Operation, e.APIVersion, e.Subresource), "/")] = string(e.FieldsV1.Raw)
	}
	return all
}

// own sends a write that must succeed, and compares the owners of the object afterwards.
func (r *raw) own(method, path, contentType, body string, want ...string) {
	r.t.Helper()
	resp, answer := r.do(method, path, contentType, body)
	if resp.StatusCode >= 300 {
		r.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	r.has(answer, want...)
}

func (r *raw) has(answer string, want ...string) {
	r.t.Helper()
	var got []string
	for who, fields := range r.owners(answer) {
		got = append(got, who+" "+fields)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("owners:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func mapOf(name, data string) string {
	return `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"` + name + `"},"data":{` + data + `}}`
}

// TestOwners: each writer owns what it has set, from create on.
func TestOwners(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const a, b, ab = `{"f:data":{".":{},"f:a":{}}}`, `{"f:data":{"f:b":{}}}`, `{"f:data":{".":{},"f:a":{},"f:b":{}}}`
	r.own("POST", maps+"?fieldManager=one", asJSON, mapOf("m", `"a":"1"`), "one Update v1 "+a)
	r.own("PATCH", maps+"/m?fieldManager=two", asMerge, `{"data":{"b":"1"}}`, "one Update v1 "+a, "two Update v1 "+b)
	r.own("PUT", maps+"/m?fieldManager=three", asJSON, mapOf("m", `"a":"1","b":"2"`), "one Update v1 "+a, "three Update v1 "+b)
	r.own("PATCH", maps+"/m?fieldManager=four", asMerge, `{"data":{"b":"2"}}`, "one Update v1 "+a, "three Update v1 "+b)
	r.own("PATCH", maps+"/m?fieldManager=one", asMerge, `{"data":{"b":"3"}}`, "one Update v1 "+ab)
	r.own("PATCH", maps+"/m?fieldManager=four", asMerge, `{"data":{"b":null}}`, "one Update v1 "+a)
	r.own("PATCH", maps+"/m?fieldManager=ssa&force=true", asApply, mapOf("m", `"a":"9"`), "ssa Apply v1 "+`{"f:data":{"f:a":{}}}`, `one Update v1 {"f:data":{}}`)
	r.own("GET", maps+"/m", "", "", "ssa Apply v1 "+`{"f:data":{"f:a":{}}}`, `one Update v1 {"f:data":{}}`)
}

// TestOwnersWithoutName: a client that gives no name is known by its user agent.
func TestOwnersWithoutName(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for agent, want := range map[string]string{
		"kubectl/v1.36 (linux)": "kubectl", "a tool": "a tool", "über/1": "über", strings.Repeat("é", 100): strings.Repeat("é", 64),
	} {
		_, body := r.do("POST", maps, asJSON, mapOf(fmt.Sprintf("m%d", len(agent)), `"a":"b"`), "User-Agent", agent)
		r.has(body, want+` Update v1 {"f:data":{".":{},"f:a":{}}}`)
	}
}

// TestOwnersOfSubresources: the first apply to the status leaves the spec to its owner.
func TestOwnersOfSubresources(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	deployment := func(spec string) string {
		return `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{` + spec + `,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	}
	_, body := r.do("POST", deployments+"?fieldManager=creator", asJSON, deployment(`"replicas":1`))
	spec := r.owners(body)["creator Update apps/v1"]
	condition := `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"status":{"conditions":[{"type":"X","status":"True","reason":"r","message":"m"}]}}`
	status := `{"f:status":{"f:conditions":{"k:{\"type\":\"X\"}":{".":{},"f:message":{},"f:reason":{},"f:status":{},"f:type":{}}}}}`
	r.own("PATCH", deployments+"/d/status?fieldManager=st", asApply, condition, "creator Update apps/v1 "+spec, "st Apply apps/v1/status "+status)
	resp, body := r.do("PATCH", deployments+"/d?fieldManager=a", asApply, deployment(`"replicas":3`))
	if resp.StatusCode != 409 || !strings.Contains(body, `Apply failed with 1 conflict: conflict with \"creator\" using apps/v1: .spec.replicas`) {
		t.Errorf("a conflict with the creator: %d %s", resp.StatusCode, body)
	}
	r.own("PATCH", deployments+"/d/status?fieldManager=u", asMerge, `{"spec":{"replicas":7},"metadata":{"labels":{"no":"x"},"annotations":{"yes":"x"}},"status":{"replicas":2}}`,
		"creator Update apps/v1 "+spec, "st Apply apps/v1/status "+status, `u Update apps/v1/status {"f:metadata":{"f:annotations":{".":{},"f:yes":{}}},"f:status":{"f:replicas":{}}}`)
}

// TestOwnersOfScale: replicas have an owner by way of /scale too.
func TestOwnersOfScale(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	r.do("POST", deployments+"?fieldManager=creator", asJSON, `{"metadata":{"name":"d"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	scale := func(n int) string {
		return fmt.Sprintf(`{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"d"},"spec":{"replicas":%d}}`, n)
	}
	owner := func() (found []string) {
		_, body := r.do("GET", deployments+"/d", "", "")
		for who, fields := range r.owners(body) {
			if strings.Contains(fields, `"f:spec":{"f:replicas"`) || strings.Contains(fields, `"f:replicas":{},`) {
				found = append(found, who)
			}
		}
		slices.Sort(found)
		return found
	}
	resp, body := r.do("PATCH", deployments+"/d/scale?fieldManager=one", asApply, scale(3))
	if resp.StatusCode != 409 || !strings.Contains(body, `conflict with \"creator\" using autoscaling/v1: .spec.replicas`) {
		t.Errorf("a conflict with the creator: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.do("PATCH", deployments+"/d/scale?fieldManager=one&force=true", asApply, scale(3)); resp.StatusCode != 200 || !slices.Equal(owner(), []string{"one Apply apps/v1/scale"}) {
		t.Errorf("by force: %d %s, now of %v", resp.StatusCode, body, owner())
	}
	resp, body = r.do("PATCH", deployments+"/d/scale?fieldManager=two", asApply, scale(4))
	if resp.StatusCode != 409 || !strings.Contains(body, `conflict with \"one\" with subresource \"scale\": .spec.replicas`) {
		t.Errorf("a conflict with another scale: %d %s", resp.StatusCode, body)
	}
	if resp, _ := r.do("PATCH", deployments+"/d/scale?fieldManager=hpa", asMerge, `{"spec":{"replicas":5}}`); resp.StatusCode != 200 || !slices.Equal(owner(), []string{"hpa Update apps/v1/scale"}) {
		t.Errorf("an update of the scale: now of %v", owner())
	}
	if resp, body := r.do("PATCH", deployments+"/d/scale?fieldManager=two", asApply, `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"d"},"spec":{"nope":1}}`); resp.StatusCode != 400 || !strings.Contains(body, "field not declared in schema") {
		t.Errorf("an unknown field: %d %s", resp.StatusCode, body)
	}
}

// TestOwnersOfPods: a binding and a deletion are nobody's, the other subresources have their name.
func TestOwnersOfPods(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	_, body := r.do("POST", somePods+"?fieldManager=creator", asJSON, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}`)
	creator := "creator Update v1 " + r.owners(body)["creator Update v1"]
	r.own("PATCH", somePods+"/p/ephemeralcontainers?fieldManager=debug", asStrategic, `{"spec":{"ephemeralContainers":[{"name":"e","image":"x"}]}}`, creator,
		`debug Update v1/ephemeralcontainers {"f:spec":{"f:ephemeralContainers":{".":{},"k:{\"name\":\"e\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}}}}`)
	r.do("POST", somePods+"/p/binding?fieldManager=scheduler", asJSON, `{"kind":"Binding","apiVersion":"v1","metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}`)
	r.do("DELETE", somePods+"/p?gracePeriodSeconds=30", "", "")
	_, body = r.do("GET", somePods+"/p", "", "")
	if n := len(r.owners(body)); n != 2 || !strings.Contains(body, `"nodeName":"n"`) || !strings.Contains(body, "deletionTimestamp") {
		t.Errorf("%d owners after binding and deletion: %s", n, body)
	}
	r.do("PATCH", somePods+"/p/resize?fieldManager=vpa", asStrategic, `{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}`)
	_, body = r.do("PATCH", somePods+"/p/status?fieldManager=kubelet", asStrategic, `{"status":{"phase":"Running"},"spec":{"nodeName":"x"}}`)
	if o := r.owners(body); o["kubelet Update v1/status"] != `{"f:status":{"f:phase":{}}}` || !strings.Contains(o["vpa Update v1/resize"], "f:requests") {
		t.Errorf("after a resize and a status: %v", o)
	}
}

// TestForgetOwners: the documented ways to clear managedFields. What is no list of entries is ignored.
func TestForgetOwners(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const one = `one Update v1 {"f:data":{".":{},"f:a":{}}}`
	const valid = `{"manager":"x","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}}`
	for name, c := range map[string]struct {
		contentType, patch string
		want               []string
	}{
		"empty-entry":     {asMerge, `{"metadata":{"managedFields":[{}]}}`, nil},
		"empty-list":      {asMerge, `{"metadata":{"managedFields":[]}}`, nil},
		"json-entry":      {asPatch, `[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`, nil},
		"json-list":       {asPatch, `[{"op":"replace","path":"/metadata/managedFields","value":[]}]`, nil},
		"strategic-entry": {asStrategic, `{"metadata":{"managedFields":[{}]}}`, nil},
		"left-out":        {asPatch, `[{"op":"remove","path":"/metadata/managedFields"}]`, []string{one}},
		"null":            {asMerge, `{"metadata":{"managedFields":null}}`, []string{one}},
		"two-empty":       {asMerge, `{"metadata":{"managedFields":[{},{}]}}`, []string{one}},
		"no-operation":    {asMerge, `{"metadata":{"managedFields":[{"manager":"x","apiVersion":"v1"}]}}`, []string{one}},
		"no-fields":       {asMerge, `{"metadata":{"managedFields":[{"manager":"x","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"x":{}}}]}}`, []string{one}},
		"no-version":      {asMerge, `{"metadata":{"managedFields":[{"manager":"x","operation":"Update","apiVersion":"v7","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}}]}}`, nil},
		"others":          {asMerge, `{"metadata":{"managedFields":[` + valid + `]}}`, []string{`x Update v1 {"f:data":{"f:a":{}}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &raw{t, r.host, r.http}
			r.own("POST", maps+"?fieldManager=one", asJSON, mapOf(name, `"a":"1"`), one)
			r.own("PATCH", maps+"/"+name+"?fieldManager=two", c.contentType, c.patch, c.want...)
			if c.want == nil { // then nothing is tracked, until the next apply
				r.own("PATCH", maps+"/"+name+"?fieldManager=two", asMerge, `{"data":{"a":"2"}}`)
				resp, body := r.do("PATCH", maps+"/"+name+"?fieldManager=three", asApply, mapOf(name, `"a":"3"`))
				if resp.StatusCode != 409 || !strings.Contains(body, `conflict with \"before-first-apply\" using v1`) {
					t.Errorf("the first apply: %d %s", resp.StatusCode, body)
				}
			}
		})
	}
	for i, sent := range []string{`[{}]`, `[]`, `null`, `[{"manager":"x"}]`, `[{"operation":"Bad","apiVersion":"v1"}]`} {
		r.own("POST", maps+"?fieldManager=one", asJSON, fmt.Sprintf(`{"metadata":{"name":"new%d","managedFields":%s},"data":{"a":"1"}}`, i, sent), one)
	}
	r.own("POST", maps+"?fieldManager=one", asJSON, `{"metadata":{"name":"given","managedFields":[`+valid+`]},"data":{"a":"1"}}`, one)
	if resp, body := r.do("PATCH", maps+"/given?fieldManager=a", asApply, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"given","managedFields":[`+valid+`]}}`); resp.StatusCode != 400 || !strings.Contains(body, "metadata.managedFields must be nil") {
		t.Errorf("applied managedFields: %d %s", resp.StatusCode, body)
	}
}

// TestManyOwners: there are at most ten entries of updates; the oldest are merged.
func TestManyOwners(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	r.do("POST", maps+"?fieldManager=m00", asJSON, mapOf("m", `"k00":""`))
	var body string
	for i := 1; i < 15; i++ {
		_, body = r.do("PATCH", fmt.Sprintf("%s/m?fieldManager=m%02d", maps, i), asMerge, fmt.Sprintf(`{"data":{"k%02d":""}}`, i))
	}
	owners := r.owners(body)
	if old := owners["ancient-changes Update v1"]; len(owners) != 10 || strings.Count(old, `"f:k`) != 6 {
		t.Errorf("%d owners, the oldest of %s", len(owners), old)
	}
}

// TestOwnersOfDryRuns: a dry run shows owners and keeps none.
func TestOwnersOfDryRuns(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const one = `one Update v1 {"f:data":{".":{},"f:a":{}}}`
	r.own("POST", maps+"?fieldManager=one&dryRun=All", asJSON, mapOf("m", `"a":"1"`), one)
	r.own("POST", maps+"?fieldManager=one", asJSON, mapOf("m", `"a":"1"`), one)
	r.own("PATCH", maps+"/m?fieldManager=two&dryRun=All", asMerge, `{"data":{"b":"2"}}`, one, `two Update v1 {"f:data":{"f:b":{}}}`)
	r.own("GET", maps+"/m", "", "", one)
}

// TestOwnersTakeNoRoom: an object that fits without managedFields is stored, without them.
func TestOwnersTakeNoRoom(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	large := times(22_000, ",", func(i int) string { return fmt.Sprintf(`"%0100d":""`, i) })
	resp, body := r.do("POST", maps, asJSON, mapOf("m", large))
	if resp.StatusCode != 201 || len(r.owners(body)) != 0 {
		t.Fatalf("%d %.300s", resp.StatusCode, body)
	}
	r.do("POST", maps, asJSON, mapOf("grows", `"a":"b"`))
	resp, body = r.do("PATCH", maps+"/grows", asMerge, `{"data":{`+large+`}}`)
	if resp.StatusCode != 200 || len(r.owners(body)) != 0 {
		t.Fatalf("grown: %d %.300s", resp.StatusCode, body)
	}
}

// TestOwnersInForms: lists and watches have them, and so has metadata.
func TestOwnersInForms(t *testing.T) {
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	r.do("POST", maps+"?fieldManager=one", asJSON, mapOf("m", `"a":"1"`))
	resp, body := r.do("GET", maps, "", "")
	if list := into[corev1.ConfigMapList](t, resp, body, 200); len(list.Items) != 1 || len(list.Items[0].ManagedFields) != 1 {
		t.Errorf("in a list: %s", body)
	}
	for _, accept := range []string{"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;as=Table;g=meta.k8s.io;v=v1"} {
		if _, body := r.do("GET", maps+"/m", "", "", "Accept", accept); !strings.Contains(body, `"managedFields":[{"manager":"one"`) {
			t.Errorf("as %s: %s", accept, body)
		}
	}
}

// Who creates an object owns what the version's defaults are, and not what the server fills in for a new object.
func TestOwnersOfWhatTheServerSets(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const services, daemons = "/api/v1/namespaces/default/services", "/apis/apps/v1/namespaces/default/daemonsets"
	service := func(policy string) string {
		return `{"kind":"Service","apiVersion":"v1","metadata":{"name":"s"},"spec":{"clusterIP":"None","selector":{"a":"b"}` + policy + `}}`
	}
	const own = `"f:clusterIP":{},"f:internalTrafficPolicy":{}`
	const rest = `"f:selector":{},"f:sessionAffinity":{},"f:type":{}`
	r.own("POST", services+"?fieldManager=one", asJSON, service(""), `one Update v1 {"f:spec":{`+own+`,`+rest+`}}`)
	r.own("PUT", services+"/s?fieldManager=one", asJSON, service(`,"ipFamilyPolicy":"SingleStack"`), `one Update v1 {"f:spec":{`+own+`,`+rest+`}}`)
	_, answer := r.do("POST", daemons+"?fieldManager=one", asJSON, `{"kind":"DaemonSet","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{
		"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	fields := r.owners(answer)["one Update apps/v1"]
	if !strings.Contains(fields, `{"f:annotations":{".":{},"f:deprecated.daemonset.template.generation":{}}}`) || !strings.Contains(answer, `"deprecated.daemonset.template.generation":"1"`) {
		t.Errorf("fields %s of %s", fields, answer)
	}
}
