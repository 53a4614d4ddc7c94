package resourcequota_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/resourcequota"
	"wheelhouse/cluster/quota"
	"wheelhouse/cluster/wait"
)

type cluster struct {
	kubernetes.Interface
	t *testing.T
}

// start runs a server with admission, and the controller on it.
func start(t *testing.T) *cluster {
	t.Helper()
	server, _ := apitest.StartServer(t, apitest.WithAdmission(t))
	cfg := client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}})
	c := &cluster{kubernetes.NewForConfigOrDie(cfg), t}
	shared := client.Informers(c)
	one, err := resourcequota.New(resourcequota.Config{
		Shared: loop.Shared{Controller: "resourcequota", Client: c, Informers: shared, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}, Metadata: metadata.NewForConfigOrDie(cfg),
	})
	c.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	shared.Start(ctx.Done())
	go func() { done <- one.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		shared.Shutdown()
	})
	_, err = c.CoreV1().ServiceAccounts("default").Create(t.Context(), &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	c.must(err)
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func list(pairs ...string) v1.ResourceList {
	l := v1.ResourceList{}
	for _, p := range pairs {
		name, q, _ := strings.Cut(p, "=")
		l[v1.ResourceName(name)] = resource.MustParse(q)
	}
	return l
}

// quota makes one and waits until it counts.
func (c *cluster) quota(spec v1.ResourceQuotaSpec) {
	c.t.Helper()
	_, err := c.CoreV1().ResourceQuotas("default").Create(c.t.Context(), &v1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: spec}, metav1.CreateOptions{})
	c.must(err)
	c.eventually("the quota counts", func(q *v1.ResourceQuota) bool {
		return equality.Semantic.DeepEqual(q.Status.Hard, spec.Hard) && len(q.Status.Used) == len(spec.Hard)
	})
}

func (c *cluster) eventually(what string, ok func(*v1.ResourceQuota) bool) {
	c.t.Helper()
	wait.For(c.t, what, func() error {
		q, err := c.CoreV1().ResourceQuotas("default").Get(c.t.Context(), "q", metav1.GetOptions{})
		c.must(err)
		return wait.Seen(ok(q), "used ", q.Status.Used, " of ", q.Status.Hard, ", reserved ", q.Annotations[quota.ReservedAnnotation])
	})
}

// used waits for a usage with nothing reserved any more.
func (c *cluster) used(want ...string) {
	c.t.Helper()
	c.eventually("used "+strings.Join(want, " "), func(q *v1.ResourceQuota) bool {
		return equality.Semantic.DeepEqual(q.Status.Used, list(want...)) && q.Annotations[quota.ReservedAnnotation] == ""
	})
}

func (c *cluster) pod(name string, edit ...func(*v1.PodSpec)) error {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "nginx"}}}}
	for _, e := range edit {
		e(&p.Spec)
	}
	_, err := c.CoreV1().Pods("default").Create(c.t.Context(), p, metav1.CreateOptions{})
	return err
}

func asks(requests, limits v1.ResourceList) func(*v1.PodSpec) {
	return func(s *v1.PodSpec) {
		s.Containers[0].Resources = v1.ResourceRequirements{Requests: requests, Limits: limits}
	}
}

func (c *cluster) refused(err error, message string) {
	c.t.Helper()
	if !apierrors.IsForbidden(err) || err.Error() != message {
		c.t.Errorf("got  %v\nwant %s", err, message)
	}
}

func TestCountsAndRefuses(t *testing.T) {
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=2", "requests.cpu=1", "limits.memory=1Gi")})
	c.refused(c.pod("none"), `pods "none" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c`)
	half := asks(list("cpu=400m"), list("memory=300Mi"))
	c.must(c.pod("one", half))
	c.must(c.pod("two", half))
	c.used("pods=2", "requests.cpu=800m", "limits.memory=600Mi")
	c.refused(c.pod("three", half), `pods "three" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=400m, used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1`)

	// What failed gives its place back, what goes too.
	c.must(c.CoreV1().Pods("default").Delete(t.Context(), "one", metav1.DeleteOptions{}))
	c.used("pods=1", "requests.cpu=400m", "limits.memory=300Mi")
	if err := c.pod("two", half); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second pod of one name: %v", err)
	}
	c.used("pods=1", "requests.cpu=400m", "limits.memory=300Mi")

	two, err := c.CoreV1().Pods("default").Get(t.Context(), "two", metav1.GetOptions{})
	c.must(err)
	two.Status.Phase = v1.PodSucceeded
	_, err = c.CoreV1().Pods("default").UpdateStatus(t.Context(), two, metav1.UpdateOptions{})
	c.must(err)
	c.used("pods=0", "requests.cpu=0", "limits.memory=0")
}

// What one quota refuses does not stay counted in another.
func TestTwoQuotas(t *testing.T) {
	c := start(t)
	_, err := c.CoreV1().ResourceQuotas("default").Create(t.Context(), &v1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: v1.ResourceQuotaSpec{Hard: list("requests.cpu=1")},
	}, metav1.CreateOptions{})
	c.must(err)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=1000")})
	big := asks(list("cpu=2"), nil)
	// Until the other quota has been counted it limits nothing.
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; ; i++ {
		err := c.pod(fmt.Sprint("big-", i), big)
		if err != nil {
			c.refused(err, fmt.Sprintf(`pods "big-%d" is forbidden: exceeded quota: small, requested: requests.cpu=2, used: requests.cpu=%d, limited: requests.cpu=1`, i, 2*i))
			c.used(fmt.Sprint("pods=", i))
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the second quota limits nothing")
		}
	}
}

// A pod that is admitted before a quota was counted for the first time is reserved in it: the
// count may be under way, and its list may be older than the pod.
func TestReservesBeforeTheFirstCount(t *testing.T) {
	server, _ := apitest.StartServer(t, apitest.WithAdmission(t))
	c := &cluster{kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}})), t}
	_, err := c.CoreV1().ServiceAccounts("default").Create(t.Context(), &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	c.must(err)
	q, err := c.CoreV1().ResourceQuotas("default").Create(t.Context(), &v1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: v1.ResourceQuotaSpec{Hard: list("requests.cpu=1")},
	}, metav1.CreateOptions{})
	c.must(err)
	changes, err := c.CoreV1().ResourceQuotas("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: q.ResourceVersion})
	c.must(err)
	defer changes.Stop()
	c.must(c.pod("big", asks(list("cpu=2"), nil)))
	select {
	case e := <-changes.ResultChan():
		reserved := quota.Reserved(e.Object.(*v1.ResourceQuota), time.Now())
		for _, r := range reserved {
			if equality.Semantic.DeepEqual(r.Used, list("requests.cpu=2")) {
				return
			}
		}
		t.Errorf("reserved %v, want one of requests.cpu=2", reserved)
	case <-time.After(20 * time.Second):
		t.Error("nothing was reserved in the quota that is not counted yet")
	}
}

func TestDryRunTakesNothing(t *testing.T) {
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=1")})
	pods := c.CoreV1().Pods("default")
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "nginx"}}}}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for range 2 {
		_, err := pods.Create(t.Context(), p, dry)
		c.must(err)
	}
	c.used("pods=0")
	c.must(c.pod("real"))
	_, err := pods.Create(t.Context(), p, dry)
	c.refused(err, `pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`)
}

func TestOtherKinds(t *testing.T) {
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list("services=2", "services.nodeports=1", "services.loadbalancers=0", "configmaps=2", "secrets=1",
		"count/deployments.apps=1", "persistentvolumeclaims=3", "requests.storage=3Gi", "gold.storageclass.storage.k8s.io/requests.storage=1Gi", "replicationcontrollers=1")})
	service := func(name string, kind v1.ServiceType) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.ServiceSpec{Type: kind, Ports: []v1.ServicePort{{Port: 80}}}}
	}
	services := c.CoreV1().Services("default")
	one, err := services.Create(t.Context(), service("one", v1.ServiceTypeClusterIP), metav1.CreateOptions{})
	c.must(err)
	_, err = services.Create(t.Context(), service("lb", v1.ServiceTypeLoadBalancer), metav1.CreateOptions{})
	c.refused(err, `services "lb" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0`)
	one.Spec.Type = v1.ServiceTypeNodePort
	_, err = services.Update(t.Context(), one, metav1.UpdateOptions{})
	c.must(err)
	_, err = services.Create(t.Context(), service("two", v1.ServiceTypeNodePort), metav1.CreateOptions{})
	c.refused(err, `services "two" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1`)

	for i := range 3 {
		_, err = c.CoreV1().ConfigMaps("default").Create(t.Context(), &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}}, metav1.CreateOptions{})
		if i < 2 {
			c.must(err)
		}
	}
	c.refused(err, `configmaps "m2" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2`)

	deployment := func(name string) *appsv1.Deployment {
		set := map[string]string{"app": name}
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: set},
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "nginx"}}}},
		}}
	}
	_, err = c.AppsV1().Deployments("default").Create(t.Context(), deployment("d1"), metav1.CreateOptions{})
	c.must(err)
	_, err = c.AppsV1().Deployments("default").Create(t.Context(), deployment("d2"), metav1.CreateOptions{})
	c.refused(err, `deployments.apps "d2" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1`)

	claim := func(name, class, size string) error {
		_, err := c.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &v1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1.PersistentVolumeClaimSpec{
				StorageClassName: &class, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
				Resources: v1.VolumeResourceRequirements{Requests: list("storage=" + size)},
			},
		}, metav1.CreateOptions{})
		return err
	}
	c.must(claim("a", "gold", "1Gi"))
	c.refused(claim("b", "gold", "1Gi"), `persistentvolumeclaims "b" is forbidden: exceeded quota: q, requested: gold.storageclass.storage.k8s.io/requests.storage=1Gi, `+
		`used: gold.storageclass.storage.k8s.io/requests.storage=1Gi, limited: gold.storageclass.storage.k8s.io/requests.storage=1Gi`)
	c.must(claim("b", "tin", "2Gi"))
	c.refused(claim("c", "tin", "1"), `persistentvolumeclaims "c" is forbidden: exceeded quota: q, requested: requests.storage=1, used: requests.storage=3Gi, limited: requests.storage=3Gi`)
	c.used("services=1", "services.nodeports=1", "services.loadbalancers=0", "configmaps=2", "secrets=0", "count/deployments.apps=1",
		"persistentvolumeclaims=2", "requests.storage=3Gi", "gold.storageclass.storage.k8s.io/requests.storage=1Gi", "replicationcontrollers=0")
	c.must(c.AppsV1().Deployments("default").Delete(t.Context(), "d1", metav1.DeleteOptions{}))
	c.must(c.CoreV1().ConfigMaps("default").Delete(t.Context(), "m0", metav1.DeleteOptions{}))
	c.must(services.Delete(t.Context(), "one", metav1.DeleteOptions{}))
	c.used("services=0", "services.nodeports=0", "services.loadbalancers=0", "configmaps=1", "secrets=0", "count/deployments.apps=0",
		"persistentvolumeclaims=2", "requests.storage=3Gi", "gold.storageclass.storage.k8s.io/requests.storage=1Gi", "replicationcontrollers=0")
}

// What the API server has admitted counts before a list shows it, and once when it does.
func TestReservationsCount(t *testing.T) {
	c := start(t)
	c.must(c.pod("there"))
	there, err := c.CoreV1().Pods("default").Get(t.Context(), "there", metav1.GetOptions{})
	c.must(err)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=9")})
	reserve := func(ids ...string) {
		t.Helper()
		q, err := c.CoreV1().ResourceQuotas("default").Get(t.Context(), "q", metav1.GetOptions{})
		c.must(err)
		all := quota.Reservations{"old": {At: time.Now().Add(-2 * quota.Lapse).Unix(), Used: list("pods=5")}}
		for _, id := range ids {
			all[id] = quota.Reservation{At: time.Now().Unix(), Used: list("pods=1")}
		}
		c.must(all.Set(q))
		_, err = c.CoreV1().ResourceQuotas("default").UpdateStatus(t.Context(), q, metav1.UpdateOptions{})
		c.must(err)
	}
	pods := func(n int) func(*v1.ResourceQuota) bool {
		return func(q *v1.ResourceQuota) bool {
			return equality.Semantic.DeepEqual(q.Status.Used, list(fmt.Sprint("pods=", n)))
		}
	}
	reserve(string(there.UID), "on its way", "grows")
	c.eventually("three pods", pods(3))
	reserve(string(there.UID))
	c.eventually("one pod", pods(1))
}

func TestScopes(t *testing.T) {
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=1"), Scopes: []v1.ResourceQuotaScope{v1.ResourceQuotaScopeBestEffort}})
	c.must(c.pod("burst", asks(list("cpu=1"), nil)))
	c.must(c.pod("best"))
	c.refused(c.pod("more"), `pods "more" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`)
	c.used("pods=1")
}

// Fifty at once, while others go: at no moment are there more than the quota allows,
// and in the end all places are taken.
// TestMovesBetweenScopes: a pod that is given a deadline counts in the other quota at
// once, and may not come where there is no place.
func TestMovesBetweenScopes(t *testing.T) {
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list("pods=1"), Scopes: []v1.ResourceQuotaScope{v1.ResourceQuotaScopeTerminating}})
	c.must(c.pod("moves"))
	c.must(c.pod("stays"))
	deadline := func(name string) error {
		_, err := c.CoreV1().Pods("default").Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":3600}}`), metav1.PatchOptions{})
		return err
	}
	c.must(deadline("moves"))
	limited := func(s *v1.PodSpec) { s.ActiveDeadlineSeconds = new(int64(60)) }
	c.refused(c.pod("new", limited), `pods "new" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`)
	c.refused(deadline("stays"), `pods "stays" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`)
	c.used("pods=1")
}

func TestNeverExceeds(t *testing.T) {
	const hard, creators, enough = 10, 50, 60
	c := start(t)
	c.quota(v1.ResourceQuotaSpec{Hard: list(fmt.Sprint("pods=", hard))})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	most := c.highest(ctx)

	var all sync.WaitGroup
	var made, refused atomic.Int32
	for n := range creators {
		all.Go(func() {
			for round := 0; ctx.Err() == nil && made.Load() < enough; round++ {
				name := fmt.Sprintf("p-%d-%d", n, round)
				err := c.pod(name)
				var status apierrors.APIStatus
				switch {
				case err == nil:
					made.Add(1)
					if err := c.CoreV1().Pods("default").Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
						t.Error(err)
					}
				case apierrors.IsForbidden(err):
					refused.Add(1)
				case errors.As(err, &status):
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
	// Fill up what is left.
	c.eventually("nothing is reserved", func(q *v1.ResourceQuota) bool { return q.Annotations[quota.ReservedAnnotation] == "" })
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; ; i++ {
		pods, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		c.must(err)
		if len(pods.Items) == hard {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d pods: places were lost", len(pods.Items), hard)
		}
		if err := c.pod(fmt.Sprint("fill-", i)); err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
	}
	c.used(fmt.Sprint("pods=", hard))
	t.Logf("%d made, %d refused, most at a time %d", made.Load(), refused.Load(), most())
	if m := most(); m > hard || m < 2 {
		t.Errorf("there were %d pods at a time, want at most %d", m, hard)
	}
}

// highest follows the pods and says how many there were at most, in the order in which
// the store has it.
func (c *cluster) highest(ctx context.Context) func() int {
	w, err := c.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	c.must(err)
	var mu sync.Mutex
	now, most := 0, 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			mu.Lock()
			switch e.Type {
			case watch.Added:
				now++
			case watch.Deleted:
				now--
			}
			most = max(most, now)
			mu.Unlock()
		}
	}()
	c.t.Cleanup(func() { w.Stop(); <-done })
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}
