package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

// legacy returns a token of account for a Secret that holds it.
func legacy(t *testing.T, tokens *Tokens, o *authztest.Objects, edit ...func(*corev1.Secret)) (string, *corev1.Secret) {
	t.Helper()
	token, err := LegacyToken(tokens.Key, account, "old")
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"token": []byte(token)}}
	s.Namespace, s.Name, s.UID = "a", "old", "secret-2"
	for _, e := range edit {
		e(s)
	}
	o.Put("", "secrets", s)
	return token, s
}

func TestLegacyTokenHasUpstreamsClaims(t *testing.T) {
	tokens, o := newTokens(t)
	token, _ := legacy(t, tokens, o)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:a:bot",
		"kubernetes.io/serviceaccount/namespace":            "a",
		"kubernetes.io/serviceaccount/secret.name":          "old",
		"kubernetes.io/serviceaccount/service-account.name": "bot",
		"kubernetes.io/serviceaccount/service-account.uid":  "sa-1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claims %v, want %v", got, want)
	}
}

func TestLegacyToken(t *testing.T) {
	tokens, o := newTokens(t)
	token, s := legacy(t, tokens, o)
	var marked []string
	tokens.MarkUsed = func(_ context.Context, s *corev1.Secret, day string) error {
		marked = append(marked, s.Name+" "+day)
		return errors.New("the disk is full")
	}
	now := time.Date(2026, 5, 1, 23, 30, 0, 0, time.UTC)
	tokens.now = func() time.Time { return now }
	for range 3 { // the failing label is not tried with each request
		u, audiences, err := tokens.Verify(context.Background(), token, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := (&User{Name: "system:serviceaccount:a:bot", UID: "sa-1", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:a"}}); !reflect.DeepEqual(u, want) || !reflect.DeepEqual(audiences, []string{issuer}) {
			t.Errorf("user %+v for %v", u, audiences)
		}
	}
	now = now.Add(10 * 365 * 24 * time.Hour)
	if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
		t.Errorf("after ten years: %v", err)
	}
	used := s.DeepCopy()
	used.Labels = map[string]string{client.LegacyTokenLastUsed: "2036-04-28"}
	o.Put("", "secrets", used)
	if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"old 2026-05-01", "old 2036-04-28"}; !reflect.DeepEqual(marked, want) {
		t.Errorf("labelled %q, want %q", marked, want)
	}
	if _, _, err := tokens.Verify(context.Background(), token, []string{"vault"}); err == nil {
		t.Error("it is for another audience, too")
	}
}

func TestLegacyTokenEndsWithItsSecret(t *testing.T) {
	change := func(f func(*corev1.Secret)) func(*authztest.Objects, *corev1.Secret) {
		return func(o *authztest.Objects, s *corev1.Secret) {
			s = s.DeepCopy()
			f(s)
			o.Put("", "secrets", s)
		}
	}
	cases := map[string]struct {
		end  func(*authztest.Objects, *corev1.Secret)
		want string
	}{
		"deleted":       {func(o *authztest.Objects, s *corev1.Secret) { o.Delete("", "secrets", s) }, "Token has been invalidated"},
		"being deleted": {change(func(s *corev1.Secret) { s.DeletionTimestamp = &s.CreationTimestamp }), "Token has been invalidated"},
		"another token": {change(func(s *corev1.Secret) { s.Data["token"] = []byte("x") }), "Token does not match server's copy"},
		"emptied":       {change(func(s *corev1.Secret) { s.Data = nil }), "Token does not match server's copy"},
		"marked": {
			change(func(s *corev1.Secret) { s.Labels = map[string]string{client.LegacyTokenInvalidSince: "2026-01-01"} }),
			"the token in secret a/old for service account a/bot has been marked invalid. Use tokens from the TokenRequest API or manually created " +
				"secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token",
		},
		"account deleted": {func(o *authztest.Objects, _ *corev1.Secret) { o.Delete("", "serviceaccounts", account) }, `serviceaccounts "bot" not found`},
		"account replaced": {func(o *authztest.Objects, _ *corev1.Secret) {
			n := account.DeepCopy()
			n.UID = "sa-2"
			o.Put("", "serviceaccounts", n)
		}, "ServiceAccount UID (sa-2) does not match claim (sa-1)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tokens, o := newTokens(t)
			token, s := legacy(t, tokens, o)
			if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
				t.Fatal(err)
			}
			c.end(o, s)
			if _, _, err := tokens.Verify(context.Background(), token, nil); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A token that the cache does not show yet is read from the store.
func TestLegacyTokenIsValidAtOnce(t *testing.T) {
	tokens, o := newTokens(t)
	o.Held = true
	token, _ := legacy(t, tokens, o)
	if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
		t.Error(err)
	}
}

func TestLegacyTokenRefusals(t *testing.T) {
	tokens, o := newTokens(t)
	others, _ := newTokens(t)
	store := func(token string) string {
		o.Put("", "secrets", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "old"}, Data: map[string][]byte{"token": []byte(token)}})
		return token
	}
	forged := func(c *legacyClaims) string {
		c.Issuer = LegacyIssuer
		token, err := sign(tokens.Key, c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	complete := func() *legacyClaims {
		c := &legacyClaims{Namespace: "a", Secret: "old", AccountName: "bot", AccountUID: "sa-1"}
		c.Subject = "system:serviceaccount:a:bot"
		return c
	}
	without := func(f func(*legacyClaims)) string { c := complete(); f(c); return forged(c) }
	foreign, err := LegacyToken(others.Key, account, "old")
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"other key":     foreign,
		"no subject":    without(func(c *legacyClaims) { c.Subject = "" }),
		"no namespace":  without(func(c *legacyClaims) { c.Namespace = "" }),
		"no secret":     without(func(c *legacyClaims) { c.Secret = "" }),
		"no account":    without(func(c *legacyClaims) { c.AccountName = "" }),
		"no uid":        without(func(c *legacyClaims) { c.AccountUID = "" }),
		"other subject": without(func(c *legacyClaims) { c.Subject = "system:serviceaccount:a:admin" }),
	} {
		if u, _, err := tokens.Verify(context.Background(), store(token), nil); err == nil {
			t.Errorf("%s: taken as %v", name, u)
		}
	}
	if _, _, err := tokens.Verify(context.Background(), store(forged(complete())), nil); err != nil {
		t.Errorf("complete: %v", err)
	}
}

// Upstream warns of the tokens that clusters before 1.24 made by themselves, and annotates all.
func TestNotesOfLegacyTokens(t *testing.T) {
	tokens, o := newTokens(t)
	a := New(Config{Tokens: tokens})
	token, s := legacy(t, tokens, o)
	ask := func() *Notes {
		notes := &Notes{}
		r := httptest.NewRequest("GET", "/api", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		_, _ = a.Authenticate(r.WithContext(WithNotes(r.Context(), notes)))
		return notes
	}
	const prefix = "authentication.k8s.io/legacy-token"
	expect := func(n *Notes, warning string, annotations map[string]string) {
		t.Helper()
		if got := strings.Join(n.Warnings(), "|"); got != warning {
			t.Errorf("warning %q, want %q", got, warning)
		}
		annotations[prefix] = "system:serviceaccount:a:bot"
		if got := n.Annotations(); !reflect.DeepEqual(got, annotations) {
			t.Errorf("annotations %v, want %v", got, annotations)
		}
	}
	expect(ask(), "", map[string]string{prefix + "-manual-secret": "old"})
	refers := account.DeepCopy()
	refers.Secrets = []corev1.ObjectReference{{Name: "old"}}
	o.Put("", "serviceaccounts", refers)
	expect(ask(), "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.",
		map[string]string{prefix + "-autogenerated-secret": "old"})
	s = s.DeepCopy()
	s.Labels = map[string]string{client.LegacyTokenInvalidSince: "2026-01-01"}
	o.Put("", "secrets", s)
	expect(ask(), "", map[string]string{prefix + "-invalidated": "old/a"})

	out, err := a.Reviews()[authenticationv1.SchemeGroupVersion.WithResource("tokenreviews")](context.Background(), nil,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}})
	if err != nil || !strings.Contains(out.(*authenticationv1.TokenReview).Status.Error, "has been marked invalid") {
		t.Errorf("review: %+v, %v", out, err)
	}
}
