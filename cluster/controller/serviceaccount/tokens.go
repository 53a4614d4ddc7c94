package serviceaccount

import (
	"bytes"
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/retry"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
)

// TokensConfig is what the controller of tokens is given.
type TokensConfig struct {
	loop.Shared
	RootCA []byte // PEM; ca.crt is not written if empty
	// Sign returns the token of an account for a Secret. Without it, as without a key upstream, Secrets are not
	// filled; they are still deleted with their account.
	Sign func(*v1.ServiceAccount, *v1.Secret) (string, error)
}

// Tokens fills the Secrets of the type kubernetes.io/service-account-token and deletes them with their account,
// as upstream's tokens controller. It keeps no other Secret in memory.
type Tokens struct {
	*loop.Loop[tokenKey]
	TokensConfig
	factory  *client.SharedInformers // of these Secrets alone
	secrets  listers.SecretLister
	accounts listers.ServiceAccountLister
}

// tokenKey is a Secret, and the account that it had when the key was made: of a Secret that is gone nothing else
// tells whose it was.
type tokenKey struct {
	namespace, name string
	uid             types.UID
	account         string
	accountUID      types.UID // empty until the Secret is filled
}

func keyOf(s *v1.Secret) tokenKey {
	return tokenKey{
		namespace: s.Namespace, name: s.Name, uid: s.UID,
		account: s.Annotations[v1.ServiceAccountNameKey], accountUID: types.UID(s.Annotations[v1.ServiceAccountUIDKey]),
	}
}

var onlyTokens = fields.OneTermEqualSelector("type", string(v1.SecretTypeServiceAccountToken)).String()

// NewTokens returns the controller; nothing runs before Run.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	c := &Tokens{TokensConfig: cfg}
	c.factory = client.InformersOf(cfg.Client, func(o *metav1.ListOptions) { o.FieldSelector = onlyTokens })
	secrets, accounts := c.factory.Core().V1().Secrets(), cfg.Informers.Core().V1().ServiceAccounts()
	c.secrets, c.accounts = secrets.Lister(), accounts.Lister()
	c.Loop = loop.New(loop.Config[tokenKey]{Name: cfg.Controller, Reconcile: c.reconcile, Log: cfg.Log})
	if err := c.On(secrets.Informer(), loop.Each(func(s *v1.Secret) { c.Add(keyOf(s)) })); err != nil {
		return nil, err
	}
	return c, c.On(accounts.Informer(), loop.Each(c.accountChanged))
}

// Run runs the controller until ctx ends.
func (c *Tokens) Run(ctx context.Context) error {
	c.factory.Start(ctx.Done())
	err := c.Loop.Run(ctx)
	c.factory.Shutdown()
	return err
}

func (c *Tokens) accountChanged(a *v1.ServiceAccount) {
	for _, s := range loop.All(c.Log, c.secrets.Secrets(a.Namespace).List) {
		if s.Annotations[v1.ServiceAccountNameKey] == a.Name {
			c.Add(keyOf(s))
		}
	}
}

func (c *Tokens) reconcile(ctx context.Context, k tokenKey) error {
	if k.account == "" {
		return nil // the API server accepts none without
	}
	secret, err := c.secrets.Secrets(k.namespace).Get(k.name)
	if apierrors.IsNotFound(err) || err == nil && secret.UID != k.uid {
		return c.forget(ctx, k)
	}
	if err != nil {
		return err
	}
	account, err := c.account(ctx, k)
	switch {
	case err != nil:
		return err
	case account == nil:
		return c.remove(ctx, k)
	}
	return c.fill(ctx, account, secret)
}

// account returns the account of a token, nil if it does not exist with the same uid. What the cache lacks is read
// from the API server: a token is deleted because of it.
func (c *Tokens) account(ctx context.Context, k tokenKey) (*v1.ServiceAccount, error) {
	is := func(a *v1.ServiceAccount) bool { return k.accountUID == "" || k.accountUID == a.UID }
	a, err := c.accounts.ServiceAccounts(k.namespace).Get(k.account)
	if err == nil && is(a) {
		return a, nil
	}
	a, err = c.Client.CoreV1().ServiceAccounts(k.namespace).Get(ctx, k.account, metav1.GetOptions{})
	if err == nil && is(a) {
		return a, nil
	}
	return nil, loop.IgnoreNotFound(err)
}

// remove deletes the Secret of an account that is gone.
func (c *Tokens) remove(ctx context.Context, k tokenKey) error {
	err := c.Client.CoreV1().Secrets(k.namespace).Delete(ctx, k.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &k.uid}})
	if apierrors.IsConflict(err) { // it is another
		return nil
	}
	return loop.IgnoreNotFound(err)
}

// forget removes the reference to a Secret that is gone from its account.
func (c *Tokens) forget(ctx context.Context, k tokenKey) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if a, err := c.accounts.ServiceAccounts(k.namespace).Get(k.account); err != nil || !refersTo(a, k.name) {
			return loop.IgnoreNotFound(err)
		}
		a, err := c.Client.CoreV1().ServiceAccounts(k.namespace).Get(ctx, k.account, metav1.GetOptions{})
		if err != nil || k.accountUID != "" && k.accountUID != a.UID || !refersTo(a, k.name) {
			return loop.IgnoreNotFound(err)
		}
		var rest []v1.ObjectReference
		for _, r := range a.Secrets {
			if r.Name != k.name {
				rest = append(rest, r)
			}
		}
		a.Secrets = rest
		_, err = c.Client.CoreV1().ServiceAccounts(k.namespace).Update(ctx, a, metav1.UpdateOptions{})
		return loop.IgnoreNotFound(err)
	})
}

func refersTo(a *v1.ServiceAccount, secret string) bool {
	for _, r := range a.Secrets {
		if r.Name == secret {
			return true
		}
	}
	return false
}

// fill writes what a Secret lacks: token, namespace and the cluster's certificate authority.
func (c *Tokens) fill(ctx context.Context, account *v1.ServiceAccount, cached *v1.Secret) error {
	if c.Sign == nil || c.filled(cached) {
		return nil
	}
	secrets := c.Client.CoreV1().Secrets(cached.Namespace)
	s, err := secrets.Get(ctx, cached.Name, metav1.GetOptions{})
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if s.ResourceVersion != cached.ResourceVersion {
		return nil // the event of its change follows
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	if len(c.RootCA) > 0 {
		s.Data[v1.ServiceAccountRootCAKey] = c.RootCA
	}
	if len(s.Data[v1.ServiceAccountNamespaceKey]) == 0 {
		s.Data[v1.ServiceAccountNamespaceKey] = []byte(s.Namespace)
	}
	if len(s.Data[v1.ServiceAccountTokenKey]) == 0 {
		token, err := c.Sign(account, s)
		if err != nil {
			return fmt.Errorf("token of secret %s/%s: %w", s.Namespace, s.Name, err)
		}
		s.Data[v1.ServiceAccountTokenKey] = []byte(token)
	}
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1.ServiceAccountNameKey, account.Name)
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1.ServiceAccountUIDKey, string(account.UID))
	_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) { // the event of the other's change follows
		return nil
	}
	return loop.IgnoreNotFound(err)
}

func (c *Tokens) filled(s *v1.Secret) bool {
	return (len(c.RootCA) == 0 || bytes.Equal(s.Data[v1.ServiceAccountRootCAKey], c.RootCA)) &&
		len(s.Data[v1.ServiceAccountNamespaceKey]) > 0 && len(s.Data[v1.ServiceAccountTokenKey]) > 0
}

// listTokens returns all Secrets with tokens from the API server.
func listTokens(ctx context.Context, s loop.Shared) ([]v1.Secret, error) {
	list, err := s.Client.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: onlyTokens})
	if err != nil {
		return nil, fmt.Errorf("list secrets with tokens: %w", err)
	}
	return list.Items, nil
}
