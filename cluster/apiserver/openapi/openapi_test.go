package openapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/spec3"
	explain "k8s.io/kubectl/pkg/explain/v2"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
)

func allKinds() []*api.Kind { return builtin.Table().Served() }

func v3(t *testing.T, path string) *spec3.OpenAPI {
	t.Helper()
	docs, err := V3(allKinds())
	if err != nil {
		t.Fatal(err)
	}
	b, ok := docs[path]
	if !ok {
		t.Fatalf("no document %q among %v", path, slices.Sorted(maps.Keys(docs)))
	}
	var out spec3.OpenAPI
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return &out
}

func TestV3DescribesPod(t *testing.T) {
	d := v3(t, "api/v1")
	spec := d.Components.Schemas["io.k8s.api.core.v1.PodSpec"]
	if spec == nil {
		t.Fatal("no schema for PodSpec")
	}
	if !slices.Equal(spec.Required, []string{"containers"}) {
		t.Errorf("required of PodSpec: %v, want containers", spec.Required)
	}
	containers := spec.Properties["containers"]
	for key, want := range map[string]any{
		"x-kubernetes-patch-strategy":  "merge",
		"x-kubernetes-patch-merge-key": "name",
		"x-kubernetes-list-type":       "map",
	} {
		if got := containers.Extensions[key]; got != want {
			t.Errorf("containers: %s is %v, want %v", key, got, want)
		}
	}
	ports := d.Components.Schemas["io.k8s.api.core.v1.Container"].Properties["ports"]
	if got := ports.Extensions["x-kubernetes-list-map-keys"]; !slices.Equal(got.([]any), []any{"containerPort", "protocol"}) {
		t.Errorf("ports: x-kubernetes-list-map-keys is %v", got)
	}
	if !strings.Contains(containers.Description, "List of containers belonging to the pod") {
		t.Errorf("containers: description is %q", containers.Description)
	}
	pull := d.Components.Schemas["io.k8s.api.core.v1.Container"].Properties["imagePullPolicy"]
	if len(pull.Enum) != 3 {
		t.Errorf("imagePullPolicy: enum is %v", pull.Enum)
	}
	q := d.Components.Schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]
	if len(q.OneOf) != 2 {
		t.Errorf("Quantity: %+v, want a string or a number", q)
	}
}

// What the comments of the Go types say is in the schemas, as in those of kube-apiserver 1.36.3.
func TestV3HasDefaultsAndEnums(t *testing.T) {
	core := v3(t, "api/v1").Components.Schemas
	for _, c := range []struct{ name, want string }{
		{"Container.imagePullPolicy", `{"description":"Image pull policy. One of Always, Never, IfNotPresent. Defaults to Always if :latest tag is specified, or IfNotPresent otherwise. Cannot be updated. More info: https://kubernetes.io/docs/concepts/containers/images#updating-images\n\nPossible enum values:\n - ` + "`\\\"Always\\\"`" + ` means that kubelet always attempts to pull the latest image. Container will fail If the pull fails.\n - ` + "`\\\"IfNotPresent\\\"`" + ` means that kubelet pulls if the image isn't present on disk. Container will fail if the image isn't present and the pull fails.\n - ` + "`\\\"Never\\\"`" + ` means that kubelet never pulls an image, but only uses a local image. Container will fail if the image isn't present","type":"string","enum":["Always","IfNotPresent","Never"]}`},
		{"ContainerPort.protocol", `"default":"TCP"`},
		{"ContainerPort.containerPort", `"default":0`},
		{"Container.name", `"default":""`},
		{"Pod.spec", `"default":{},"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodSpec"}]`},
		{"PodSpec.containers", `"items":{"default":{},"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.Container"}]}`},
		{"PodSpec.nodeSelector", `"additionalProperties":{"type":"string","default":""},"x-kubernetes-map-type":"atomic"`},
		{"PodSpec.securityContext", `"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodSecurityContext"}]`},
		{"Toleration.operator", `"enum":["Equal","Exists","Gt","Lt"]`},
		{"TopologySpreadConstraint.maxSkew", "zone1"},
	} {
		of, field, _ := strings.Cut(c.name, ".")
		p := core["io.k8s.api.core.v1."+of].Properties[field]
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), c.want) {
			t.Errorf("%s: %s\nwant %s", c.name, b, c.want)
		}
	}
	if r := core["io.k8s.api.core.v1.ContainerRestartRule"].Required; !slices.Equal(r, []string{"action"}) {
		t.Errorf("required of ContainerRestartRule: %v", r)
	}
	if d := core["io.k8s.apimachinery.pkg.apis.meta.v1.Time"].Description; d == "" {
		t.Error("no description of Time")
	}
	claim, ok := v3(t, "apis/apps/v1").Components.Schemas["io.k8s.api.core.v1.PersistentVolumeClaim"].Extensions["x-kubernetes-group-version-kind"].([]any)
	if !ok || len(claim) != 1 {
		t.Errorf("the kind of a claim within another group: %v", claim)
	}
}

// Every reference must lead somewhere, in all documents.
func TestReferencesResolve(t *testing.T) {
	docs, err := V3(allKinds())
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range docs {
		var d map[string]any
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		defined := d["components"].(map[string]any)["schemas"].(map[string]any)
		for _, ref := range refs(d) {
			name, ok := strings.CutPrefix(ref, "#/components/schemas/")
			if s, there := defined[name].(map[string]any); !ok || !there || len(s) == 0 {
				t.Errorf("%s: %s leads nowhere", path, ref)
			}
		}
	}
}

func refs(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for k, sub := range v {
			if s, ok := sub.(string); ok && k == "$ref" {
				out = append(out, s)
			}
			out = append(out, refs(sub)...)
		}
	case []any:
		for _, sub := range v {
			out = append(out, refs(sub)...)
		}
	}
	return out
}

func TestOperationIDsAreUnique(t *testing.T) {
	b, _, err := V2(allKinds())
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for path, methods := range d.Paths {
		for m, raw := range methods {
			if m == "parameters" {
				continue
			}
			var o struct{ OperationID string }
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			if other, twice := seen[o.OperationID]; twice {
				t.Errorf("%s: of %s %s and of %s", o.OperationID, m, path, other)
			}
			seen[o.OperationID] = m + " " + path
		}
	}
	for id, want := range map[string]string{ // generated clients take their methods from them
		"createCoreV1NamespacedPod":                             "post /api/v1/namespaces/{namespace}/pods",
		"patchCoreV1Node":                                       "patch /api/v1/nodes/{name}",
		"readCoreV1NamespacedPodStatus":                         "get /api/v1/namespaces/{namespace}/pods/{name}/status",
		"readCoreV1NamespacedPodLog":                            "get /api/v1/namespaces/{namespace}/pods/{name}/log",
		"createCoreV1NamespacedPodEviction":                     "post /api/v1/namespaces/{namespace}/pods/{name}/eviction",
		"connectCoreV1PostNamespacedPodExec":                    "post /api/v1/namespaces/{namespace}/pods/{name}/exec",
		"connectCoreV1HeadNodeProxyWithPath":                    "head /api/v1/nodes/{name}/proxy/{path}",
		"listCoreV1PodForAllNamespaces":                         "get /api/v1/pods",
		"watchCoreV1PodListForAllNamespaces":                    "get /api/v1/watch/pods",
		"watchAppsV1NamespacedDeployment":                       "get /apis/apps/v1/watch/namespaces/{namespace}/deployments/{name}",
		"deleteCoreV1CollectionNamespacedConfigMap":             "delete /api/v1/namespaces/{namespace}/configmaps",
		"listRbacAuthorizationV1ClusterRole":                    "get /apis/rbac.authorization.k8s.io/v1/clusterroles",
		"replaceAutoscalingV2NamespacedHorizontalPodAutoscaler": "put /apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}",
		"getAppsV1APIResources":                                 "get /apis/apps/v1/",
		"getRbacAuthorizationAPIGroup":                          "get /apis/rbac.authorization.k8s.io/",
		"getCodeVersion":                                        "get /version/",
	} {
		if seen[id] != want {
			t.Errorf("operation %s is %q, want %q", id, seen[id], want)
		}
	}
}

func TestV2Protobuf(t *testing.T) {
	_, b, err := V2(allKinds())
	if err != nil {
		t.Fatal(err)
	}
	var d openapi_v2.Document
	if err := proto.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Definitions.AdditionalProperties {
		if s.Name == "io.k8s.api.core.v1.Pod" {
			return
		}
	}
	t.Error("Pod is not defined")
}

// What kubectl does before it sends a manifest: does PATCH of the kind take fieldValidation?
func TestClientFindsFieldValidation(t *testing.T) {
	s := httptest.NewServer(Handler(builtin.Table()))
	defer s.Close()
	c, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for name, verify := range map[string]resource.Verifier{
		"v3 fieldValidation": resource.NewQueryParamVerifierV3(nil, c.OpenAPIV3(), resource.QueryParamFieldValidation),
		"v2 fieldValidation": resource.NewQueryParamVerifier(nil, c, resource.QueryParamFieldValidation),
	} {
		for _, gvk := range []schema.GroupVersionKind{
			{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Namespace"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
		} {
			if err := verify.HasSupport(gvk); err != nil {
				t.Errorf("%s of %s: %v", name, gvk.Kind, err)
			}
		}
	}
}

// What `kubectl explain` prints, by kubectl's own code.
func TestExplain(t *testing.T) {
	s := httptest.NewServer(Handler(builtin.Table()))
	defer s.Close()
	c, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []struct {
		group, resource, path string
		recursive             bool
		want                  []string
	}{
		{"", "pods", "spec.containers", true, []string{"KIND:       Pod", "FIELD: containers <[]Container>", "name\t<string> -required-", "containerPort\t<integer> -required-", "enum: Always, IfNotPresent, Never"}},
		{"", "services", "spec.type", false, []string{"ENUM:", "NodePort"}},
		{"", "pods", "spec.containers.resources.limits", false, []string{"FIELD: limits <map[string]Quantity>"}},
		{"", "replicationcontrollers", "", false, []string{"KIND:       ReplicationController", "spec\t<ReplicationControllerSpec>"}},
		{"rbac.authorization.k8s.io", "clusterroles", "rules", false, []string{"GROUP:      rbac.authorization.k8s.io", "verbs\t<[]string> -required-"}},
		{"events.k8s.io", "events", "", false, []string{"regarding\t<ObjectReference>", "eventTime\t<string> -required-"}},
	} {
		var out strings.Builder
		var path []string
		if e.path != "" {
			path = strings.Split(e.path, ".")
		}
		gvr := schema.GroupVersionResource{Group: e.group, Version: "v1", Resource: e.resource}
		if err := explain.PrintModelDescription(path, &out, c.OpenAPIV3(), gvr, e.recursive, "plaintext"); err != nil {
			t.Errorf("explain %s.%s: %v", e.resource, e.path, err)
			continue
		}
		for _, want := range e.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("explain %s.%s does not say %q:\n%s", e.resource, e.path, want, out.String())
			}
		}
	}
}

func TestHandlerCaches(t *testing.T) {
	h := Handler(builtin.Table())
	get := func(url string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(get("/openapi/v3").Body.Bytes(), &index); err != nil {
		t.Fatal(err)
	}
	url := index.Paths["api/v1"].ServerRelativeURL
	w := get(url)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d, Cache-Control %q", url, w.Code, w.Header().Get("Cache-Control"))
	}
	if w := get("/openapi/v3/api/v1", "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("with the ETag: %d, want 304", w.Code)
	}
	if w := get("/openapi/v3/api/v1?hash=old"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != url {
		t.Errorf("with an old hash: %d to %q, want 301 to %q", w.Code, w.Header().Get("Location"), url)
	}
	if w := get("/openapi/v3/apis/none/v1"); w.Code != http.StatusNotFound {
		t.Errorf("unknown group: %d, want 404", w.Code)
	}
	if w := get("/openapi/v2", "Accept", v2Asked); w.Header().Get("Content-Type") != v2Answer {
		t.Errorf("v2 as protobuf: %q", w.Header().Get("Content-Type"))
	}
}

func BenchmarkV3(b *testing.B) {
	for b.Loop() {
		if _, err := V3(allKinds()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkV2(b *testing.B) {
	for b.Loop() {
		if _, _, err := V2(allKinds()); err != nil {
			b.Fatal(err)
		}
	}
}

// Which types are unions is in both documents, as upstream has it.
func TestUnions(t *testing.T) {
	const profile = `[{"discriminator":"type","fields-to-discriminateBy":{"localhostProfile":"LocalhostProfile"}}]`
	want := map[string]string{
		"io.k8s.api.core.v1.AppArmorProfile":    profile,
		"io.k8s.api.core.v1.SeccompProfile":     profile,
		"io.k8s.api.core.v1.PodSchedulingGroup": `[{"fields-to-discriminateBy":{"podGroupName":"PodGroupName"}}]`,
		"io.k8s.api.core.v1.Pod":                `null`,
	}
	body, _, err := V2(allKinds())
	if err != nil {
		t.Fatal(err)
	}
	var second struct {
		Definitions map[string]map[string]any
	}
	if err := json.Unmarshal(body, &second); err != nil {
		t.Fatal(err)
	}
	third := v3(t, "api/v1").Components.Schemas
	for name, want := range want {
		for version, unions := range map[string]any{"v2": second.Definitions[name]["x-kubernetes-unions"], "v3": third[name].Extensions["x-kubernetes-unions"]} {
			if got, err := json.Marshal(unions); err != nil || string(got) != want {
				t.Errorf("%s in %s: %s, %v, want %s", name, version, got, err, want)
			}
		}
	}
}
