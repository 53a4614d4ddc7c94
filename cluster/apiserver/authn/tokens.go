package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	minTokenLife     = 10 * time.Minute
	maxTokenLife     = 1 << 32 * time.Second
	defaultTokenLife = time.Hour
	// maxTokens bounds the memory of signatures already checked.
	maxTokens = 4096
)

// TokensConfig is what Tokens needs.
type TokensConfig struct {
	Key    *ecdsa.PrivateKey
	Issuer string // "https://kubernetes.default.svc.cluster.local"
	// Audiences are the API server's own names; the issuer when empty.
	Audiences []string
	// Objects reads accounts and what their tokens are bound to.
	Objects Getter
	// MarkUsed labels the Secret of a legacy token with the day of its last use; nil: none is.
	MarkUsed func(ctx context.Context, s *corev1.Secret, day string) error
	Log      *slog.Logger
}

// Tokens issues and verifies service-account tokens (JWT, ES256). A token is valid for as long
// as its account, and the pod, secret or node that it is bound to, exist with the same uid. It also
// verifies the tokens without expiry that are in Secrets (LegacyIssuer), which a controller makes.
type Tokens struct {
	TokensConfig
	kid    string
	now    func() time.Time
	legacy legacyMetrics
	mu     sync.Mutex
	known  map[[sha256.Size]byte]verifier // signature and form were right
	marked map[types.UID]time.Time        // when the use of a Secret was last to be recorded
}

// verifier is the claims of a token whose signature is right.
type verifier interface {
	// verify returns the token's user, and those of audiences that it is for, if it is valid.
	verify(ctx context.Context, t *Tokens, token string, audiences []string) (*User, []string, error)
}

// NewTokens returns a Tokens.
func NewTokens(c TokensConfig) (*Tokens, error) {
	if c.Key == nil || c.Issuer == "" || c.Objects == nil {
		return nil, errors.New("authn: tokens need a key, an issuer and objects")
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []string{c.Issuer}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	kid, err := keyID(c.Key)
	if err != nil {
		return nil, err
	}
	return &Tokens{
		TokensConfig: c,
		kid:          kid,
		now:          time.Now,
		legacy:       newLegacyMetrics(),
		known:        map[[sha256.Size]byte]verifier{},
		marked:       map[types.UID]time.Time{},
	}, nil
}

// keyID names a key as upstream, by the digest of its public half.
func keyID(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("naming the token key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// sign returns the token with the claims.
func sign(key *ecdsa.PrivateKey, c jwt.Claims) (string, error) {
	kid, err := keyID(key)
	if err != nil {
		return "", err
	}
	j := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	j.Header["kid"] = kid
	delete(j.Header, "typ")
	token, err := j.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return token, nil
}

// claims are those of upstream's bound tokens.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes private `json:"kubernetes.io"`
}

type private struct {
	Namespace      string `json:"namespace"`
	ServiceAccount ref    `json:"serviceaccount"`
	Pod            *ref   `json:"pod,omitempty"`
	Secret         *ref   `json:"secret,omitempty"`
	Node           *ref   `json:"node,omitempty"`
}

type ref struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid,omitempty"`
}

// Issue answers serviceaccounts/token: it issues the token for sa that r requests.
func (t *Tokens) Issue(ctx context.Context, _ *User, sa *corev1.ServiceAccount, r *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	life := defaultTokenLife
	if s := r.Spec.ExpirationSeconds; s != nil {
		life = time.Duration(*s) * time.Second
		if err := checkLife(*s); err != nil {
			return nil, err
		}
	}
	if r.UID != "" && r.UID != sa.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: authenticationv1.GroupName, Resource: "TokenRequest"}, sa.Name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", r.UID, sa.UID))
	}
	out := r.DeepCopy()
	out.UID, out.CreationTimestamp = sa.UID, metav1.NewTime(t.now())
	if len(out.Spec.Audiences) == 0 {
		out.Spec.Audiences = slices.Clone(t.Audiences)
	}
	seconds := int64(life / time.Second)
	out.Spec.ExpirationSeconds = &seconds
	now := t.now()
	c := &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.Issuer,
			Subject:   ServiceAccountPrefix + sa.Namespace + ":" + sa.Name,
			Audience:  out.Spec.Audiences,
			ExpiresAt: jwt.NewNumericDate(now.Add(life)),
			NotBefore: jwt.NewNumericDate(now),
			IssuedAt:  jwt.NewNumericDate(now),
			ID:        uuid.NewString(),
		},
		Kubernetes: private{Namespace: sa.Namespace, ServiceAccount: ref{Name: sa.Name, UID: sa.UID}},
	}
	if b := r.Spec.BoundObjectRef; b != nil {
		if err := t.bind(ctx, &c.Kubernetes, sa, b); err != nil {
			return nil, err
		}
	}
	token, err := sign(t.Key, c)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(c.ExpiresAt.Time)}
	return out, nil
}

func checkLife(seconds int64) error {
	path := field.NewPath("spec", "expirationSeconds")
	var problem string
	switch {
	case seconds < int64(minTokenLife/time.Second):
		problem = "may not specify a duration less than 10 minutes"
	case seconds > int64(maxTokenLife/time.Second):
		problem = "may not specify a duration larger than 2^32 seconds"
	default:
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: authenticationv1.GroupName, Kind: "TokenRequest"}, "", // as upstream
		field.ErrorList{field.Invalid(path, seconds, problem)})
}

// bind binds a token to an object: it is invalid when the object is deleted.
func (t *Tokens) bind(ctx context.Context, p *private, sa *corev1.ServiceAccount, b *authenticationv1.BoundObjectReference) error {
	resource, namespace := "", sa.Namespace
	switch {
	case b.Kind == "Pod" && b.APIVersion == "v1":
		resource = "pods"
	case b.Kind == "Secret" && b.APIVersion == "v1":
		resource = "secrets"
	case b.Kind == "Node" && b.APIVersion == "v1":
		resource, namespace = "nodes", ""
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s",
			schema.FromAPIVersionAndKind(b.APIVersion, b.Kind)))
	}
	gr := schema.GroupResource{Resource: resource}
	o, err := t.Objects.Get(ctx, gr, namespace, b.Name, true)
	if err != nil {
		return err
	}
	if b.UID != "" && b.UID != o.GetUID() {
		return apierrors.NewConflict(gr, b.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", b.UID))
	}
	r := &ref{Name: o.GetName(), UID: o.GetUID()}
	switch b.Kind {
	case "Secret":
		p.Secret = r
	case "Node":
		p.Node = r
	case "Pod":
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Spec.ServiceAccountName != sa.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", sa.Name))
		}
		p.Pod = r
		return t.bindNode(ctx, p, pod.Spec.NodeName)
	}
	return nil
}

// bindNode records where the pod runs, for the audience; the token does not depend on the
// node.
func (t *Tokens) bindNode(ctx context.Context, p *private, node string) error {
	if node == "" {
		return nil
	}
	p.Node = &ref{Name: node}
	o, err := t.Objects.Get(ctx, schema.GroupResource{Resource: "nodes"}, "", node, false)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		p.Node.UID = o.GetUID()
	}
	return err
}
