package docker

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet/cri"
)

// A container that terminates between the look at it, when it was not started yet, and the engine's wait for its next exit
// ends a log that is followed.
func TestFollowedLogOfAContainerThatEndsEarly(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(`{"log":"all\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var waits atomic.Bool
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/wait"): // there is no other exit
			waits.Store(true)
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/json"):
			state := "created"
			if waits.Load() {
				state = "exited"
			}
			fmt.Fprintf(w, `{"Id":"c","LogPath":%q,"State":{"Status":%q}}`, log, state)
		default:
			w.Header().Set("Api-Version", "1.41")
		}
	}))
	defer engine.Close()
	rt, err := New(Config{Cluster: "c", Node: "n", Host: "tcp://" + engine.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rt.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out strings.Builder
	if err := rt.Logs(ctx, "c", cri.LogOptions{Follow: true, Tail: -1}, &out, &out); err != nil || ctx.Err() != nil || out.String() != "all\n" {
		t.Errorf("%q, %v, %v", out.String(), err, ctx.Err())
	}
}

// Who asks for the default profile of seccomp or AppArmor does not run where the engine has none.
func TestConfinementThatTheEngineLacks(t *testing.T) {
	for _, c := range []struct {
		options           []string
		seccomp, appArmor bool
	}{
		{nil, false, false},
		{[]string{"name=seccomp,profile=builtin"}, true, false},
		{[]string{"name=apparmor", "name=seccomp,profile=/etc/docker/seccomp.json", "name=cgroupns"}, true, true},
		{[]string{"name=apparmor", "name=seccomp,profile=unconfined"}, false, true},
	} {
		d := &daemon{}
		d.seccomp, d.appArmor = confinements(c.options)
		for _, s := range []struct {
			spec    cri.Spec
			refused bool
		}{
			{cri.Spec{}, false},
			{cri.Spec{NeedsSeccomp: true}, !c.seccomp},
			{cri.Spec{NeedsAppArmor: true}, !c.appArmor},
			{cri.Spec{NeedsSeccomp: true, NeedsAppArmor: true, Privileged: true}, false},
		} {
			if err := d.lacks(&s.spec); (err != nil) != s.refused {
				t.Errorf("an engine with %q, %+v: %v", c.options, s.spec, err)
			}
		}
	}
}
