package volume

import (
	"cmp"
	"context"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type token struct {
	value  string
	renew  time.Time
	expire time.Time
}

// token returns a service account token of the pod. It is renewed after four fifths of its
// lifetime.
func (m *Manager) token(ctx context.Context, p *v1.ServiceAccountTokenProjection) (string, error) {
	key := p.Audience + "\x00" + p.Path
	now := time.Now()
	have, ok := m.tokens[key]
	if ok && now.Before(have.renew) {
		return have.value, nil
	}
	account := cmp.Or(m.pod.Spec.ServiceAccountName, "default")
	res, err := m.Client.CoreV1().ServiceAccounts(m.pod.Namespace).CreateToken(ctx, account, tokenRequest(m.pod, p), metav1.CreateOptions{})
	if err != nil {
		if ok && now.Before(have.expire) { // the old one serves until the server is back
			return have.value, nil
		}
		return "", err
	}
	expire := res.Status.ExpirationTimestamp.Time
	m.tokens[key] = token{res.Status.Token, now.Add(expire.Sub(now) * 4 / 5), expire}
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
