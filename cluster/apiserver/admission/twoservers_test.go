package admission_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/wait"
)

// server is one API server's part in the writing of Services.
type server struct {
	chain    *admission.Chain
	services *store.Collection
}

func (s *server) create(svc *corev1.Service) error {
	r := &admission.Request{Verb: admission.Create, Kind: core.Services, Namespace: "a", Name: svc.Name, Object: svc}
	err := s.chain.Admit(bg, r)
	if err == nil {
		_, err = s.services.Create(bg, svc)
	}
	s.chain.Done(bg, r, err)
	return err
}

// Two API servers over one etcd, each with its own store: Services come and go
// through both, no two ever have one address, and none is lost.
func TestTwoServersOverOneEtcd(t *testing.T) {
	client := startEtcd(t)
	ctx, cancel := context.WithCancel(bg)
	var servers []*server
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for range 2 {
		st, err := store.New(store.Config{Client: client, Kinds: builtin.Kinds, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		objects := authz.FromStore(st, builtin.Kinds)
		a, err := authz.New(authz.Config{Objects: objects})
		if err != nil {
			t.Fatal(err)
		}
		c, err := admission.New(admission.Config{Objects: objects, Authorizer: a, Services: serviceallocator.Config{
			CIDR: netip.MustParsePrefix("10.247.0.0/27"), Claims: serviceallocator.NewEtcdClaims(client),
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range []func(context.Context) error{st.Run, a.Run, c.Run} {
			running.Go(func() { _ = run(ctx) })
		}
		servers = append(servers, &server{chain: c, services: st.Of(core.Services)})
	}
	ns := &corev1.Namespace{ObjectMeta: meta("", "a")}
	if err := createNamespace(ctx, client, ns); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	held := map[string]string{}
	claim := func(svc *corev1.Service) {
		mu.Lock()
		defer mu.Unlock()
		if by := held[svc.Spec.ClusterIP]; by != "" {
			t.Errorf("%s and %s both have %s", by, svc.Name, svc.Spec.ClusterIP)
		}
		held[svc.Spec.ClusterIP] = svc.Name
	}
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := range 10 {
				s := servers[(w+i)%2]
				svc := service(fmt.Sprintf("w%d-%d", w, i), nil)
				if i%3 == 0 {
					svc = service(svc.Name, clusterIP("10.247.0.5")) // all want this one
				}
				err := s.create(svc)
				if apierrors.IsInvalid(err) && i%3 == 0 {
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", svc.Name, err)
					return
				}
				claim(svc)
				mu.Lock()
				delete(held, svc.Spec.ClusterIP)
				mu.Unlock()
				if _, err := servers[(w+i+1)%2].services.Delete(bg, "a", svc.Name, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	for i := range 30 {
		var svc *corev1.Service
		wait.Within(t, 10*time.Second, "every address is free again", func() error {
			svc = service(fmt.Sprintf("last-%d", i), nil)
			return servers[i%2].create(svc)
		})
		claim(svc)
	}
}

func createNamespace(ctx context.Context, client *clientv3.Client, ns *corev1.Namespace) error {
	st, err := store.New(store.Config{Client: client, Kinds: []*api.Kind{core.Namespaces}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	done := make(chan struct{})
	go func() { defer close(done); _ = st.Run(ctx) }()
	defer func() { cancel(); <-done }()
	_, err = st.Of(core.Namespaces).Create(ctx, ns)
	return err
}
