package apiserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/wait"
)

// withAddresses gives the server the real admission, with few addresses and ports.
func withAddresses(t *testing.T) apitest.Option {
	t.Helper()
	return func(c *apiserver.Config) {
		log := slog.New(slog.DiscardHandler)
		objects := authz.FromStore(c.Store, builtin.Kinds)
		grants, err := authz.New(authz.Config{Objects: objects, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := admission.New(admission.Config{Objects: objects, Authorizer: grants, Log: log, Services: serviceallocator.Config{
			CIDR: netip.MustParsePrefix("10.9.0.0/28"), NodePorts: serviceallocator.PortRange{First: 30000, Last: 30001},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- chain.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("stopping admission: %v", err)
			}
		})
		c.Admission = chain
	}
}

// TestServiceThatGoesWithItsFinalizerFreesItsAddress: the service goes by an update, which
// is a DELETE for admission. What the update itself had claimed is freed too.
func TestServiceThatGoesWithItsFinalizerFreesItsAddress(t *testing.T) {
	cfg := apitest.Start(t, withAddresses(t))
	ctx := within(t)
	services := clientset(t, cfg).CoreV1().Services("default")
	service := func(name string, finalizers ...string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: finalizers}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, ClusterIP: "10.9.0.5", Ports: []corev1.ServicePort{{Port: 80, NodePort: 30000}},
		}}
	}
	for name, release := range map[string]func(*corev1.Service) error{
		"update": func(s *corev1.Service) error {
			s.Finalizers = nil
			s.Spec.Ports[0].NodePort = 30001
			_, err := services.Update(ctx, s, metav1.UpdateOptions{})
			return err
		},
		"patch": func(s *corev1.Service) error {
			_, err := services.Patch(ctx, s.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null},"spec":{"ports":[{"port":80,"nodePort":30001}]}}`), metav1.PatchOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := services.Create(ctx, service("a", "a.io/b"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := services.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := services.Create(ctx, service("b"), metav1.CreateOptions{}); err == nil {
				t.Fatal("the address was free while its service was still there")
			}
			s, err := services.Get(ctx, "a", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := release(s); err != nil {
				t.Fatal(err)
			}
			for _, port := range []int32{30000, 30001} {
				next := service("b")
				next.Spec.Ports[0].NodePort = port
				wait.Within(t, 5*time.Second, fmt.Sprintf("port %d to be free", port), func() error {
					_, err := services.Create(ctx, next, metav1.CreateOptions{})
					return err
				})
				if err := services.Delete(ctx, "b", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			// The next round wants the address back.
			wait.Within(t, 5*time.Second, "the address to be free", func() error {
				_, err := services.Create(ctx, service("c"), metav1.CreateOptions{DryRun: []string{"All"}})
				return err
			})
		})
	}
}

// recording records what admission is asked about.
type recording struct {
	apiserver.Admission
	requests []admission.Request
}

func (a *recording) Admit(_ context.Context, r *admission.Request) error {
	if r.Kind.Plural == "deployments" {
		a.requests = append(a.requests, *r)
	}
	return nil
}
func (*recording) Validate(context.Context, *admission.Request) error { return nil }
func (*recording) Done(context.Context, *admission.Request, error)    {}

// Admission sees the stored kind, what the client has named, the options and the old object.
func TestRequestOfAnotherVersion(t *testing.T) {
	seen := &recording{}
	r := newRaw(t, apitest.Start(t, func(c *apiserver.Config) { c.Admission = seen }))
	const path = "/apis/extensions/v1beta1/namespaces/default/deployments"
	const body = `{"apiVersion":"extensions/v1beta1","kind":"Deployment","metadata":{"name":"d"},"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	r.do("POST", path+"?fieldManager=me", "", body)
	r.do("PUT", path+"/d?dryRun=All", "", body)
	if len(seen.requests) != 2 {
		t.Fatalf("%d requests", len(seen.requests))
	}
	for _, q := range seen.requests {
		if q.Kind.GroupVersionKind.String() != "apps/v1, Kind=Deployment" || q.RequestKind.String() != "extensions/v1beta1, Kind=Deployment" ||
			q.RequestResource.String() != "extensions/v1beta1, Resource=deployments" {
			t.Errorf("%s: %s, %s, %s", q.Verb, q.Kind.GroupVersionKind, q.RequestKind, q.RequestResource)
		}
	}
	create, update := seen.requests[0], seen.requests[1]
	if o, ok := create.Options.(*metav1.CreateOptions); !ok || o.FieldManager != "me" || create.Old != nil {
		t.Errorf("create with %+v, old %v", create.Options, create.Old)
	}
	if o, ok := update.Options.(*metav1.UpdateOptions); !ok || len(o.DryRun) != 1 || !update.DryRun || update.Old == nil {
		t.Errorf("update with %+v, old %v", update.Options, update.Old)
	}
}
