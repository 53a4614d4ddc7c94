package authn

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/wait"
)

// slowly looks for a bootstrap token until it may go on.
type slowly struct{ came, goOn chan struct{} }

func (s slowly) Get(context.Context, schema.GroupResource, string, string, bool) (api.Object, error) {
	s.came <- struct{}{}
	<-s.goOn
	return nil, errUnknownToken
}

// TestVerifyingTakesTurns: who sends unknown credentials waits in the queue of its address. Whose
// token was verified before does not wait.
func TestVerifyingTakesTurns(t *testing.T) {
	tokens, _ := newTokens(t)
	secrets := slowly{make(chan struct{}), make(chan struct{})}
	a := New(Config{Tokens: tokens, Secrets: secrets})
	c := flowcontrol.LevelConfig{Seats: 1, FlowSeats: 1, QueueLength: 2, QueueWait: time.Minute}
	c.Limits[flowcontrol.Requests] = flowcontrol.Limit{PerFlow: 3, Total: 10}
	a.verifying = flowcontrol.NewLevel(c)
	try := func(remote, token string) error {
		r := httptest.NewRequest(http.MethodGet, "/api", nil)
		r.RemoteAddr = remote
		r.Header.Set("Authorization", "Bearer "+token)
		_, err := a.Authenticate(r)
		return err
	}
	good := issue(t, tokens, authenticationv1.TokenRequestSpec{})
	if err := try("1.1.1.1:1", good); err != nil {
		t.Fatal(err)
	}
	const bad = "abcdef.0123456789abcdef"
	results := make(chan error)
	for range 4 {
		go func() { results <- try("1.1.1.1:1", bad) }()
	}
	<-secrets.came
	if err := <-results; !apierrors.IsTooManyRequests(err) {
		t.Errorf("one more than may wait: %v", err)
	}
	if err := try("1.1.1.1:2", good); err != nil {
		t.Errorf("a token that was verified: %v", err)
	}
	other := make(chan error)
	go func() { other <- try("2.2.2.2:1", bad) }()
	wait.For(t, "three in the queue", func() error { // which the next lines are about
		return wait.Seen(a.verifying.Stats().Queued == 3, a.verifying.Stats())
	})
	secrets.goOn <- struct{}{}
	if err := <-results; !apierrors.IsUnauthorized(err) {
		t.Errorf("a bad token: %v", err)
	}
	<-secrets.came
	secrets.goOn <- struct{}{}
	if err := <-other; !apierrors.IsUnauthorized(err) { // before the two that wait longer
		t.Errorf("another address: %v", err)
	}
	for range 2 {
		<-secrets.came
		secrets.goOn <- struct{}{}
		if err := <-results; !apierrors.IsUnauthorized(err) {
			t.Errorf("a bad token that waited: %v", err)
		}
	}
}
