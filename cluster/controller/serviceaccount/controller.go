// Package serviceaccount keeps in every namespace what pods there need to speak to
// the API: the service account "default", and the config map kube-root-ca.crt with
// the cluster's certificate authority.
//
// It never removes anything: what is in a namespace goes with the namespace.
package serviceaccount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/controller/loop"
)

const (
	account   = "default"
	configMap = "kube-root-ca.crt"
	caKey     = "ca.crt"
	// description is what upstream writes there too; tools show it.
	descriptionKey = "kubernetes.io/description"
	description    = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// Controller keeps accounts and root certificates.
type Controller struct {
	*loop.Loop[string]
	client     kubernetes.Interface
	ca         string
	namespaces listers.NamespaceLister
	accounts   listers.ServiceAccountLister
	configMaps listers.ConfigMapLister
}

// New makes the controller. ca is the PEM of the cluster's certificate authority;
// without it no config map is written.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, ca []byte, log *slog.Logger) (*Controller, error) {
	core := f.Core().V1()
	c := &Controller{
		client: client, ca: string(ca),
		namespaces: core.Namespaces().Lister(),
		accounts:   core.ServiceAccounts().Lister(),
		configMaps: core.ConfigMaps().Lister(),
	}
	c.Loop = loop.New(loop.Config[string]{Name: "serviceaccount", Reconcile: c.reconcile, Log: log})
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

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

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
	_, err = c.client.CoreV1().ServiceAccounts(ns).Create(ctx, a, metav1.CreateOptions{})
	return harmless("create account", err)
}

func (c *Controller) keepCA(ctx context.Context, ns string) error {
	if c.ca == "" {
		return nil
	}
	have, err := c.configMaps.ConfigMaps(ns).Get(configMap)
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.client.CoreV1().ConfigMaps(ns).Create(ctx, &v1.ConfigMap{
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
	_, err = c.client.CoreV1().ConfigMaps(ns).Update(ctx, want, metav1.UpdateOptions{})
	return harmless("update "+configMap, err)
}

// harmless drops what the next event will settle: the object came meanwhile, or
// the namespace is going.
func harmless(doing string, err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) ||
		apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
