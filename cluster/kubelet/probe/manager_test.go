package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/wait"
)

// A redirect to another host counts as a success, and an event has what was answered.
func TestRedirectToAnotherHost(t *testing.T) {
	var port string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			w.Header().Set("Location", "http://localhost:"+port+"/never")
			w.WriteHeader(http.StatusFound)
			_, _ = w.Write([]byte("go there"))
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/never":
			t.Error("the redirect was followed")
		}
	}))
	defer server.Close()
	_, port, _ = net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/away": "Warning ProbeWarning Readiness probe warning: Probe terminated redirects, Response body: go there", "/here": "",
	} {
		events, changed := make(chan string, 100), make(chan bool, 100)
		m := NewManager(nil, func(_ *v1.Container, kind, reason, message string) { events <- kind + " " + reason + " " + message }, func() { changed <- true }, nil)
		m.Follow(t.Context(), Target{ID: "c", PodIP: "127.0.0.1", Container: &v1.Container{ReadinessProbe: &v1.Probe{
			PeriodSeconds: 3600, TimeoutSeconds: 60, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromInt(number)}},
		}}}, time.Now(), nil)
		<-changed
		wait.For(t, path+" ready", func() error { return wait.Seen(m.Health("c").Ready, m.Health("c")) })
		m.StopAll()
		close(events)
		if got := <-events; got != want {
			t.Errorf("%s: event %q", path, got)
		}
	}
}

func TestProbeCounting(t *testing.T) {
	c := counter{successes: 2, failures: 3}
	for i, step := range []struct{ in, want result }{
		{success, unknown},
		{success, success},
		{success, success},
		{failure, unknown},
		{failure, unknown},
		{success, unknown},
		{failure, unknown},
		{failure, unknown},
		{unknown, unknown},
		{failure, failure},
		{failure, failure},
		{success, unknown},
		{success, success},
	} {
		if got := c.add(step.in); got != step.want {
			t.Errorf("step %d: %v gives %v, want %v", i, step.in, got, step.want)
		}
	}
}

// What was asked and answered is recorded when the outcome changes, and not each time.
func TestRecordOfOutcomes(t *testing.T) {
	var answers atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := answers.Add(1); n == 3 || n == 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	recorded := make(chan string, 100)
	m := NewManager(nil, func(*v1.Container, string, string, string) {}, func() {}, func(_ time.Time, asked, failed string) { recorded <- asked + ": " + failed })
	m.Follow(t.Context(), Target{ID: "c", PodIP: host, Container: &v1.Container{
		Name: "web", Ports: []v1.ContainerPort{{Name: "http", ContainerPort: int32(number)}}, ReadinessProbe: &v1.Probe{
			PeriodSeconds: 1, TimeoutSeconds: 60, FailureThreshold: 3, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "ready", Port: intstr.FromString("http")}},
		},
	}}, time.Now(), nil)
	defer m.StopAll()
	asked := "readiness probe of container web, GET http://127.0.0.1:" + port + "/ready: "
	for _, want := range []string{asked, asked + "HTTP probe failed with statuscode: 503", asked} {
		if got := <-recorded; got != want {
			t.Fatalf("recorded %q, want %q", got, want)
		}
	}
	if n := answers.Load(); n != 5 {
		t.Errorf("three outcomes in %d probes", n)
	}
}

// A failure with another reason is recorded, so that "connection refused" of the start does not stand for what follows; but
// reasons that never are the same do not fill the record.
func TestRecordOfReasons(t *testing.T) {
	var recorded []string
	m := NewManager(nil, nil, nil, func(_ time.Time, _, failed string) { recorded = append(recorded, failed) })
	var last outcome
	see := func(v result, reason string) { last = m.keep(last, v, time.Now(), "", reason) }
	for _, reason := range []string{"refused", "refused", "404", "404", "404", "refused"} {
		see(failure, reason)
	}
	see(unknown, "the runtime is away")
	see(failure, "refused")
	see(success, "no reason was given")
	see(success, "no reason was given")
	if want := []string{"refused", "404", "refused", ""}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
	recorded = nil
	for i := range 100 {
		see(failure, strconv.Itoa(i))
	}
	if len(recorded) != 1+reasonsKept {
		t.Errorf("%d of 100 reasons were recorded", len(recorded))
	}
	see(success, "")
	see(failure, "1")
	if want := []string{"", "1"}; !slices.Equal(recorded[len(recorded)-2:], want) {
		t.Errorf("after many reasons: %q", recorded)
	}
}
