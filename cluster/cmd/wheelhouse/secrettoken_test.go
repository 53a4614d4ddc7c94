//go:build !quick

package main_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/wait"
)

// secretToken makes a Secret for the default account's token, and returns the token.
func secretToken(t *testing.T, s *server, name string) string {
	t.Helper()
	wait.Within(t, time.Minute, "the account", func() error {
		_, err := s.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	secrets := s.CoreV1().Secrets("default")
	must[*corev1.Secret](t)(secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{}))
	token := ""
	wait.Within(t, time.Minute, "the token of secret "+name, func() error {
		got, err := secrets.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if token = string(got.Data[corev1.ServiceAccountTokenKey]); token == "" {
			return wait.Seen(false, got.Data)
		}
		return nil
	})
	return token
}

// configWithToken reaches the server with a token alone.
func configWithToken(t *testing.T, s *server, token string) *rest.Config {
	t.Helper()
	cfg := rest.AnonymousClientConfig(must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig)))
	cfg.BearerToken, cfg.QPS = token, -1
	return cfg
}

func whoIs(t *testing.T, s *server, token string) (string, error) {
	t.Helper()
	cs := withToken(t, s, token)
	r, err := cs.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return r.Status.UserInfo.Username, nil
}

func tokenAuthenticates(t *testing.T, s *server, token string) {
	t.Helper()
	if name, err := whoIs(t, s, token); err != nil || name != "system:serviceaccount:default:default" {
		t.Errorf("the token is that of %q, %v", name, err)
	}
}

// A token in a Secret is the account's until the Secret is deleted.
func TestTokenOfASecret(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir())
	ctx, secrets := t.Context(), s.CoreV1().Secrets("default")
	token := secretToken(t, s, "robot")
	tokenAuthenticates(t, s, token)
	wait.Within(t, time.Minute, "the day of its use", func() error {
		got, err := secrets.Get(ctx, "robot", metav1.GetOptions{})
		if err != nil {
			return err
		}
		day := got.Labels["kubernetes.io/legacy-token-last-used"]
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return wait.Seen(false, got.Labels)
		}
		return nil
	})

	// It has the account's rights, and no more.
	cs := withToken(t, s, token)
	if _, err := cs.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("pods without a right: %v", err)
	}
	must[*rbacv1.RoleBinding](t)(s.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "robot"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "default"}},
	}, metav1.CreateOptions{}))
	wait.Within(t, time.Minute, "pods with the right", func() error {
		_, err := cs.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	})
	node := as(t, s, pki.NodeRequest("n1"))
	if _, err := node.CoreV1().Secrets("default").Get(ctx, "robot", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a node reads the secret that none of its pods has: %v", err)
	}

	// A token that clusters made by themselves comes with a warning.
	account := must[*corev1.ServiceAccount](t)(s.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}))
	account.Secrets = []corev1.ObjectReference{{Name: "robot"}}
	must[*corev1.ServiceAccount](t)(s.CoreV1().ServiceAccounts("default").Update(ctx, account, metav1.UpdateOptions{}))
	wait.Within(t, time.Minute, "a warning", func() error {
		if got := warningOf(t, configWithToken(t, s, token)); !strings.Contains(got, "instead of auto-generated secret-based tokens") {
			return wait.Seen(false, got)
		}
		return nil
	})

	text := must[string](t)(metricsOf(t, s))
	if !strings.Contains(text, "\nserviceaccount_legacy_manual_token_uses_total ") || !strings.Contains(text, "\nserviceaccount_legacy_auto_token_uses_total ") {
		t.Error("the uses are not counted")
	}

	if err := secrets.Delete(ctx, "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "the token ends with its secret", func() error {
		if name, err := whoIs(t, s, token); !apierrors.IsUnauthorized(err) {
			return wait.Seen(false, name, err)
		}
		return nil
	})
}

func warningOf(t *testing.T, cfg *rest.Config) string {
	t.Helper()
	c := must[*http.Client](t)(rest.HTTPClientFor(cfg))
	resp := must[*http.Response](t)(c.Get(cfg.Host + "/version"))
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return strings.Join(resp.Header.Values("Warning"), " ")
}

func metricsOf(t *testing.T, s *server) (string, error) {
	t.Helper()
	raw, err := s.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	return string(raw), err
}
