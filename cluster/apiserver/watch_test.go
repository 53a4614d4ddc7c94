package apiserver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/apitest"
)

func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
	}
	return watch.Event{}
}

func TestWatch(t *testing.T) {
	cfg := apitest.Start(t)
	for name, c := range map[string]*rest.Config{"json": cfg, "protobuf": inProtobuf(cfg)} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			pods := clientset(t, c).CoreV1().Pods("default")
			pod := testPod("w-" + name)
			pod.Labels["test"] = name
			if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			yes := true
			w, err := pods.Watch(ctx, metav1.ListOptions{
				LabelSelector: "test=" + name, AllowWatchBookmarks: true,
				SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			if e := next(t, w); e.Type != watch.Added || e.Object.(*corev1.Pod).Name != pod.Name {
				t.Fatalf("first: %v", e)
			}
			if e := next(t, w); e.Type != watch.Bookmark || e.Object.(*corev1.Pod).Annotations[metav1.InitialEventsAnnotationKey] != "true" {
				t.Fatalf("end of the initial events: %v", e)
			}
			patch := []byte(`{"metadata":{"labels":{"test":"other"}}}`)
			if _, err := pods.Patch(ctx, pod.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			for {
				e := next(t, w)
				if e.Type == watch.Bookmark {
					continue
				}
				if e.Type != watch.Deleted {
					t.Errorf("left the selection: %v", e)
				}
				break
			}
		})
	}
}

func TestInformersSync(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	cs := clientset(t, inProtobuf(cfg))
	if _, err := cs.CoreV1().Pods("default").Create(ctx, testPod("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(cs, 0)
	lister := f.Core().V1().Pods().Lister()
	f.Core().V1().Nodes().Informer()
	f.Start(ctx.Done())
	for kind, ok := range f.WaitForCacheSync(ctx.Done()) {
		if !ok {
			t.Fatalf("%v did not sync", kind)
		}
	}
	if p, err := lister.Pods("default").Get("a"); err != nil || p.Spec.Containers[0].Image != "pause" {
		t.Errorf("%v %v", p, err)
	}
}

func TestWatchFromTheFutureAndForATime(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	began := time.Now()
	resp, _ := r.do("GET", maps+"?watch=1&timeoutSeconds=1&resourceVersion=0", "", "")
	if took := time.Since(began); resp.StatusCode != 200 || took < 900*time.Millisecond {
		t.Errorf("timeoutSeconds=1: %d after %v", resp.StatusCode, took)
	}
	if resp, body := r.do("GET", maps+"?watch=1&timeoutSeconds=1&resourceVersion=x", "", ""); resp.StatusCode != 400 && resp.StatusCode != 422 {
		t.Errorf("version x: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.do("GET", maps+"?watch=1", "", "", "Accept", "application/yaml"); resp.StatusCode != 406 {
		t.Errorf("yaml: %d %s", resp.StatusCode, body)
	}
}

func TestWatchOfTables(t *testing.T) {
	t.Parallel()
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	for _, name := range []string{"a", "b"} {
		r.do("POST", maps, asJSON, `{"metadata":{"name":"`+name+`"}}`)
	}
	_, body := r.do("GET", maps+"?watch=1&timeoutSeconds=1", "", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"name":"Name"`) || !strings.Contains(lines[1], `"columnDefinitions":null`) || !strings.Contains(lines[1], `"cells":["b"`) {
		t.Errorf("%s", body)
	}
	_, body = r.do("GET", maps+"?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan", "", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	lines = strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) < 3 || !strings.Contains(lines[2], `"BOOKMARK"`) || !strings.Contains(lines[2], `"rows":[{"cells":[null,null,null]`) || !strings.Contains(lines[2], `"k8s.io/initial-events-end":"true"`) {
		t.Errorf("with a bookmark: %s", body)
	}
}

func TestWatchOverWebSocket(t *testing.T) {
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	r.do("POST", maps, asJSON, `{"metadata":{"name":"a"}}`)
	conf, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	d := websocket.Dialer{TLSClientConfig: conf}
	conn, _, err := d.DialContext(within(t), strings.Replace(cfg.Host, "https", "wss", 1)+maps+"?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	kind, message, err := conn.ReadMessage()
	var e metav1.WatchEvent
	if err != nil || kind != websocket.TextMessage || json.Unmarshal(message, &e) != nil || e.Type != "ADDED" {
		t.Errorf("%v %d %s", err, kind, message)
	}
}

func TestListInPages(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	cm := clientset(t, cfg).CoreV1().ConfigMaps("default")
	for _, name := range []string{"a", "b", "c"} {
		if _, err := cm.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := cm.List(ctx, metav1.ListOptions{Limit: 2})
	if err != nil || len(l.Items) != 2 || l.Continue == "" || l.RemainingItemCount == nil || *l.RemainingItemCount != 1 {
		t.Fatalf("%v %v", l, err)
	}
	rest, err := cm.List(ctx, metav1.ListOptions{Limit: 2, Continue: l.Continue})
	if err != nil || len(rest.Items) != 1 || rest.Continue != "" || rest.ResourceVersion != l.ResourceVersion {
		t.Fatalf("%v %v", rest, err)
	}
}
