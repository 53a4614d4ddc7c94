package pairing

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/scrypt"
)

// MaxGuesses is after how many wrong secrets a server refuses a code for good.
const MaxGuesses = 32

// The parts of a code, in characters.
const (
	secretLen = 11
	pinLen    = 13
	codeLen   = secretLen + pinLen + 1
	group     = 5

	tokenIDLen = 6 // of every bootstrap token
)

// alphabet is Crockford's: without I, L, O and U, which are read as 1, 1, 0 and not at all.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Code lets machines join the cluster of one authority. Only New and Parse make one.
type Code struct{ secret, pin string }

// New returns a code for the cluster of an authority.
func New(authority *x509.Certificate) (Code, error) {
	pin, err := pinOf(authority)
	return Code{secret: random(secretLen), pin: pin}, err
}

// Parse reads a code as a person may have typed it: in any case, with or without dashes and
// spaces, with O for 0 and I or L for 1. A wrong character is an error; the text of the error has
// nothing of the code.
func Parse(text string) (Code, error) {
	text = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(text)))
	if len(text) != codeLen {
		return Code{}, fmt.Errorf("the code: want %d letters and digits, got %d", codeLen, len(text))
	}
	for i := range len(text) {
		if strings.IndexByte(alphabet, text[i]) < 0 {
			return Code{}, fmt.Errorf("the code: character %d is none that codes have", i+1)
		}
	}
	body := text[:codeLen-1]
	if check(body) != text[codeLen-1] {
		return Code{}, errors.New("the code: one character or more is wrong")
	}
	return Code{secret: body[:secretLen], pin: body[secretLen:]}, nil
}

// String returns the code in groups. It is a secret.
func (c Code) String() string {
	text := c.secret + c.pin
	text += string(check(text))
	var groups []string
	for ; text != ""; text = text[group:] {
		groups = append(groups, text[:group])
	}
	return strings.Join(groups, "-")
}

// Token returns the bootstrap token that the code stands for. It is a secret, and is sent to
// nobody whose authority Pins has not verified. Its id is not: it is computed from the whole code, so
// that a stranger cannot guess it, and stretched, so that the code cannot be computed from it. It
// takes as long as Pins.
func (c Code) Token() (string, error) {
	id, err := stretch([]byte(c.pin+c.secret), "wheelhouse pairing id", tokenIDLen)
	if err != nil {
		return "", fmt.Errorf("the id of a code: %w", err)
	}
	sum := sha256.Sum256([]byte("wheelhouse pairing token\n" + c.pin + c.secret))
	return strings.ToLower(letters(id) + "." + base32.StdEncoding.EncodeToString(sum[:10])), nil
}

// Pins reports whether an authority is the code's. It takes 32 MiB and a tenth of a second, one
// call at a time: the caller bounds how many certificates of strangers it asks about.
func (c Code) Pins(authority *x509.Certificate) bool {
	pin, err := pinOf(authority)
	return err == nil && subtle.ConstantTimeCompare([]byte(pin), []byte(c.pin)) == 1
}

// stretching allows one computation at a time, which bounds the memory on a small machine.
var stretching sync.Mutex

func pinOf(authority *x509.Certificate) (string, error) {
	key, err := stretch(authority.RawSubjectPublicKeyInfo, "wheelhouse pairing pin", pinLen)
	if err != nil {
		return "", fmt.Errorf("the pin of an authority: %w", err)
	}
	return letters(key), nil
}

func stretch(what []byte, purpose string, n int) ([]byte, error) {
	stretching.Lock()
	defer stretching.Unlock()
	return scrypt.Key(what, []byte(purpose), 1<<15, 8, 1, n)
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return letters(b)
}

// letters takes five bits of each byte.
func letters(b []byte) string {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = alphabet[b[i]&31]
	}
	return string(out)
}

// check returns the check digit: the sum of a^i times the i-th character from the end, counted
// from one, in the field of 32 elements, where a generates the field. As the powers differ, and
// from a^0 of the check digit itself, one wrong character or two swapped ones give another sum.
func check(body string) byte {
	sum := 0
	for i := range len(body) {
		sum ^= strings.IndexByte(alphabet, body[i])
		if sum <<= 1; sum&32 != 0 {
			sum ^= 0b100101 // x^5 + x^2 + 1
		}
	}
	return alphabet[sum]
}
