// Package serviceaccount has the three controllers of service accounts. Controller creates in every
// namespace what its pods need to authenticate and verify the API server: the service account
// "default", and the config map kube-root-ca.crt with the cluster's certificate authority. Tokens
// fills Secrets with tokens and deletes them with their account. Cleaner deletes such Secrets
// that clusters before 1.24 made and nobody uses.
//
// None deletes anything else: the namespace controller does.
package serviceaccount

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/controller/loop"
)

const (
	account   = "default"
	configMap = "kube-root-ca.crt"
	caKey     = "ca.crt"
	// description is upstream's; tools print it.
	descriptionKey = "kubernetes.io/description"
	description    = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	RootCA []byte // PEM; no config map is written if empty
}

// Controller is the controller of service accounts and root certificates. Make it with New.
type Controller struct {
	*loop.Loop[string]
	loop.Shared
	ca         string
	namespaces listers.NamespaceLister
	accounts   listers.ServiceAccountLister
	configMaps listers.ConfigMapLister
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	core := cfg.Informers.Core().V1()
	c := &Controller{
		Shared: cfg.Shared, ca: string(cfg.RootCA),
		namespaces: core.Namespaces().Lister(),
		accounts:   core.ServiceAccounts().Lister(),
		configMaps: core.ConfigMaps().Lister(),
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Reconcile: c.reconcile, Log: cfg.Log})
	return c, errors.Join(
		c.On(core.Namespaces().Informer(), loop.Each(func(n *v1.Namespace) { c.Add(n.Name) })),
		c.On(core.ServiceAccounts().Informer(), loop.Each(func(a *v1.ServiceAccount) {
			if a.Name == account {
				c.Add(a.Namespace)
			}
		})),
		c.On(core.ConfigMaps().Informer(), loop.Each(func(m *v1.ConfigMap) {
			if m.Name == configMap {
				c.Add(m.Namespace)
			}
		})),
	)
}

func (c *Controller) reconcile(ctx context.Context, name string) error {
	ns, err := c.namespaces.Get(name)
	if apierrors.IsNotFound(err) || err == nil && (ns.DeletionTimestamp != nil || ns.Status.Phase == v1.NamespaceTerminating) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(c.keepAccount(ctx, name), c.keepCA(ctx, name))
}

func (c *Controller) keepAccount(ctx context.Context, ns string) error {
	_, err := c.accounts.ServiceAccounts(ns).Get(account)
	if !apierrors.IsNotFound(err) {
		return err
	}
	a := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: account}}
	_, err = c.Client.CoreV1().ServiceAccounts(ns).Create(ctx, a, metav1.CreateOptions{})
	return harmless("create account", err)
}

func (c *Controller) keepCA(ctx context.Context, ns string) error {
	if c.ca == "" {
		return nil
	}
	have, err := c.configMaps.ConfigMaps(ns).Get(configMap)
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.Client.CoreV1().ConfigMaps(ns).Create(ctx, &v1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: configMap, Annotations: map[string]string{descriptionKey: description}},
			Data:       map[string]string{caKey: c.ca},
		}, metav1.CreateOptions{})
		return harmless("create "+configMap, err)
	case err != nil:
		return err
	case len(have.Data) == 1 && have.Data[caKey] == c.ca && len(have.BinaryData) == 0:
		return nil
	}
	want := have.DeepCopy()
	want.Data, want.BinaryData = map[string]string{caKey: c.ca}, nil
	_, err = c.Client.CoreV1().ConfigMaps(ns).Update(ctx, want, metav1.UpdateOptions{})
	return harmless("update "+configMap, err)
}

// harmless returns nil for errors that the next event resolves: the object was created meanwhile, or
// the namespace is terminating.
func harmless(doing string, err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) ||
		apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
