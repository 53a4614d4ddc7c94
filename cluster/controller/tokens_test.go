package controller_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/wait"
)

func tokenSecret(name, account string) *v1.Secret {
	return &v1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1.ServiceAccountNameKey: account}},
		Type:       v1.SecretTypeServiceAccountToken,
	}
}

// signed is a token that says what it is for.
func signed(a *v1.ServiceAccount, s *v1.Secret) (string, error) {
	return "token of " + a.Name + " " + string(a.UID) + " for " + s.Name, nil
}

func (c *testCluster) account(name string, secrets ...string) *v1.ServiceAccount {
	c.t.Helper()
	a := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, s := range secrets {
		a.Secrets = append(a.Secrets, v1.ObjectReference{Name: s})
	}
	a, err := c.CoreV1().ServiceAccounts("default").Create(c.t.Context(), a, metav1.CreateOptions{})
	c.must(err)
	return a
}

// token creates a Secret for an account and waits for its token.
func (c *testCluster) token(name string, a *v1.ServiceAccount) *v1.Secret {
	c.t.Helper()
	_, err := c.CoreV1().Secrets("default").Create(c.t.Context(), tokenSecret(name, a.Name), metav1.CreateOptions{})
	c.must(err)
	want, _ := signed(a, tokenSecret(name, a.Name))
	var got *v1.Secret
	wait.For(c.t, "the token of "+name, func() error {
		got, err = c.CoreV1().Secrets("default").Get(c.t.Context(), name, metav1.GetOptions{})
		c.must(err)
		if string(got.Data["token"]) != want {
			return wait.Seen(false, got.Data)
		}
		return nil
	})
	return got
}

func (c *testCluster) secretGoes(name string) {
	c.t.Helper()
	wait.For(c.t, name+" is deleted", func() error {
		if s, err := c.CoreV1().Secrets("default").Get(c.t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return wait.Seen(false, s.Annotations, err)
		}
		return nil
	})
}

func TestTokensOfSecrets(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(cfg *controller.Config) { cfg.SignToken = signed })
	ctx, secrets := t.Context(), c.CoreV1().Secrets("default")
	bot := c.account("bot", "first", "other")
	s := c.token("first", bot)
	if string(s.Data["namespace"]) != "default" || string(s.Data["ca.crt"]) != "PEM" || s.Annotations[v1.ServiceAccountUIDKey] != string(bot.UID) {
		t.Errorf("filled with %q, annotations %v", s.Data, s.Annotations)
	}

	// What somebody takes out comes back, and the rest stays.
	s.Data = map[string][]byte{"extra": []byte("x"), "ca.crt": []byte("old")}
	_, err := secrets.Update(ctx, s, metav1.UpdateOptions{})
	c.must(err)
	wait.For(t, "the token again", func() error {
		s, err := secrets.Get(ctx, "first", metav1.GetOptions{})
		c.must(err)
		if len(s.Data["token"]) == 0 || string(s.Data["ca.crt"]) != "PEM" || string(s.Data["extra"]) != "x" {
			return wait.Seen(false, s.Data)
		}
		return nil
	})

	// The reference to a Secret that is gone is removed from the account, and no other.
	c.must(secrets.Delete(ctx, "first", metav1.DeleteOptions{}))
	wait.For(t, "no reference to the deleted secret", func() error {
		a, err := c.CoreV1().ServiceAccounts("default").Get(ctx, "bot", metav1.GetOptions{})
		c.must(err)
		if len(a.Secrets) != 1 || a.Secrets[0].Name != "other" {
			return wait.Seen(false, a.Secrets)
		}
		return nil
	})

	// Secrets go with their account, others stay.
	c.token("second", bot)
	stays := tokenSecret("stays", "bot")
	stays.Type, stays.Annotations = v1.SecretTypeOpaque, map[string]string{v1.ServiceAccountNameKey: "bot"}
	_, err = secrets.Create(ctx, stays, metav1.CreateOptions{})
	c.must(err)
	c.must(c.CoreV1().ServiceAccounts("default").Delete(ctx, "bot", metav1.DeleteOptions{}))
	c.secretGoes("second")
	_, err = secrets.Create(ctx, tokenSecret("early", "nobody"), metav1.CreateOptions{})
	c.must(err)
	c.secretGoes("early")

	// One that was made for an account of the same name before is not for the new one.
	again := c.account("bot")
	former := tokenSecret("former", "bot")
	former.Annotations[v1.ServiceAccountUIDKey] = string(bot.UID)
	_, err = secrets.Create(ctx, former, metav1.CreateOptions{})
	c.must(err)
	c.secretGoes("former")
	c.token("third", again)
	_, err = secrets.Get(ctx, "stays", metav1.GetOptions{})
	c.must(err)
}

func TestUnusedTokensAreCleanedUp(t *testing.T) {
	t.Parallel()
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	c := startCluster(t, func(cfg *controller.Config) {
		cfg.SignToken, cfg.TokenCleanUp = signed, time.Nanosecond
		oldTokens(t, cfg.Client, map[string]map[string]string{
			"unused": nil, "marked": {client.LegacyTokenInvalidSince: day(1)}, "mounted": nil, "manual": nil,
			"used": {client.LegacyTokenLastUsed: day(0)}, "unknown": {client.LegacyTokenLastUsed: "soon"},
		}, day(2))
	})
	ctx := t.Context()
	labelled := func(name string) string {
		s, err := c.CoreV1().Secrets("default").Get(ctx, name, metav1.GetOptions{})
		c.must(err)
		return s.Labels[client.LegacyTokenInvalidSince]
	}
	wait.For(t, "the unused token is marked", func() error {
		if got := labelled("unused"); got != day(0) {
			return wait.Seen(false, got)
		}
		return nil
	})
	c.secretGoes("marked")
	for _, name := range []string{"manual", "mounted", "used", "unknown"} {
		if got := labelled(name); got != "" {
			t.Errorf("%s is marked as invalid since %s", name, got)
		}
	}
}

// oldTokens makes Secrets with labels, to all of which but the manual one their account refers.
func oldTokens(t *testing.T, cs kubernetes.Interface, secrets map[string]map[string]string, since string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "bot"}}
	for name := range secrets {
		if name != "manual" {
			a.Secrets = append(a.Secrets, v1.ObjectReference{Name: name})
		}
	}
	_, err := cs.CoreV1().ServiceAccounts("default").Create(ctx, a, metav1.CreateOptions{})
	must(err)
	for name, labels := range secrets {
		s := tokenSecret(name, "bot")
		s.Labels = labels
		_, err = cs.CoreV1().Secrets("default").Create(ctx, s, metav1.CreateOptions{})
		must(err)
	}
	_, err = cs.CoreV1().Pods("default").Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "user"},
		Spec: v1.PodSpec{Containers: container(), Volumes: []v1.Volume{
			{Name: "t", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "mounted"}}},
		}},
	}, metav1.CreateOptions{})
	must(err)
	_, err = cs.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}, metav1.CreateOptions{})
	must(err)
	_, err = cs.CoreV1().ConfigMaps("kube-system").Create(ctx, &v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: client.LegacyTokenTracking}, Data: map[string]string{client.LegacyTokenTrackedSince: since},
	}, metav1.CreateOptions{})
	must(err)
}
