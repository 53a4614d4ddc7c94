package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
)

func newTokens(t testing.TB) (*Tokens, *authztest.Objects) {
	t.Helper()
	o := authztest.New()
	o.Put("", "serviceaccounts", account)
	o.Put("", "pods", pod)
	o.Put("", "secrets", secret)
	o.Put("", "nodes", node)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens(TokensConfig{Key: key, Issuer: issuer, Objects: o})
	if err != nil {
		t.Fatal(err)
	}
	return tokens, o
}

func issue(t testing.TB, tokens *Tokens, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	r, err := tokens.Issue(context.Background(), nil, account, &authenticationv1.TokenRequest{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Token
}

func bound(kind, name string) *authenticationv1.BoundObjectReference {
	return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name}
}

func TestTokenRoundTrip(t *testing.T) {
	tokens, _ := newTokens(t)
	life := int64(3607)
	r, err := tokens.Issue(context.Background(), nil, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &life, BoundObjectRef: bound("Pod", "p")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(r.Status.ExpirationTimestamp.Time); left < time.Hour || left > 3607*time.Second {
		t.Errorf("expires in %v", left)
	}
	if !reflect.DeepEqual(r.Spec.Audiences, []string{issuer}) {
		t.Errorf("audiences %v", r.Spec.Audiences)
	}
	u, audiences, err := tokens.Verify(context.Background(), r.Status.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.Name != "system:serviceaccount:a:bot" || u.UID != "sa-1" ||
		!reflect.DeepEqual(u.Groups, []string{"system:serviceaccounts", "system:serviceaccounts:a"}) || !reflect.DeepEqual(audiences, []string{issuer}) {
		t.Errorf("user %+v for %v", u, audiences)
	}
	id := u.Extra[extraCredentialID]
	delete(u.Extra, extraCredentialID)
	want := map[string][]string{extraPodName: {"p"}, extraPodUID: {"pod-1"}, extraNodeName: {"n1"}, extraNodeUID: {"node-1"}}
	if !reflect.DeepEqual(u.Extra, want) || len(id) != 1 || !strings.HasPrefix(id[0], "JTI=") {
		t.Errorf("extra %v, id %v", u.Extra, id)
	}
}

func TestTokenDiesWithWhatItHangsOn(t *testing.T) {
	cases := []struct {
		name string
		ref  *authenticationv1.BoundObjectReference
		kill func(*authztest.Objects)
		want string
	}{
		{"account deleted", nil, func(o *authztest.Objects) { o.Delete("", "serviceaccounts", account) }, `serviceaccounts "bot" of the token has been deleted`},
		{"account made again", nil, func(o *authztest.Objects) {
			n := account.DeepCopy()
			n.UID = "sa-2"
			o.Put("", "serviceaccounts", n)
		}, "was replaced"},
		{"pod deleted", bound("Pod", "p"), func(o *authztest.Objects) { o.Delete("", "pods", pod) }, `pods "p" of the token has been deleted`},
		{"secret deleted", bound("Secret", "s"), func(o *authztest.Objects) { o.Delete("", "secrets", secret) }, `secrets "s" of the token has been deleted`},
		{"node deleted", bound("Node", "n1"), func(o *authztest.Objects) { o.Delete("", "nodes", node) }, `nodes "n1" of the token has been deleted`},
		{"pod's node deleted", bound("Pod", "p"), func(o *authztest.Objects) { o.Delete("", "nodes", node) }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tokens, o := newTokens(t)
			token := issue(t, tokens, authenticationv1.TokenRequestSpec{BoundObjectRef: c.ref})
			if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
				t.Fatal(err)
			}
			c.kill(o)
			_, _, err := tokens.Verify(context.Background(), token, nil)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestTokenRefusals(t *testing.T) {
	tokens, _ := newTokens(t)
	others, _ := newTokens(t)
	good := issue(t, tokens, authenticationv1.TokenRequestSpec{})
	parts := strings.Split(good, ".")
	forged := func(c *claims) string {
		s, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(tokens.Key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, &claims{}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"other key":   issue(t, others, authenticationv1.TokenRequestSpec{}),
		"other aud":   issue(t, tokens, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}),
		"cut short":   parts[0] + "." + parts[1] + ".",
		"no token":    "hello",
		"none":        none,
		"wrong claim": forged(&claims{RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Subject: "system:admin", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)), NotBefore: jwt.NewNumericDate(time.Now())}}),
		"no end":      forged(&claims{RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Subject: "system:serviceaccount:a:bot"}}),
	}
	for name, token := range bad {
		if u, _, err := tokens.Verify(context.Background(), token, nil); err == nil {
			t.Errorf("%s: taken as %v", name, u)
		}
	}
	if _, _, err := tokens.Verify(context.Background(), good, nil); err != nil {
		t.Fatal(err)
	}
	tokens.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, _, err := tokens.Verify(context.Background(), good, nil); err == nil {
		t.Error("an expired token is taken because it was good before")
	}
}

func TestTokenRequestErrors(t *testing.T) {
	tokens, _ := newTokens(t)
	short := int64(60)
	wrong := bound("Pod", "p")
	wrong.UID = "other"
	cases := map[string]struct {
		spec authenticationv1.TokenRequestSpec
		want string
	}{
		"short life": {authenticationv1.TokenRequestSpec{ExpirationSeconds: &short}, `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes`},
		"gone pod":   {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "x")}, `pods "x" not found`},
		"other uid":  {authenticationv1.TokenRequestSpec{BoundObjectRef: wrong}, "the UID in the bound object reference (other) does not match the UID in record"},
		"other kind": {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("ConfigMap", "x")}, "cannot bind token to object of type /v1, Kind=ConfigMap"},
	}
	for name, c := range cases {
		_, err := tokens.Issue(context.Background(), nil, account, &authenticationv1.TokenRequest{Spec: c.spec})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "other"}}
	_, err := tokens.Issue(context.Background(), nil, stranger, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "p")}})
	if err == nil || !strings.Contains(err.Error(), `cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.`) {
		t.Errorf("other account: %v", err)
	}
}

// The published key verifies our tokens for somebody who has only the documents.
func TestDiscovery(t *testing.T) {
	tokens, _ := newTokens(t)
	h, err := tokens.Discovery("https://10.245.1.2:443")
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, into any) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v", path, w.Code, err)
		}
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	get("/.well-known/openid-configuration", &doc)
	if doc.Issuer != issuer || doc.JWKS != "https://10.245.1.2:443/openid/v1/jwks" {
		t.Errorf("document %+v", doc)
	}
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	get("/openid/v1/jwks", &set)
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(b)
	}
	public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(set.Keys[0].X), Y: number(set.Keys[0].Y)} //nolint:staticcheck // a key set has the coordinates
	parsed, err := jwt.Parse(issue(t, tokens, authenticationv1.TokenRequestSpec{}), func(*jwt.Token) (any, error) { return public, nil })
	if err != nil || parsed.Header["kid"] != set.Keys[0].Kid {
		t.Errorf("%v, kid %v", err, parsed.Header["kid"])
	}
}
