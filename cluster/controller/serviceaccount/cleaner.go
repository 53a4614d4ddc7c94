package serviceaccount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
)

const (
	// DefaultCleanUpPeriod is how long a token was not used before its Secret is marked as invalid, and how long it
	// is marked before it is deleted, as upstream.
	DefaultCleanUpPeriod = 365 * 24 * time.Hour
	cleanEvery           = 24 * time.Hour
)

// CleanerConfig is what the cleaner is given.
type CleanerConfig struct {
	loop.Shared
	Period time.Duration    // 0 is DefaultCleanUpPeriod
	Now    func() time.Time // nil is time.Now
}

// Cleaner marks, and later deletes, Secrets with tokens which clusters before 1.24 made for each account, if
// nobody has used them for Period and no pod mounts them. Upstream's rules: a Secret is such a one if its account
// refers to it, so that what a user made stays.
type Cleaner struct {
	*loop.Loop[struct{}]
	CleanerConfig
	accounts listers.ServiceAccountLister
	pods     listers.PodLister
}

// NewCleaner returns the cleaner; nothing runs before Run.
func NewCleaner(cfg CleanerConfig) (*Cleaner, error) {
	if cfg.Period == 0 {
		cfg.Period = DefaultCleanUpPeriod
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	core := cfg.Informers.Core().V1()
	c := &Cleaner{CleanerConfig: cfg, accounts: core.ServiceAccounts().Lister(), pods: core.Pods().Lister()}
	c.Loop = loop.New(loop.Config[struct{}]{Name: cfg.Controller, Workers: 1, Reconcile: c.reconcile, Log: cfg.Log})
	c.Need(core.ServiceAccounts().Informer(), core.Pods().Informer())
	c.Add(struct{}{})
	return c, nil
}

func (c *Cleaner) reconcile(ctx context.Context, _ struct{}) error {
	defer c.AddAfter(struct{}{}, cleanEvery)
	now := c.Now().UTC()
	since, err := c.trackedSince(ctx)
	if err != nil || now.Before(since.Add(c.Period)) {
		return loop.IgnoreNotFound(err)
	}
	secrets, err := listTokens(ctx, c.Shared)
	if err != nil {
		return err
	}
	var errs []error
	for i := range secrets {
		if s := &secrets[i]; c.unused(s, now) && c.generated(s) && !c.mounted(s) {
			errs = append(errs, c.clean(ctx, s, now))
		}
	}
	return errors.Join(errs...)
}

// trackedSince returns from when on all uses are recorded: the day after the one that the API server has noted.
func (c *Cleaner) trackedSince(ctx context.Context) (time.Time, error) {
	m, err := c.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, client.LegacyTokenTracking, metav1.GetOptions{})
	if err != nil {
		return time.Time{}, err
	}
	day, err := time.Parse(time.DateOnly, m.Data[client.LegacyTokenTrackedSince])
	if err != nil {
		return time.Time{}, fmt.Errorf("config map %s: %w", client.LegacyTokenTracking, err)
	}
	return day.AddDate(0, 0, 1), nil
}

// unused reports whether a Secret was neither made nor used within the period.
func (c *Cleaner) unused(s *v1.Secret, now time.Time) bool {
	if s.DeletionTimestamp != nil || !s.CreationTimestamp.Time.Before(now.Add(-c.Period)) {
		return false
	}
	used, ok := s.Labels[client.LegacyTokenLastUsed]
	if !ok {
		return true
	}
	if _, err := time.Parse(time.DateOnly, used); err != nil {
		return false // of an unknown day
	}
	return used < c.before(now)
}

// before returns the day of a period ago.
func (c *Cleaner) before(now time.Time) string { return now.Add(-c.Period).Format(time.DateOnly) }

// generated reports whether an account refers to its Secret, as clusters before 1.24 did.
func (c *Cleaner) generated(s *v1.Secret) bool {
	a, err := c.accounts.ServiceAccounts(s.Namespace).Get(s.Annotations[v1.ServiceAccountNameKey])
	uid := types.UID(s.Annotations[v1.ServiceAccountUIDKey])
	return err == nil && (uid == "" || uid == a.UID) && refersTo(a, s.Name)
}

func (c *Cleaner) mounted(s *v1.Secret) bool {
	for _, p := range loop.All(c.Log, c.pods.Pods(s.Namespace).List) {
		if !podfacts.VisitSecretNames(p, func(name string) bool { return name != s.Name }) {
			return true
		}
	}
	return false
}

// clean marks a Secret as invalid, or deletes it when it has been so for the period.
func (c *Cleaner) clean(ctx context.Context, s *v1.Secret, now time.Time) error {
	since := s.Labels[client.LegacyTokenInvalidSince]
	if _, err := time.Parse(time.DateOnly, since); err != nil {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": s.UID, "labels": map[string]string{client.LegacyTokenInvalidSince: now.Format(time.DateOnly)},
		}})
		if err != nil {
			return fmt.Errorf("encode a label: %w", err)
		}
		c.Log.Info("the token of a service account is no longer valid: nobody has used it", "secret", s.Namespace+"/"+s.Name)
		_, err = c.Client.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return loop.IgnoreNotFound(err)
	}
	if since >= c.before(now) {
		return nil
	}
	c.Log.Info("delete the unused token of a service account", "secret", s.Namespace+"/"+s.Name, "invalidSince", since)
	err := c.Client.CoreV1().Secrets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &s.ResourceVersion},
	})
	return loop.IgnoreNotFound(err) // after a conflict the whole is looked at again: it may have been used
}
