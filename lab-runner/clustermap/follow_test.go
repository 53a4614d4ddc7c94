package clustermap_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/objects"
)

// api answers lists and watches of pods: the watch of version 1 has an event, and an error of an expired
// version; that of version 2 ends; that of version 3 stays open. Nodes are forbidden.
func api(t *testing.T) *objects.Client {
	t.Helper()
	lists := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Warning", `299 - "\u001b[2J not for the screen"`)
		query := r.URL.Query()
		switch {
		case r.URL.Path == "/api/v1/nodes":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
		case !strings.HasSuffix(r.URL.Path, "/namespaces/lab/pods"):
			if query.Get("watch") == "" {
				fmt.Fprint(w, `{"metadata":{"resourceVersion":"9"},"items":null}`)
				return
			}
			hold(w, r)
		case query.Get("watch") == "":
			lists++
			fmt.Fprintf(w, `{"metadata":{"resourceVersion":"%d"},"items":[%s]}`, lists, pod(fmt.Sprintf("listed-%d", lists), "n", running))
		case query.Get("resourceVersion") == "1":
			fmt.Fprintln(w, `{"type":"ADDED","object":`+pod("added", "n", running)+`}`)
			fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}`)
		case query.Get("resourceVersion") == "2":
			fmt.Fprintln(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"3"}}}`)
		default:
			fmt.Fprintln(w, `{"type":"ADDED","object":`+pod("later", "n", running)+`}`)
			fmt.Fprintln(w, `{"type":"DELETED","object":`+pod("listed-2", "n", running)+`}`)
			hold(w, r)
		}
	}))
	t.Cleanup(server.Close)
	c, err := objects.New(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hold keeps a watch open.
func hold(w http.ResponseWriter, r *http.Request) {
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func TestFollow(t *testing.T) {
	client := api(t)
	ctx, cancel := context.WithCancel(t.Context())
	var lock sync.Mutex
	var m clustermap.Map
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		clustermap.Follow(ctx, client, "lab", func(c clustermap.Change) {
			lock.Lock()
			defer lock.Unlock()
			m = m.Apply(c)
		})
	}()
	wait.For(t, "the map of the last watch", func() error {
		lock.Lock()
		defer lock.Unlock()
		got := drawn(m.Draw(60, 20))
		return wait.Seen(got == "node n\n  * later Running\nnodes: not permitted\n", got)
	})
	cancel()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("Follow does not end with its context")
	}
}

var _ clustermap.Source = (*objects.Client)(nil)
