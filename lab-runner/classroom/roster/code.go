package roster

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/text/secure/precis"
)

// Lengths of codes that people type, in letters of five bits each.
const (
	roomLetters     = 8  // 40 bits: attempts are limited, and the class ends
	returnLetters   = 12 // 60 bits: a hash of it cannot be reversed before the class ends
	passwordLetters = 16 // 80 bits
	idLetters       = 8
)

// letters are 32 that are not mistaken for each other.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it returns no error
	for i := range b {
		b[i] = letters[b[i]&31]
	}
	return string(b)
}

// newCode returns a code in groups of four letters.
func newCode(n int) string {
	var groups []string
	for text := random(n); text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, "-")
}

// newToken returns the value of a cookie or a bearer token: 256 bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it returns no error
	return base64.RawURLEncoding.EncodeToString(b)
}

// typed removes from a code what people add when they type it: spaces, dashes, capitals.
func typed(code string) string {
	return strings.ToLower(strings.NewReplacer("-", "", " ", "", "\t", "", "\n", "").Replace(code))
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// same compares two hashes in constant time. An empty one is the same as none.
func same(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// maxName is how long a name may be, in bytes.
const maxName = 64

// cleanName returns the name as it is shown, and the key by which it is taken. Nicknames are prepared as RFC 8266 says:
// control characters are refused, spaces are joined, and case does not distinguish two names.
func cleanName(name string) (shown, key string, err error) {
	long := fmt.Errorf("%w: it has more than %d bytes; take a shorter one", ErrName, maxName)
	if len(name) > maxName {
		return "", "", long
	}
	shown, err = precis.Nickname.String(name)
	if err != nil || shown == "" {
		return "", "", fmt.Errorf("%w: use letters, digits, spaces and signs", ErrName)
	}
	if len(shown) > maxName { // one sign may become eighteen
		return "", "", long
	}
	key, err = precis.Nickname.CompareKey(shown)
	if err != nil {
		return "", "", fmt.Errorf("%w: use letters, digits, spaces and signs", ErrName)
	}
	return shown, key, nil
}
