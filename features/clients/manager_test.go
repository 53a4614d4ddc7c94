// Package clients drives clients of Kubernetes against this API server, as people run them. It is
// a module of its own, so that the product does not depend on them; README.md lists them, `make test-clients` runs it.
package clients

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"wheelhouse/cluster/wait"
)

// TestManager: of two managers of controller-runtime one leads and reconciles, with owner references,
// finalizers, patches and its cache; when it stops the other goes on.
func TestManager(t *testing.T) {
	c := startServer(t)
	rc, cs := c.config, c.client
	stopFirst := startManager(t, rc, "first")
	create := func(name string) {
		t.Helper()
		wait.Within(t, limit, name, func() error {
			_, err := cs.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"parent": "yes"}}}, metav1.CreateOptions{})
			return err
		})
	}
	by := func(name, want string) {
		t.Helper()
		wait.Within(t, limit, "the child of "+name, func() error {
			child, err := cs.CoreV1().Secrets("default").Get(t.Context(), name+"-child", metav1.GetOptions{})
			if err == nil && (string(child.Data["by"]) != want || len(child.OwnerReferences) != 1) {
				t.Fatalf("%s has %q, %v", child.Name, child.Data, child.OwnerReferences)
			}
			return err
		})
	}
	create("a")
	by("a", "first")
	startManager(t, rc, "second")
	stopFirst()
	create("b")
	by("b", "second")
	// The finalizer delays the end until the controller has seen it; then the child goes, too.
	if err := cs.CoreV1().ConfigMaps("default").Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, limit, "the end of b", func() error {
		list, err := cs.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=b-child"})
		if err == nil && len(list.Items) > 0 {
			return os.ErrExist
		}
		return err
	})
}

// startManager runs a manager until the test ends or stop is called.
func startManager(t *testing.T, rc *rest.Config, name string) (stop func()) {
	t.Helper()
	short, renew, retry, any := 6*time.Second, 4*time.Second, time.Second, true
	m, err := ctrl.NewManager(rc, ctrl.Options{
		LeaderElection: true, LeaderElectionID: "clients", LeaderElectionNamespace: "default", LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &short, RenewDeadline: &renew, RetryPeriod: &retry,
		Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Controller: config.Controller{SkipNameValidation: &any},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = ctrl.NewControllerManagedBy(m).For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).Complete(&children{m.GetClient(), name})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

const finalizer = "example.com/child"

// children makes a Secret for each ConfigMap with a label.
type children struct {
	client.Client
	name string
}

// Reconcile implements reconcile.Reconciler.
func (c *children) Reconcile(ctx context.Context, r ctrl.Request) (ctrl.Result, error) {
	parent := &corev1.ConfigMap{}
	if err := c.Get(ctx, r.NamespacedName, parent); err != nil || parent.Labels["parent"] == "" {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := parent.DeepCopy()
	if parent.DeletionTimestamp != nil {
		if controllerutil.RemoveFinalizer(parent, finalizer) {
			return ctrl.Result{}, c.Patch(ctx, parent, client.MergeFrom(before))
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(parent, finalizer) {
		if err := c.Patch(ctx, parent, client.MergeFrom(before)); err != nil {
			return ctrl.Result{}, err
		}
	}
	child := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: parent.Namespace, Name: parent.Name + "-child"}}
	_, err := controllerutil.CreateOrUpdate(ctx, c.Client, child, func() error {
		if child.Data == nil {
			child.Data = map[string][]byte{"by": []byte(c.name)}
		}
		return controllerutil.SetControllerReference(parent, child, c.Scheme())
	})
	return ctrl.Result{}, err
}
