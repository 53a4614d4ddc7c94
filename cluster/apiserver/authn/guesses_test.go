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
