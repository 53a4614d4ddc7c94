package authn

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	errUnknownToken = errors.New("unknown token")

	bootstrapToken = regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)
	extraGroup     = regexp.MustCompile(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`)
)

// bootstrappers is the group of all bootstrap tokens, and the secret's type.
const (
	bootstrappers         = "system:bootstrappers"
	bootstrapSecretType   = corev1.SecretType("bootstrap.kubernetes.io/token")
	bootstrapUserPrefix   = "system:bootstrap:"
	bootstrapSecretPrefix = "bootstrap-token-"

	// maxGuesses is the key of a secret with the number that LimitGuesses sets.
	maxGuesses = "max-wrong-secrets"
)

func isBootstrap(token string) bool { return bootstrapToken.MatchString(token) }

// NewBootstrapToken returns a join token that expires after life, and the secret that makes it
// valid once it is written to kube-system.
func NewBootstrapToken(life time.Duration) (token string, secret *corev1.Secret) {
	token = randomWord(6) + "." + randomWord(16)
	return token, BootstrapSecret(token, life)
}

// BootstrapSecret returns the secret that makes a token ("id.secret", as a pairing code stands
// for) valid until life has passed.
func BootstrapSecret(token string, life time.Duration) *corev1.Secret {
	id, hidden, _ := strings.Cut(token, ".")
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: bootstrapSecretPrefix + id},
		Type:       bootstrapSecretType,
		Data: map[string][]byte{
			"token-id": []byte(id), "token-secret": []byte(hidden), "usage-bootstrap-authentication": []byte("true"),
			"expiration": []byte(time.Now().Add(life).UTC().Format(time.RFC3339)),
		},
	}
}

// randomWord returns n characters that cannot be guessed.
func randomWord(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567" // 32, so that no byte is favoured
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	for i := range b {
		b[i] = letters[b[i]&31]
	}
	return string(b)
}

// bootstrap accepts tokens "id.secret" that the secret bootstrap-token-<id> of kube-system
// describes, as those of kubeadm.
func (a *Authenticator) bootstrap(ctx context.Context, source, token string) (*User, error) {
	if wait := a.guesses.wait(source); wait > 0 {
		return nil, apierrors.NewTooManyRequests("too many unknown bootstrap tokens from this source", int(wait.Seconds())+1)
	}
	u, err := a.bootstrapUser(ctx, token)
	if err != nil {
		a.guesses.failed(source)
	}
	return u, err
}

// LimitGuesses sets after how many wrong secrets the token of a secret is refused, however right,
// by each server until it restarts. Without it there is no limit, as upstream: a token of 80 bits
// needs none.
func LimitGuesses(secret *corev1.Secret, most int) {
	secret.Data[maxGuesses] = []byte(strconv.Itoa(most))
}

// guessed returns an error if too many wrong secrets were sent for the token of s, and counts
// one more if this one is wrong.
func (a *Authenticator) guessed(ctx context.Context, s *corev1.Secret, right bool) error {
	most, err := strconv.Atoi(string(s.Data[maxGuesses]))
	if err != nil {
		return nil //nolint:nilerr // no limit
	}
	id := string(s.Data["token-id"])
	count := a.guesses.count(id+"/"+string(s.UID), !right, func(counted string) bool {
		id, uid, _ := strings.Cut(counted, "/")
		s, err := a.bootstrapSecret(ctx, id)
		return err != nil && !apierrors.IsNotFound(err) || s != nil && string(s.UID) == uid
	})
	if count < most {
		return nil
	}
	if count == most && !right {
		a.Log.Warn("a join token is refused from now on: too many wrong secrets were sent for it", "id", id)
	}
	return fmt.Errorf("bootstrap token %s: too many wrong secrets were sent for it; `wheelhouse token` makes another", id)
}

// bootstrapSecret returns the secret of a token's id.
func (a *Authenticator) bootstrapSecret(ctx context.Context, id string) (*corev1.Secret, error) {
	o, err := a.Secrets.Get(ctx, schema.GroupResource{Resource: "secrets"}, metav1.NamespaceSystem, bootstrapSecretPrefix+id, true)
	if err != nil {
		return nil, err
	}
	s, _ := o.(*corev1.Secret)
	return s, nil
}

func (a *Authenticator) bootstrapUser(ctx context.Context, token string) (*User, error) {
	m := bootstrapToken.FindStringSubmatch(token)
	if m == nil {
		return nil, errUnknownToken
	}
	s, err := a.bootstrapSecret(ctx, m[1])
	if err != nil {
		return nil, fmt.Errorf("bootstrap token %s: %w", m[1], err)
	}
	if s == nil || s.Type != bootstrapSecretType || s.DeletionTimestamp != nil || string(s.Data["token-id"]) != m[1] {
		return nil, errUnknownToken
	}
	right := subtle.ConstantTimeCompare(s.Data["token-secret"], []byte(m[2])) == 1
	if err := a.guessed(ctx, s, right); err != nil {
		return nil, err
	}
	if !right || string(s.Data["usage-bootstrap-authentication"]) != "true" {
		return nil, errUnknownToken
	}
	if at := string(s.Data["expiration"]); at != "" {
		end, err := time.Parse(time.RFC3339, at)
		if err != nil || a.now().After(end) {
			return nil, fmt.Errorf("bootstrap token %s has expired", m[1])
		}
	}
	u := &User{Name: bootstrapUserPrefix + m[1], Groups: []string{bootstrappers}}
	for g := range strings.SplitSeq(string(s.Data["auth-extra-groups"]), ",") {
		if g = strings.TrimSpace(g); extraGroup.MatchString(g) {
			u.Groups = append(u.Groups, g)
		}
	}
	return u, nil
}
