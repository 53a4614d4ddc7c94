package volume

import (
	"cmp"
	"context"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// token is a service account token, and when it was issued, by the API server's clock, and got, by this machine's.
type token struct {
	value       string
	issued, got time.Time
	life        time.Duration
}

const (
	clockSkew   = time.Minute     // a token of so much later than now is one of a clock that is set or differs
	renewAtMost = 5 * time.Minute // how often tokens are renewed while the clocks differ
)

// fresh reports whether the token needs no renewal, at a time and an age that it has by a clock that nobody sets: four fifths of its
// lifetime are not over. If either machine's clock was set, or they differ, the API server may take it for one of another time.
func (t token) fresh(now time.Time, age time.Duration) bool {
	if set := now.Round(0).Sub(t.got.Round(0)) - age; set.Abs() >= clockSkew {
		return false
	}
	return age < renewAtMost || now.After(t.issued.Add(-clockSkew)) && now.Before(t.issued.Add(t.life*4/5))
}

// token returns a service account token of the pod. It is renewed after four fifths of its
// lifetime, and when a clock was set.
func (m *Manager) token(ctx context.Context, p *v1.ServiceAccountTokenProjection) (string, error) {
	key := p.Audience + "\x00" + p.Path
	now := time.Now()
	have, ok := m.tokens[key]
	if ok && have.fresh(now, now.Sub(have.got)) {
		return have.value, nil
	}
	account := cmp.Or(m.pod.Spec.ServiceAccountName, "default")
	res, err := m.Client.CoreV1().ServiceAccounts(m.pod.Namespace).CreateToken(ctx, account, tokenRequest(m.pod, p), metav1.CreateOptions{})
	if err != nil {
		if ok && now.Before(have.issued.Add(have.life)) { // the old one serves until the server is back
			return have.value, nil
		}
		return "", err
	}
	expire, life := res.Status.ExpirationTimestamp.Time, time.Until(res.Status.ExpirationTimestamp.Time)
	if s := res.Spec.ExpirationSeconds; s != nil {
		life = time.Duration(*s) * time.Second
	}
	m.tokens[key] = token{value: res.Status.Token, issued: expire.Add(-life), got: now, life: life}
	return res.Status.Token, nil
}

// tokenRequest is the request for a token that is bound to the pod.
func tokenRequest(pod *v1.Pod, p *v1.ServiceAccountTokenProjection) *authenticationv1.TokenRequest {
	r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: p.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if p.Audience != "" {
		r.Spec.Audiences = []string{p.Audience}
	}
	return r
}
