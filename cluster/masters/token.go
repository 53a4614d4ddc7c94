package masters

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// MaxLife is the longest time for which a master token is valid.
const MaxLife = 24 * time.Hour

// KeyPurpose is for which purpose the authority derives the key of Tokens.
const KeyPurpose = "master tokens"

const (
	secretType   = corev1.SecretType("wheelhouse/master-token")
	secretPrefix = "master-token-"
)

// The keys of a master token's Secret.
const (
	dataID      = "token-id"
	dataHash    = "token-hash" // SHA-256 of the token's secret part
	dataExpires = "expiration"
	dataMAC     = "mac"         // of the three above
	dataJoiner  = "joiner-hash" // of who uses it
	dataMaster  = "master-name" // the joiner's name
)

var (
	tokenForm = regexp.MustCompile(`^master\.([a-z2-7]{6})\.([a-z2-7]{32})$`)
	idForm    = regexp.MustCompile(`^[a-z2-7]{6}$`)

	errToken = errors.New("the token is not valid: it is none, has expired, was deleted, or another master has used it; `wheelhouse token --master` makes one")
)

// Split returns the credential and the hash of the authority of a token "master.ID.SECRET@PIN".
func Split(token string) (credential, pin string, err error) {
	credential, pin, _ = strings.Cut(strings.TrimSpace(token), "@")
	if !tokenForm.MatchString(credential) || !strings.HasPrefix(pin, "sha256:") {
		return "", "", errors.New("this is no master token: `wheelhouse token --master` prints one")
	}
	return credential, pin, nil
}

// Tokens makes and checks master tokens.
type Tokens struct {
	Client func() kubernetes.Interface // reads and writes the Secrets of kube-system
	Key    []byte                      // of the authority, for KeyPurpose
	Pin    string                      // the hash of the authority
	Now    func() time.Time            // nil: the real clock
}

// Create writes the Secret of a new token and returns the token.
func (t *Tokens) Create(ctx context.Context, life time.Duration) (string, error) {
	if life <= 0 || life > MaxLife {
		return "", fmt.Errorf("a master token is valid for %s at most, not for %s", MaxLife, life)
	}
	id, hidden := word(6), word(32)
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: secretPrefix + id},
		Type:       secretType,
		Data: map[string][]byte{
			dataID: []byte(id), dataHash: hashOf(hidden),
			dataExpires: []byte(t.now().Add(life).UTC().Format(time.RFC3339)),
		},
	}
	s.Data[dataMAC] = t.mac(s)
	if _, err := t.Client().CoreV1().Secrets(s.Namespace).Create(ctx, s, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("writing the master token: %w", err)
	}
	return "master." + id + "." + hidden + "@" + t.Pin, nil
}

// spend binds the token to a joiner, a secret that the joiner has chosen. The same one may
// spend it again until it expires.
func (t *Tokens) spend(ctx context.Context, credential, joiner, name string) error {
	m := tokenForm.FindStringSubmatch(credential)
	if m == nil || len(joiner) < 16 {
		return errToken
	}
	secrets := t.Client().CoreV1().Secrets(metav1.NamespaceSystem)
	for {
		s, err := secrets.Get(ctx, secretPrefix+m[1], metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return errToken
		}
		if err != nil {
			return fmt.Errorf("reading the master token: %w", err)
		}
		if !t.valid(s, m[1], m[2]) {
			return errToken
		}
		if used := s.Data[dataJoiner]; len(used) > 0 {
			if subtle.ConstantTimeCompare(used, hashOf(joiner)) != 1 || string(s.Data[dataMaster]) != name {
				return errToken
			}
			return nil
		}
		s.Data[dataJoiner], s.Data[dataMaster] = hashOf(joiner), []byte(name)
		if _, err = secrets.Update(ctx, s, metav1.UpdateOptions{}); err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("spending the master token: %w", err)
		}
	}
}

func (t *Tokens) valid(s *corev1.Secret, id, hidden string) bool {
	expires, err := time.Parse(time.RFC3339, string(s.Data[dataExpires]))
	return err == nil && s.Type == secretType && s.DeletionTimestamp == nil && string(s.Data[dataID]) == id &&
		hmac.Equal(s.Data[dataMAC], t.mac(s)) &&
		subtle.ConstantTimeCompare(s.Data[dataHash], hashOf(hidden)) == 1 &&
		t.now().Before(expires)
}

func (t *Tokens) mac(s *corev1.Secret) []byte {
	h := hmac.New(sha256.New, t.Key)
	for _, key := range []string{dataID, dataHash, dataExpires} {
		fmt.Fprintf(h, "%d:%s;", len(s.Data[key]), s.Data[key])
	}
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

func hashOf(hidden string) []byte {
	sum := sha256.Sum256([]byte(hidden))
	return []byte(hex.EncodeToString(sum[:]))
}

// word returns n characters of five bits each that cannot be guessed.
func word(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	for i := range b {
		b[i] = letters[b[i]&31]
	}
	return string(b)
}

// TokenInfo describes a master token; Master is who has used it.
type TokenInfo struct{ ID, Expires, Master string }

// List returns the master tokens of the cluster.
func List(ctx context.Context, c kubernetes.Interface) ([]TokenInfo, error) {
	all, err := c.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(secretType)})
	if err != nil {
		return nil, fmt.Errorf("listing the master tokens: %w", err)
	}
	var out []TokenInfo
	for i := range all.Items {
		data := all.Items[i].Data
		out = append(out, TokenInfo{ID: string(data[dataID]), Expires: string(data[dataExpires]), Master: string(data[dataMaster])})
	}
	return out, nil
}

// Delete makes a master token invalid; found is false if there is none with the ID.
func Delete(ctx context.Context, c kubernetes.Interface, id string) (found bool, err error) {
	if !idForm.MatchString(id) {
		return false, nil
	}
	err = c.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, secretPrefix+id, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("deleting master token %s: %w", id, err)
	}
	return true, nil
}
