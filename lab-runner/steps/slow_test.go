package steps

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTimeoutsOfCommandsOnASlowMachine(t *testing.T) {
	for line, want := range map[string]string{
		"kubectl rollout status deployment/hello --timeout=60s":                        "kubectl rollout status deployment/hello --timeout=1200s",
		"kubectl wait --for=condition=Ready pod/a --timeout=1m && kubectl get pod":     "kubectl wait --for=condition=Ready pod/a --timeout=1200s && kubectl get pod",
		"kubectl drain $NODE --timeout=90s --ignore-daemonsets":                        "kubectl drain $NODE --timeout=1800s --ignore-daemonsets",
		"timeout 3 kubectl get pod --watch || true":                                    "timeout 60 kubectl get pod --watch || true",
		"kubectl wait pod/a --timeout=500ms":                                           "kubectl wait pod/a --timeout=10s",
		"kubectl delete pod a --timeout=0":                                             "kubectl delete pod a --timeout=0s",
		"kubectl describe pod a | grep timeout=1s":                                     "kubectl describe pod a | grep timeout=1s",
		"kubectl get pods --request-timeout=5s; echo '--timeout is how long it waits'": "kubectl get pods --request-timeout=5s; echo '--timeout is how long it waits'",
		"curl -s -m 3 http://$A/ | grep -m 1 nginx":                                    "curl -s -m 60 http://$A/ | grep -m 1 nginx",
		"curl -s --retry 5 --retry-connrefused http://$A/; curl -s --retry 3 $B":       "curl -s --retry 10 --retry-connrefused http://$A/; curl -s --retry 8 $B",
		"curl -s --retry 10 --retry-delay 1 --retry-all-errors -m 2 http://$A/":        "curl -s --retry 200 --retry-delay 1 --retry-all-errors -m 40 http://$A/",
		"kubectl exec a -- ping -c 1 -W 2 $IP":                                         "kubectl exec a -- ping -c 1 -W 40 $IP",
		"for i in $(seq 60); do kubectl top pods && break; sleep 1; done":              "for i in $(seq 1200); do kubectl top pods && break; sleep 1; done",
		"for i in $(seq 3); do kubectl create job j$i; done":                           "for i in $(seq 3); do kubectl create job j$i; done",
	} {
		if got := Slow(20).Command(line); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", line, got, want)
		}
		for _, usual := range []Slow{0, 1} {
			if got := usual.Command(line); got != line {
				t.Errorf("of a machine %v times slower: %s, want %s", usual, got, line)
			}
		}
	}
}

func TestWaitsOnASlowMachine(t *testing.T) {
	for slow, want := range map[Slow]time.Duration{0: time.Minute, 1: time.Minute, 1.5: 90 * time.Second, 20: 20 * time.Minute} {
		if got := slow.Wait(time.Minute); got != want {
			t.Errorf("a minute on a machine %v times slower is %v, want %v", slow, got, want)
		}
	}
}

// A response that takes longer than a usual machine's fails no step on a slow one: the probe
// and the request both wait.
func TestSlowAnswers(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	w := &World{Slow: 1000}
	probed := make(chan time.Duration, 1)
	err := w.eventually(t.Context(), condition{text: "an answer", probe: func(ctx context.Context) (string, bool, error) {
		deadline, _ := ctx.Deadline()
		probed <- time.Until(deadline)
		close(release)
		res, err := w.client().Get(server.URL)
		if err == nil {
			_ = res.Body.Close()
		}
		return "", err == nil, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if left := <-probed; left < time.Hour {
		t.Errorf("a probe has %v, want thousand times the usual 10 s", left)
	}
	if got := w.client().Timeout; got != 5000*time.Second {
		t.Errorf("a request has %v, want thousand times the usual 5 s", got)
	}
}
