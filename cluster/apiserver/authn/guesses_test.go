package authn

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Unknown join tokens are counted by source: after some the source waits, and others do not.
func TestGuessesAreCounted(t *testing.T) {
	_, o := newTokens(t)
	o.Put("", "secrets", bootstrapSecret("abcdef", ""))
	a := New(Config{Secrets: o})
	now := time.Now()
	a.now = func() time.Time { return now }
	try := func(remote, token string) error {
		r := httptest.NewRequest("GET", "/api", nil)
		r.RemoteAddr = remote
		r.Header.Set("Authorization", "Bearer "+token)
		_, err := a.Authenticate(r)
		return err
	}
	const right, wrong = "abcdef.0123456789abcdef", "abcdef.0123456789abcdee"
	for i := range guessBurst {
		if err := try(fmt.Sprint("192.0.2.1:", 1000+i), wrong); !apierrors.IsUnauthorized(err) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	for _, token := range []string{wrong, right} {
		if err := try("192.0.2.1:1", token); !apierrors.IsTooManyRequests(err) {
			t.Errorf("after %d guesses: %v", guessBurst, err)
		}
	}
	if err := try("192.0.2.2:1", right); err != nil {
		t.Errorf("another source: %v", err)
	}
	now = now.Add(guessInterval + time.Second)
	if err := try("192.0.2.1:1", right); err != nil {
		t.Errorf("later: %v", err)
	}
	if err := try("192.0.2.1:1", wrong); !apierrors.IsUnauthorized(err) {
		t.Errorf("one more: %v", err)
	}
	if err := try("192.0.2.1:1", wrong); !apierrors.IsTooManyRequests(err) {
		t.Errorf("and another: %v", err)
	}
	for i := range 2 * maxSources { // one network of IPv6 each
		_ = try(fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>8, i&0xff), wrong)
	}
	if n := len(a.guesses.paid); n > maxSources+1 {
		t.Errorf("%d sources in memory", n)
	}
}

// A token with a limit of wrong secrets is refused after them, from every source; another is not.
func TestWrongSecretsAreCounted(t *testing.T) {
	_, o := newTokens(t)
	limited := bootstrapSecret("abcdef", "")
	LimitGuesses(limited, 32)
	o.Put("", "secrets", limited, bootstrapSecret("ghijkl", ""))
	a := New(Config{Secrets: o})
	try := func(source int, token string) error {
		r := httptest.NewRequest("GET", "/api", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", source)
		r.Header.Set("Authorization", "Bearer "+token)
		_, err := a.Authenticate(r)
		return err
	}
	for i := range 31 {
		if err := try(i, "abcdef.0123456789abcdee"); !apierrors.IsUnauthorized(err) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if err := try(100, "abcdef.0123456789abcdef"); err != nil {
		t.Errorf("after 31 guesses of 32: %v", err)
	}
	_ = try(101, "abcdef.0123456789abcdee")
	for i := range 60 {
		_ = try(i, "ghijkl.0123456789abcdee")
	}
	if err := try(102, "abcdef.0123456789abcdef"); !apierrors.IsUnauthorized(err) {
		t.Errorf("after 32 guesses: %v", err)
	}
	if err := try(103, "ghijkl.0123456789abcdef"); err != nil {
		t.Errorf("a token without a limit: %v", err)
	}
	again := bootstrapSecret("abcdef", "")
	again.UID = "made again"
	LimitGuesses(again, 32)
	o.Put("", "secrets", again)
	if err := try(104, "abcdef.0123456789abcdef"); err != nil {
		t.Errorf("a new token with the same id: %v", err)
	}
}

// However many tokens were tried, each has its own count, and those of tokens that are gone are removed.
func TestEachTokenHasItsCount(t *testing.T) {
	now := time.Now()
	g := newGuesses(func() time.Time { return now })
	exists := func(token string) bool { return token[0] == 'h' }
	for i := range 2 * maxSources {
		for range 3 {
			g.count(fmt.Sprint("here/", i), true, exists)
			g.count(fmt.Sprint("gone/", i), true, exists)
		}
	}
	for i := range 2 * maxSources {
		if n := g.count(fmt.Sprint("here/", i), false, exists); n != 3 {
			t.Fatalf("token %d of %d: %d wrong secrets were counted, and 3 sent", i, 2*maxSources, n)
		}
	}
	if n := g.count("another/1", true, exists); n != 1 {
		t.Errorf("one more token begins with %d", n)
	}
	if most := 6 * maxSources; len(g.wrong) > most {
		t.Errorf("%d tokens in memory: the %d that exist, and more than as many again", len(g.wrong), 2*maxSources)
	}
}
