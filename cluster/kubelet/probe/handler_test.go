package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// An HTTP hook succeeds with any answer. One that asks for HTTPS where HTTP is spoken is asked again by HTTP, without credentials, with an
// event. Where nobody answers it fails.
func TestHTTPHandler(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		action       v1.HTTPGetAction
		asked, event string
		fails        bool
	}{
		{action: v1.HTTPGetAction{Path: "/plain"}, asked: "/plain secret"},
		{
			action: v1.HTTPGetAction{Path: "/tls", Scheme: v1.URISchemeHTTPS}, asked: "/tls ",
			event: "Warning LifecycleHTTPFallback request to HTTPS lifecycle hook " + address + " got HTTP response, retry with HTTP succeeded",
		},
		{action: v1.HTTPGetAction{Path: "/nobody", Host: "127.0.0.9"}, fails: true},
	} {
		asked = nil
		var events []string
		tt.action.Port = intstr.FromInt(number)
		tt.action.HTTPHeaders = []v1.HTTPHeader{{Name: "Authorization", Value: "secret"}}
		err := RunHandler(t.Context(), nil, &v1.LifecycleHandler{HTTPGet: &tt.action}, Target{PodIP: "127.0.0.1", Container: &v1.Container{}}, func(kind, reason, message string) {
			events = append(events, kind+" "+reason+" "+message)
		})
		if (err != nil) != tt.fails || strings.Join(asked, ",") != tt.asked || strings.Join(events, ",") != tt.event {
			t.Errorf("%s: %v, asked %q, events %q", tt.action.Path, err, asked, events)
		}
	}
}
