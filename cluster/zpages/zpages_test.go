package zpages

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

func handler(t *testing.T) http.Handler {
	t.Helper()
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.String("token", "abc", "")
	set.Int("max-pods", 110, "")
	mux := http.NewServeMux()
	for path, h := range Handlers(Config{Component: "kubelet", Version: "1.36.3", Paths: []string{"/metrics/probes", "/api/v1"}, Flags: Flags(set)}) {
		mux.Handle(path, h)
	}
	return mux
}

func get(t *testing.T, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	handler(t).ServeHTTP(w, r)
	return w
}

func TestText(t *testing.T) {
	for path, want := range map[string]string{
		"/statusz": "kubelet statusz\nWarning: ", "/flagz": "max-pods=110\ntoken=CLASSIFIED\n",
	} {
		for _, accept := range []string{"", "text/plain", "*/*", "application/json, */*"} {
			w := get(t, path, accept)
			if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain" || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s for %q: %d %s", path, accept, w.Code, w.Body)
			}
		}
	}
	body := get(t, "/statusz", "").Body.String()
	for _, want := range []string{"Binary version: 1.36.3\n", "Emulation version: 1.36\n", "Paths: /debug /flagz /metrics /statusz\n", "Up: 0 hr 00 min"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

func TestObjects(t *testing.T) {
	var status, flags map[string]any
	w := get(t, "/statusz", "application/json;as=Statusz;v=v1beta1;g=config.k8s.io")
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil || status["kind"] != "Statusz" || status["apiVersion"] != "config.k8s.io/v1beta1" ||
		status["binaryVersion"] != "1.36.3" || status["metadata"].(map[string]any)["name"] != "kubelet" || w.Header().Get("Warning") != "" {
		t.Errorf("%v %v", status, err)
	}
	w = get(t, "/flagz", "application/yaml;as=Flagz;v=v1alpha1;g=config.k8s.io")
	if err := yaml.Unmarshal(w.Body.Bytes(), &flags); err != nil || flags["flags"].(map[string]any)["max-pods"] != "110" || !strings.Contains(w.Header().Get("Warning"), "deprecated") {
		t.Errorf("%v %v %v", flags, err, w.Header())
	}
	for _, accept := range []string{
		"application/json", "application/json;as=Flagz;v=v1beta1;g=config.k8s.io", "application/json;as=Statusz;v=v1;g=config.k8s.io", "application/vnd.kubernetes.protobuf",
	} {
		if w := get(t, "/statusz", accept); w.Code != http.StatusNotAcceptable {
			t.Errorf("%s: %d %s", accept, w.Code, w.Body)
		}
	}
}

func TestProfiles(t *testing.T) {
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof": 302, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 200, "/debug/pprof/none": 404} {
		if w := get(t, path, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// TestProfileEnds: a profile takes no longer than its request.
func TestProfileEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/pprof/trace?seconds=1000", nil)
	handler(t).ServeHTTP(httptest.NewRecorder(), r)
}
