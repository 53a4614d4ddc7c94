package authn

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/pki"
)

const issuer = "https://kubernetes.default.svc.cluster.local"

var (
	account = &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "bot", UID: "sa-1"}}
	pod     = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "pod-1"},
		Spec:       corev1.PodSpec{ServiceAccountName: "bot", NodeName: "n1"},
	}
	secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s", UID: "secret-1"}}
	node   = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "node-1"}}
)

type allow func(authz.Attributes) bool

func (f allow) Authorize(_ context.Context, at authz.Attributes) (bool, string, error) {
	return f(at), "", nil
}

func bootstrapSecret(id, expires string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-" + id}, Type: bootstrapSecretType,
		Data: map[string][]byte{
			"token-id": []byte(id), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true"),
			"expiration": []byte(expires), "auth-extra-groups": []byte("system:bootstrappers:labs, system:masters"),
		},
	}
}

func TestCredentials(t *testing.T) {
	tokens, o := newTokens(t)
	o.Put("", "secrets", bootstrapSecret("abcdef", time.Now().Add(time.Hour).Format(time.RFC3339)),
		bootstrapSecret("ghijkl", time.Now().Add(-time.Hour).Format(time.RFC3339)))
	a := New(Config{Tokens: tokens, Secrets: o, Static: map[string]*User{"static-token": {Name: "joe", Groups: []string{"g"}}}})
	sa := issue(t, tokens, authenticationv1.TokenRequestSpec{})
	cases := []struct {
		name, header, protocol, want string // want is name and groups, "" for 401
	}{
		{"nothing", "", "", "system:anonymous [system:unauthenticated]"},
		{"static", "Bearer static-token", "", "joe [g system:authenticated]"},
		{"lower case", "bearer static-token", "", "joe [g system:authenticated]"},
		{"unknown", "Bearer other", "", ""},
		{"service account", "Bearer " + sa, "", "system:serviceaccount:a:bot [system:serviceaccounts system:serviceaccounts:a system:authenticated]"},
		{"websocket", "", "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte("static-token")), "joe [g system:authenticated]"},
		{"websocket, nothing to answer with", "", "base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte("static-token")), ""},
		{"bootstrap", "Bearer abcdef.0123456789abcdef", "", "system:bootstrap:abcdef [system:bootstrappers system:bootstrappers:labs system:authenticated]"},
		{"bootstrap, wrong secret", "Bearer abcdef.0123456789abcdee", "", ""},
		{"bootstrap, expired", "Bearer ghijkl.0123456789abcdef", "", ""},
		{"bootstrap, unknown", "Bearer zzzzzz.0123456789abcdef", "", ""},
		{"basic is no credential of ours", "Basic am9lOnB3", "", "system:anonymous [system:unauthenticated]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/api", nil)
			r.Header.Set("Authorization", c.header)
			r.Header.Set("Sec-Websocket-Protocol", c.protocol)
			u, err := a.Authenticate(r)
			got := ""
			if err == nil {
				got = u.Name + " [" + strings.Join(u.Groups, " ") + "]"
			} else if !apierrors.IsUnauthorized(err) {
				t.Errorf("error %v", err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if left := r.Header.Get("Sec-Websocket-Protocol"); err == nil && strings.Contains(left, "bearer") {
				t.Errorf("whom the request is passed on to gets %q", left)
			}
		})
	}
}

func TestImpersonation(t *testing.T) {
	var asked []string
	a := New(Config{
		Static: map[string]*User{"t": {Name: "alice"}},
		Authorizer: allow(func(at authz.Attributes) bool {
			if at.Verb != "impersonate" { // of the constrained modes
				return false
			}
			asked = append(asked, at.Verb+" "+at.Group+"/"+at.Resource+"/"+at.Subresource+" "+at.Namespace+" "+at.Name)
			return at.User.Name == "alice" && at.Name != "root"
		}),
	})
	try := func(headers ...string) (*User, http.Header, error) {
		asked = nil
		r := httptest.NewRequest("GET", "/api", nil)
		r.Header.Set("Authorization", "Bearer t")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		u, err := a.Authenticate(r)
		return u, r.Header, err
	}
	u, h, err := try("Impersonate-User", "bob", "Impersonate-Group", "devs", "Impersonate-Extra-Scopes", "x", "Impersonate-Uid", "7")
	if err != nil || u.Name != "bob" || u.UID != "7" || !reflect.DeepEqual(u.Groups, []string{"devs", "system:authenticated"}) || u.Extra["scopes"][0] != "x" {
		t.Errorf("%+v, %v", u, err)
	}
	want := []string{
		"impersonate /users/  bob", "impersonate authentication.k8s.io/uids/  7",
		"impersonate /groups/  devs", "impersonate authentication.k8s.io/userextras/scopes  x",
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q", asked)
	}
	if h.Get("Impersonate-User") != "" {
		t.Error("the header goes on to those behind us")
	}
	u, _, err = try("Impersonate-User", "system:serviceaccount:a:bot")
	if err != nil || asked[0] != "impersonate /serviceaccounts/ a bot" || !u.InGroup("system:serviceaccounts:a") {
		t.Errorf("%+v, %v, %v", u, err, asked)
	}
	// what is not the name of an account is a user's, wherever it is that one may act as accounts
	if u, _, err = try("Impersonate-User", "system:serviceaccount:a:b:bot"); err != nil || asked[0] != "impersonate /users/  system:serviceaccount:a:b:bot" || len(u.Groups) != 1 {
		t.Errorf("%+v, %v, %v", u, err, asked)
	}
	_, _, err = try("Impersonate-User", "root")
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `users "root" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope`) {
		t.Errorf("error %v", err)
	}
	if _, _, err = try("Impersonate-Group", "devs"); !apierrors.IsBadRequest(err) {
		t.Errorf("group alone: %v", err)
	}
	a.Authorizer = nil
	if _, _, err = try("Impersonate-User", "bob"); !apierrors.IsForbidden(err) {
		t.Errorf("without an authorizer: %v", err)
	}
}

func TestClientCertificateOverTLS(t *testing.T) {
	ca, err := pki.Open(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := pki.Open(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{ClientCAs: ca.Pool()})
	for _, mode := range []tls.ClientAuthType{tls.VerifyClientCertIfGiven, tls.RequestClientCert} {
		get := serve(t, a, ca, mode)
		if got, err := get(nil, nil); err != nil || got != "200 system:anonymous system:unauthenticated" {
			t.Errorf("no certificate: %q, %v", got, err)
		}
		r := pki.NodeRequest("n1")
		if got, err := get(ca, &r); err != nil || got != "200 system:node:n1 system:nodes system:authenticated" {
			t.Errorf("node: %q, %v", got, err)
		}
		got, err := get(stranger, &r)
		if (mode == tls.RequestClientCert && got != "401 ") || (mode != tls.RequestClientCert && err == nil) {
			t.Errorf("stranger: %q, %v", got, err)
		}
	}
	a.now = func() time.Time { return time.Now().Add(3 * 365 * 24 * time.Hour) }
	r := pki.AdminRequest()
	if got, err := serve(t, a, ca, tls.RequestClientCert)(ca, &r); err != nil || got != "401 " {
		t.Errorf("expired: %q, %v", got, err)
	}
}

func serve(t *testing.T, a *Authenticator, ca *pki.Authority, mode tls.ClientAuthType) func(*pki.Authority, *pki.Request) (string, error) {
	t.Helper()
	p, err := ca.Issue(pki.ServerRequest("cluster.local", nil, []net.IP{net.IPv4(10, 0, 0, 1)}))
	if err != nil {
		t.Fatal(err)
	}
	serving, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := a.Authenticate(r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, u.Name+" "+strings.Join(u.Groups, " "))
	}))
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{Certificates: []tls.Certificate{serving}, ClientCAs: ca.Pool(), ClientAuth: mode}
	s.StartTLS()
	t.Cleanup(s.Close)
	return func(by *pki.Authority, r *pki.Request) (string, error) {
		c := &tls.Config{RootCAs: ca.Pool(), ServerName: "kubernetes"}
		if r != nil {
			p, err := by.Issue(*r)
			if err != nil {
				t.Fatal(err)
			}
			own, err := p.TLS()
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: c}}).Get(s.URL)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		return resp.Status[:3] + " " + b.String(), err
	}
}

func TestReviews(t *testing.T) {
	tokens, _ := newTokens(t)
	a := New(Config{Tokens: tokens, Static: map[string]*User{"static-token": {Name: "joe"}}})
	gv := authenticationv1.SchemeGroupVersion
	ask := a.Reviews()
	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		out, err := ask[gv.WithResource("tokenreviews")](context.Background(), nil,
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}})
		if err != nil {
			t.Fatal(err)
		}
		return out.(*authenticationv1.TokenReview).Status
	}
	vault := issue(t, tokens, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
	if s := review(vault, "vault", "x"); !s.Authenticated || s.User.Username != "system:serviceaccount:a:bot" || !reflect.DeepEqual(s.Audiences, []string{"vault"}) {
		t.Errorf("vault: %+v", s)
	}
	if s := review(vault, "x"); s.Authenticated || s.Error != `[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["x"]]` {
		t.Errorf("vault for x: %+v", s)
	}
	if s := review(vault); s.Authenticated || s.Error == "" {
		t.Errorf("vault for us: %+v", s)
	}
	for _, token := range []string{"abc", "a.b.c"} { // no token of ours: why not is no matter
		if s := review(token); s.Authenticated || s.Error != "invalid bearer token" {
			t.Errorf("%s: %+v", token, s)
		}
	}
	if s := review("static-token"); !s.Authenticated || s.User.Username != "joe" {
		t.Errorf("static: %+v", s)
	}
	out, err := ask[gv.WithResource("selfsubjectreviews")](context.Background(),
		&User{Name: "joe", Groups: []string{rbacv1.GroupKind}, Extra: map[string][]string{"k": {"v"}}}, &authenticationv1.SelfSubjectReview{})
	if s := out.(*authenticationv1.SelfSubjectReview); err != nil || s.Status.UserInfo.Username != "joe" || s.Status.UserInfo.Extra["k"][0] != "v" || s.CreationTimestamp.IsZero() {
		t.Errorf("self: %+v, %v", s, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	tokens, _ := newTokens(b)
	token := issue(b, tokens, authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "p")})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := tokens.Verify(context.Background(), token, nil); err != nil {
			b.Fatal(err)
		}
	}
}
