package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store"
)

// TestOldVersionsAreGone: 410 in the forms that clients know how to begin again from.
func TestOldVersionsAreGone(t *testing.T) {
	t.Parallel()
	var st *store.Store
	cfg := apitest.Start(t, func(c *apiserver.Config) { st = c.Store })
	ctx := within(t)
	cs := clientset(t, cfg)
	first, err := cs.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	informer := informers.NewSharedInformerFactory(cs, 0).Core().V1().ConfigMaps().Informer()
	seen := make(chan string, 100000)
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, obj any) { seen <- obj.(*corev1.ConfigMap).Data["n"] }})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("the informer did not sync")
	}
	const updates = 5000
	stored := st.Of(builtin.Lookup("", "v1", "configmaps"))
	for i := range updates {
		if _, err := stored.Update(ctx, "default", "m", func(cur *store.Item) (api.Object, error) {
			m := cur.Object().DeepCopyObject().(*corev1.ConfigMap)
			m.Data = map[string]string{"n": fmt.Sprint(i)}
			return m, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	r := newRaw(t, cfg)
	for name, query := range map[string]string{"json": "", "initial events are not wanted": "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"} {
		resp, body := r.do("GET", maps+"?watch=1&timeoutSeconds=1&resourceVersion="+first.ResourceVersion+query, "", "")
		var e metav1.WatchEvent
		var status metav1.Status
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Type != string(watch.Error) || json.Unmarshal(e.Object.Raw, &status) != nil ||
			status.Code != http.StatusGone || status.Reason != metav1.StatusReasonExpired || !strings.HasPrefix(status.Message, "too old resource version") {
			t.Errorf("%s: %d %.300s", name, resp.StatusCode, body)
		}
	}
	for {
		select {
		case n := <-seen:
			if n == fmt.Sprint(updates-1) {
				return
			}
		case <-ctx.Done():
			t.Fatal("the informer did not get to the last version")
		}
	}
}

// gate answers requests when it is opened for them.
type gate struct {
	came chan struct{}
	open chan struct{}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.came <- struct{}{}
	<-g.open
	w.WriteHeader(http.StatusNotFound)
}

// someone is nobody special; administrators are exempt from the limits.
type someone struct{}

func (someone) Authenticate(req *http.Request) (*client.User, error) {
	if req.Header.Get("Who") == "admin" {
		return &client.User{Name: "admin", Groups: []string{"system:masters"}}, nil
	}
	return &client.User{Name: "someone", Groups: []string{"system:authenticated"}}, nil
}

func TestMoreRequestsThanPlaces(t *testing.T) {
	t.Parallel()
	g := &gate{make(chan struct{}), make(chan struct{})}
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.Authenticator, c.Paths = someone{}, map[string]http.Handler{"/wait": g}
		c.MaxInFlight, c.MaxMutating, c.ClientTimeouts.QueueWait = 1, 1, time.Millisecond
	})
	r := newRaw(t, cfg)
	for _, c := range []struct{ name, method, busy string }{
		{"reads", "GET", maps + "/other"},
		{"writes", "DELETE", maps + "/other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := make(chan int, 1)
			go func() {
				resp, _ := r.do(c.method, "/wait", "", "")
				first <- resp.StatusCode
			}()
			<-g.came
			resp, body := r.do(c.method, c.busy, "", "")
			if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, "Too many requests, please try again later.") {
				t.Errorf("beyond the limit: %d, Retry-After %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
			}
			if resp, _ := r.do(c.method, c.busy, "", "", "Who", "admin"); resp.StatusCode != http.StatusNotFound {
				t.Errorf("an administrator: %d", resp.StatusCode)
			}
			if resp, _ := r.do("GET", maps+"?watch=1&timeoutSeconds=1", "", ""); resp.StatusCode != http.StatusOK {
				t.Errorf("a stream takes no place, but got %d", resp.StatusCode)
			}
			g.open <- struct{}{}
			if code := <-first; code != http.StatusNotFound {
				t.Errorf("the first: %d", code)
			}
			if resp, _ := r.do(c.method, c.busy, "", ""); resp.StatusCode != http.StatusNotFound {
				t.Errorf("when there is a place again: %d", resp.StatusCode)
			}
		})
	}
}

// TestInProcess: what a component in the server's own process does is done as the user
// that it names, without a socket.
func TestInProcess(t *testing.T) {
	server, over := apitest.StartServer(t, func(c *apiserver.Config) { c.Authorizer = onlyFor("inside") })
	ctx := within(t)
	inside := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "inside"})).CoreV1().Pods("default")
	w, err := inside.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := inside.Create(ctx, testPod("p"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Type != watch.Added || e.Object.(*corev1.Pod).UID != made.UID {
		t.Errorf("watched: %v", e)
	}
	w.Stop()
	if list, err := inside.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) != 1 {
		t.Errorf("list: %v %v", list, err)
	}
	if _, err := inside.Create(ctx, testPod("p"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("again: %v", err)
	}
	other := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "other"})).CoreV1().Pods("default")
	if _, err := other.Get(ctx, "p", metav1.GetOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "other" cannot get resource "pods"`) {
		t.Errorf("as another: %v", err)
	}
	if _, err := clientset(t, over).CoreV1().Pods("default").Get(ctx, "p", metav1.GetOptions{}); err != nil {
		t.Errorf("over the network, as the administrator: %v", err)
	}
}

// onlyFor admits one user, and the administrator that tests are over the network.
type onlyFor string

func (name onlyFor) Authorize(_ context.Context, a authz.Attributes) (bool, string, error) {
	return a.User.Name == string(name) || a.User.InGroup("system:masters"), "", nil
}
