package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"wheelhouse/lab-runner/classroom/address"
)

// Docker sends a password only to a registry that refuses its first request, and then needs one for each pull too. So
// the registry hands out tokens, as Docker Hub does: one without a name for pulls, one of the instructor for pushes.
const (
	tokenPath  = "/v2/token"
	tokenLife  = 15 * time.Minute
	service    = "wheelhouse"
	maxClients = 1024 // whose wrong passwords are counted
)

// serveToken hands out a token: of the instructor for the password, else one that may pull only.
func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	user, ok := r.basic(w, req)
	if !ok {
		return
	}
	if user == "" && !r.mayPull(req) {
		r.writeError(w, req, ociregistry.ErrDenied)
		return
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: service, Subject: user, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}).SignedString(r.key[:])
	if err != nil {
		r.writeError(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": int(tokenLife.Seconds())}) // the client is gone
}

// mayDo reports whether the client may do what it asks for; if not, it has been answered.
func (r *Registry) mayDo(w http.ResponseWriter, req *http.Request) bool {
	user, known := "", false
	if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok {
		if user, known = r.verify(token); !known {
			r.challenge(w, req)
			return false
		}
	} else {
		if user, ok = r.basic(w, req); !ok {
			return false
		}
		known = user != ""
	}
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case strings.TrimSuffix(req.URL.Path, "/") == "/v2" && !known, !reads && !known:
		r.challenge(w, req)
		return false
	case !reads && user != Instructor, reads && user != Instructor && !r.mayPull(req):
		r.writeError(w, req, ociregistry.ErrDenied)
		return false
	}
	return true
}

func (r *Registry) mayPull(req *http.Request) bool {
	return r.config.Allow == nil || r.config.Allow(req)
}

// basic returns the user of a name and password, "" if the client sent none; false if they are wrong and
// the client has been answered.
func (r *Registry) basic(w http.ResponseWriter, req *http.Request) (string, bool) {
	user, password, sent := req.BasicAuth()
	if !sent {
		return "", true
	}
	client := address.Of(req.RemoteAddr)
	if !r.guesses.may(client) {
		w.Header().Set("Retry-After", "60")
		r.writeError(w, req, ociregistry.ErrTooManyRequests)
		return "", false
	}
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(r.config.Password))
	if r.config.Password != "" && user == Instructor && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return Instructor, true
	}
	r.guesses.wrong(client)
	r.challenge(w, req)
	return "", false
}

// verify returns the user of a token, and false for one that is not ours or has expired.
func (r *Registry) verify(token string) (string, bool) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return r.key[:], nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(service), jwt.WithExpirationRequired())
	return claims.Subject, err == nil
}

// challenge answers with where a token is had.
func (r *Registry) challenge(w http.ResponseWriter, req *http.Request) {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	value := `Bearer realm="` + scheme + "://" + strings.Map(hostOnly, req.Host) + tokenPath + `",service="` + service + `"`
	if repo := repository(req.URL.Path); repo != "" {
		value += `,scope="repository:` + repo + `:pull,push"`
	}
	w.Header().Set("WWW-Authenticate", value)
	r.writeError(w, req, ociregistry.ErrUnauthorized)
}

// hostOnly leaves what a host and a port may have.
func hostOnly(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-:[]_", c) {
		return c
	}
	return -1
}

// repository is the name in a path of the protocol, "" if there is no valid one.
func repository(path string) string {
	for _, part := range []string{"/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		if at := strings.LastIndex(path, part); at > len("/v2/") && validRepository(path[len("/v2/"):at]) {
			return path[len("/v2/"):at]
		}
	}
	return ""
}

// guesses counts wrong passwords by the client's address: five at once, then one in ten seconds.
type guesses struct {
	mu      sync.Mutex
	clients map[netip.Prefix]*rate.Limiter
}

// may reports whether the client may try a password.
func (g *guesses) may(client netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.clients[client]
	return l == nil || l.Tokens() >= 1
}

func (g *guesses) wrong(client netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.clients) >= maxClients {
		for name, l := range g.clients {
			if l.Tokens() >= 5 {
				delete(g.clients, name)
			}
		}
	}
	l := g.clients[client]
	if l == nil {
		if g.clients == nil || len(g.clients) >= maxClients {
			g.clients = map[netip.Prefix]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Every(10*time.Second), 5)
		g.clients[client] = l
	}
	l.Allow()
}
