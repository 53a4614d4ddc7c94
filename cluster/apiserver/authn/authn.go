// Package authn authenticates requests: by client certificate, by
// service-account token, by a static or bootstrap token, or as anonymous; and
// impersonation. It also issues service-account tokens and answers the reviews of
// authentication.k8s.io.
//
// It decides about identity only; what anonymous may see is a matter of RBAC.
// Every error that Authenticate returns is a Status: 401 for a bad credential,
// 403 for an impersonation that is not allowed, 429 for too many guesses.
package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/client"
)

// User is the sender of a request.
type User = client.User

// WithUser and UserFrom carry the user in a request's context.
var (
	WithUser = client.WithUser
	UserFrom = client.UserFrom
)

// Users and groups that authentication assigns.
const (
	Anonymous            = "system:anonymous"
	AllAuthenticated     = "system:authenticated"
	AllUnauthenticated   = "system:unauthenticated"
	ServiceAccountPrefix = "system:serviceaccount:"
	AllServiceAccounts   = "system:serviceaccounts"
)

// Getter reads one object; authz.FromStore returns one.
type Getter interface {
	Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error)
}

// Authorizer decides whether a user may impersonate.
type Authorizer interface {
	Authorize(context.Context, authz.Attributes) (allowed bool, reason string, err error)
}

// Config is what an Authenticator needs; each field is optional.
type Config struct {
	// ClientCAs verifies client certificates that the TLS layer asked for and did
	// not verify itself.
	ClientCAs *x509.CertPool
	Tokens    *Tokens          // service-account tokens
	Static    map[string]*User // by token
	// Secrets reads the bootstrap tokens, which are secrets of kube-system.
	Secrets    Getter
	Authorizer Authorizer // nil refuses impersonation
	// Revoked reports whether a client certificate is revoked; nil: none is.
	Revoked func(context.Context, *x509.Certificate) bool
	Log     *slog.Logger
}

// Authenticator is the API server's.
type Authenticator struct {
	Config
	static    map[[sha256.Size]byte]*User
	now       func() time.Time
	guesses   *guesses
	verifying *flowcontrol.Level

	impersonations impersonationMetrics

	mu       sync.Mutex
	good     map[[sha256.Size]byte]bool // client certificates verified before
	lastMode map[string]int             // of impersonationModes, by which a user has impersonated
}

// New returns an Authenticator.
func New(c Config) *Authenticator {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	a := &Authenticator{
		Config: c, static: map[[sha256.Size]byte]*User{}, now: time.Now, verifying: newVerifying(), impersonations: newImpersonationMetrics(),
		good: map[[sha256.Size]byte]bool{}, lastMode: map[string]int{},
	}
	a.guesses = newGuesses(func() time.Time { return a.now() })
	for token, u := range c.Static {
		a.static[sha256.Sum256([]byte(token))] = u // compared by digest: timing reveals nothing
	}
	return a
}

// Authenticate returns the user of r. It removes the headers that are for it alone.
func (a *Authenticator) Authenticate(r *http.Request) (*User, error) {
	u, err := a.sender(r)
	if err != nil {
		a.Log.Debug("credential refused", "path", r.URL.Path, "remote", r.RemoteAddr, "err", err)
		if apierrors.IsTooManyRequests(err) {
			return nil, err
		}
		return nil, apierrors.NewUnauthorized("Unauthorized")
	}
	if u == nil {
		u = &User{Name: Anonymous, Groups: []string{AllUnauthenticated}}
	} else {
		u = withGroup(u, AllAuthenticated)
	}
	return a.impersonate(r, u)
}

// sender returns the user of the credentials of r, nil if there are none.
func (a *Authenticator) sender(r *http.Request) (*User, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if u, err := a.certificate(r); u != nil || (err != nil && token == "") {
		return u, err
	}
	if token == "" {
		return nil, nil
	}
	source := flowcontrol.SourceOf(r.RemoteAddr)
	if a.Tokens == nil || !a.Tokens.seen(token) {
		done, err := a.acquireVerification(r.Context(), source)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	return a.token(r.Context(), source, token)
}

// token returns the user of a bearer token of any type; source is the address it came from.
func (a *Authenticator) token(ctx context.Context, source, token string) (*User, error) {
	if u := a.static[sha256.Sum256([]byte(token))]; u != nil {
		return u, nil
	}
	if isBootstrap(token) && a.Secrets != nil {
		return a.bootstrap(ctx, source, token)
	}
	if a.Tokens == nil {
		return nil, errUnknownToken
	}
	u, _, err := a.Tokens.Verify(ctx, token, nil)
	return u, err
}

// bearer returns the token of r: in the Authorization header, or, for browsers, which
// cannot set it on a WebSocket, among the subprotocols.
func bearer(r *http.Request) (string, error) {
	fromProtocol, err := takeProtocol(r.Header)
	if err != nil {
		return "", err
	}
	scheme, token, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if token = strings.TrimSpace(token); ok && strings.EqualFold(scheme, "Bearer") && token != "" {
		return token, nil
	}
	return fromProtocol, nil
}

// takeProtocol removes the subprotocol that is a token from the header: a server to which the
// request is forwarded must not get it. There must be another, which the answer can name.
func takeProtocol(h http.Header) (token string, err error) {
	const name, prefix = "Sec-Websocket-Protocol", "base64url.bearer.authorization.k8s.io."
	lines := h.Values(name)
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, prefix) }) {
		return "", nil
	}
	var others []string
	found := 0
	for p := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		p = strings.TrimSpace(p)
		encoded, ok := strings.CutPrefix(p, prefix)
		if !ok {
			others = append(others, p)
			continue
		}
		found++
		decoded, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil || !utf8.Valid(decoded) {
			return "", errors.New("invalid base64.bearer.authorization token encoding")
		}
		token = string(decoded)
	}
	switch {
	case found > 1:
		return "", errors.New("multiple base64.bearer.authorization tokens specified")
	case found > 0 && len(others) == 0:
		return "", errors.New("missing additional subprotocol")
	}
	h.Set(name, strings.Join(others, ","))
	return token, nil
}

func withGroup(u *User, group string) *User {
	if u.InGroup(group) {
		return u
	}
	with := *u
	with.Groups = append(append([]string(nil), u.Groups...), group)
	return &with
}
