package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The keys under which a token's details are in a user's Extra, as upstream.
const (
	extraPodName      = "authentication.kubernetes.io/pod-name"
	extraPodUID       = "authentication.kubernetes.io/pod-uid"
	extraNodeName     = "authentication.kubernetes.io/node-name"
	extraNodeUID      = "authentication.kubernetes.io/node-uid"
	extraCredentialID = "authentication.kubernetes.io/credential-id"
)

// Verify returns the user of a token that is for one of audiences (empty: the API
// server's own), with those of them that it is for.
func (t *Tokens) Verify(ctx context.Context, token string, audiences []string) (*User, []string, error) {
	if len(audiences) == 0 {
		audiences = t.Audiences
	}
	c, err := t.parse(token)
	if err != nil {
		return nil, nil, err
	}
	return c.verify(ctx, t, token, audiences)
}

func (c *claims) verify(ctx context.Context, t *Tokens, _ string, audiences []string) (*User, []string, error) {
	now := t.now()
	if now.After(c.ExpiresAt.Time) || now.Before(c.NotBefore.Time) {
		return nil, nil, errors.New("service account token has expired or is not yet valid")
	}
	matching, err := intersect(c.Audience, audiences)
	if err != nil {
		return nil, nil, err
	}
	if err := t.stillThere(ctx, &c.Kubernetes); err != nil {
		return nil, nil, err
	}
	return c.user(), matching, nil
}

// intersect returns those of the wanted audiences that a token is for.
func intersect(own, wanted []string) ([]string, error) {
	var matching []string
	for _, a := range wanted {
		if slices.Contains(own, a) {
			matching = append(matching, a)
		}
	}
	if len(matching) == 0 {
		return nil, fmt.Errorf("[invalid bearer token, token audiences %q is invalid for the target audiences %q]", own, wanted)
	}
	return matching, nil
}

// parse checks signature, issuer and form. A client sends the same token with every request,
// so that results are cached.
func (t *Tokens) parse(token string) (verifier, error) {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	c := t.known[sum]
	t.mu.Unlock()
	if c != nil {
		return c, nil
	}
	var err error
	if hasLegacyIssuer(token) {
		c, err = t.parseLegacy(token)
	} else {
		c, err = t.parseBound(token)
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxTokens {
		clear(t.known)
	}
	t.known[sum] = c
	return c, nil
}

// parseBound checks the signature and the form of a token that a TokenRequest issued.
func (t *Tokens) parseBound(token string) (*claims, error) {
	c := &claims{}
	if err := t.parseSigned(token, c, jwt.WithIssuer(t.Issuer), jwt.WithExpirationRequired()); err != nil {
		return nil, err
	}
	k := &c.Kubernetes
	if c.NotBefore == nil || k.Namespace == "" || k.ServiceAccount.Name == "" ||
		c.Subject != ServiceAccountPrefix+k.Namespace+":"+k.ServiceAccount.Name {
		return nil, errors.New("invalid bearer token: the claims are not those of a service account")
	}
	return c, nil
}

// parseSigned reads the claims of a token that our key has signed.
func (t *Tokens) parseSigned(token string, into jwt.Claims, options ...jwt.ParserOption) error {
	_, err := jwt.ParseWithClaims(token, into, func(*jwt.Token) (any, error) { return &t.Key.PublicKey, nil },
		append(options, jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithTimeFunc(t.now))...)
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed): // it may be another kind of token
		return errors.New("invalid bearer token")
	case err != nil:
		return fmt.Errorf("invalid bearer token: %w", err)
	}
	return nil
}

// stillThere checks that what the token is bound to exists. What the cache lacks is read from
// the store, because a pod may use its token right after it was created.
func (t *Tokens) stillThere(ctx context.Context, p *private) error {
	check := func(resource, namespace string, r *ref) error {
		if r == nil {
			return nil
		}
		gr := schema.GroupResource{Resource: resource}
		var problem error
		for _, fresh := range []bool{false, true} {
			o, err := t.Objects.Get(ctx, gr, namespace, r.Name, fresh)
			switch {
			case apierrors.IsNotFound(err):
				problem = fmt.Errorf("%s %q of the token has been deleted", gr, r.Name)
			case err != nil:
				return fmt.Errorf("looking for what the token is bound to: %w", err)
			case o.GetUID() != r.UID:
				problem = fmt.Errorf("%s %q of the token was replaced (uid %s is now %s)", gr, r.Name, r.UID, o.GetUID())
			default:
				return nil
			}
		}
		return problem
	}
	if err := check("serviceaccounts", p.Namespace, &p.ServiceAccount); err != nil {
		return err
	}
	if p.Pod == nil { // for a pod's token the node is only information
		if err := check("nodes", "", p.Node); err != nil {
			return err
		}
	}
	if err := check("pods", p.Namespace, p.Pod); err != nil {
		return err
	}
	return check("secrets", p.Namespace, p.Secret)
}

func (c *claims) user() *User {
	p := &c.Kubernetes
	u := &User{
		Name: c.Subject, UID: string(p.ServiceAccount.UID),
		Groups: serviceAccountGroups(p.Namespace), Extra: map[string][]string{},
	}
	add := func(key, value string) {
		if value != "" {
			u.Extra[key] = []string{value}
		}
	}
	if p.Pod != nil {
		add(extraPodName, p.Pod.Name)
		add(extraPodUID, string(p.Pod.UID))
	}
	if p.Node != nil {
		add(extraNodeName, p.Node.Name)
		add(extraNodeUID, string(p.Node.UID))
	}
	if c.ID != "" {
		add(extraCredentialID, "JTI="+c.ID)
	}
	return u
}
