package pairing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

func authority(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newCode(t *testing.T) (Code, *x509.Certificate) {
	t.Helper()
	ca := authority(t)
	code, err := New(ca)
	if err != nil {
		t.Fatal(err)
	}
	return code, ca
}

func TestCode(t *testing.T) {
	code, ca := newCode(t)
	text := code.String()
	if !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}$`).MatchString(text) {
		t.Errorf("printed as %q", text)
	}
	for _, typed := range []string{text, strings.ToLower(text), " " + strings.ReplaceAll(text, "-", "") + "\n", strings.ReplaceAll(text, "-", " "), strings.NewReplacer("0", "o", "1", "l").Replace(text)} {
		if got, err := Parse(typed); err != nil || got != code {
			t.Errorf("%q is read as %v, %v", typed, got, err)
		}
	}
	if token := tokenOf(t, code); !regexp.MustCompile(`^[0-9a-z]{6}\.[a-z2-7]{16}$`).MatchString(token) {
		t.Errorf("stands for the token %q", token)
	}
	if !code.Pins(ca) || code.Pins(authority(t)) {
		t.Error("the pin is not that of the authority")
	}
	other, err := New(ca)
	if err != nil {
		t.Fatal(err)
	}
	if tokenOf(t, other) == tokenOf(t, code) || other.pin != code.pin {
		t.Errorf("two codes of one authority: %v, %v", code, other)
	}
}

func tokenOf(t *testing.T, c Code) string {
	t.Helper()
	token, err := c.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Without a code the id of its token looks like that of any other: each character of it
// depends on all of the secret, and no part of the code is in it.
func TestTokenID(t *testing.T) {
	code, _ := newCode(t)
	ids := map[string]bool{}
	same := make([]int, tokenIDLen)
	first, _, _ := strings.Cut(tokenOf(t, code), ".")
	for i := range secretLen {
		near := code
		digit := alphabet[(strings.IndexByte(alphabet, near.secret[i])+1)%len(alphabet)]
		near.secret = near.secret[:i] + string(digit) + near.secret[i+1:]
		id, _, _ := strings.Cut(tokenOf(t, near), ".")
		ids[id] = true
		for j := range same {
			if id[j] == first[j] {
				same[j]++
			}
		}
	}
	if len(ids) != secretLen || ids[first] {
		t.Errorf("of %d codes that differ by one character %d have ids of their own: %v and %s", secretLen, len(ids), ids, first)
	}
	for j, n := range same {
		if n > secretLen/2 {
			t.Errorf("character %d of the id is the same in %d of %d codes", j+1, n, secretLen)
		}
	}
}

// Each wrong character is found out, and so is each swap of two.
func TestCheckDigit(t *testing.T) {
	code, _ := newCode(t)
	text := strings.ReplaceAll(code.String(), "-", "")
	for i := range len(text) {
		for _, wrong := range alphabet {
			typed := text[:i] + string(wrong) + text[i+1:]
			if _, err := Parse(typed); (err == nil) != (typed == text) {
				t.Errorf("%q for %q: %v", typed, text, err)
			}
		}
		for j := i + 1; j < len(text); j++ {
			typed := []byte(text)
			typed[i], typed[j] = typed[j], typed[i]
			if _, err := Parse(string(typed)); (err == nil) != (string(typed) == text) {
				t.Errorf("%q for %q: %v", typed, text, err)
			}
		}
	}
	for _, typed := range []string{"", "0", text + "0", text[:24], strings.Repeat("U", 25), strings.Repeat("é", 25)} {
		if _, err := Parse(typed); err == nil || (typed != "" && typed != "0" && strings.Contains(err.Error(), typed)) {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("00000-00000-00000-00000-00000")
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := Parse(typed)
		if err != nil {
			return
		}
		if again, err := Parse(code.String()); err != nil || again != code {
			t.Errorf("%q: %v, %v", typed, again, err)
		}
	})
}
