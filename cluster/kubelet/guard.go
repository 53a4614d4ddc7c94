package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/kubelet/objects"
)

// mastersGroup may do everything everywhere.
const mastersGroup = "system:masters"

// caller is who sends a request to the node's server.
type caller struct {
	authenticationv1.UserInfo
	trusted bool // by a certificate: may do all without the API server being asked
}

// lookupsPerSource and lookupsAtOnce bound the requests that the API server is asked about.
const (
	lookupsPerSource = 20
	lookupsAtOnce    = 100
)

// guarded lets pass who may: the API server and masters by their certificate, others by a
// certificate of the cluster or a token as far as the API server says that they may use
// this part of nodes.
func (k *Kubelet) guarded(next http.Handler) http.Handler {
	share := &connlimit.Limiter{PerSource: lookupsPerSource, Total: lookupsAtOnce}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := k.mayPass(r, share); err != nil {
			switch err.code {
			case http.StatusTooManyRequests:
				w.Header().Set("Retry-After", "1")
			case http.StatusUnauthorized:
				w.Header().Set("Connection", "close") // a place for somebody else
			}
			http.Error(w, err.Error(), err.code)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayPass returns nil for a request that may be served. What the API server must be asked
// about is bounded for each client address: the answers count as this node's requests.
func (k *Kubelet) mayPass(r *http.Request, share *connlimit.Limiter) *httpError {
	who := k.certified(r)
	if who == nil || !who.trusted {
		remote, _ := netip.ParseAddrPort(r.RemoteAddr) // without one it counts for no address
		leave, ok := share.Acquire(net.TCPAddrFromAddrPort(remote))
		if !ok {
			return &httpError{http.StatusTooManyRequests, errors.New("Too many requests, please try again later.")}
		}
		defer leave()
	}
	if who == nil {
		var err error
		if who, err = k.authenticate(r); err != nil {
			k.log.Debug("authenticate", "error", err)
			return &httpError{http.StatusUnauthorized, errors.New("Unauthorized")}
		}
	}
	verb, parts := verbOf(r), partsOf(r.URL.Path)
	allowed, err := k.allows(r.Context(), who, verb, parts)
	about := fmt.Sprintf("(user=%s, verb=%s, resource=nodes, subresource(s)=%v)", who.Username, verb, parts)
	switch {
	case err != nil:
		k.log.Warn("authorize "+about, "error", err)
		return &httpError{http.StatusInternalServerError, errors.New("Authorization error " + about)}
	case !allowed:
		return &httpError{http.StatusForbidden, errors.New("Forbidden " + about)}
	}
	return nil
}

// certified is who a request's certificate names, nil without one.
func (k *Kubelet) certified(r *http.Request) *caller {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	return &caller{
		UserInfo: authenticationv1.UserInfo{Username: subject.CommonName, Groups: append(slices.Clip(subject.Organization), "system:authenticated")},
		trusted:  slices.Contains(subject.Organization, mastersGroup) || slices.Contains(k.config.AllowedUsers, subject.CommonName),
	}
}

// authenticate asks the API server whose token a request has.
func (k *Kubelet) authenticate(r *http.Request) (*caller, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return nil, errors.New("neither a certificate nor a token")
	}
	ctx, cancel := context.WithTimeout(r.Context(), objects.Timeout)
	defer cancel()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := k.config.Client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if !review.Status.Authenticated {
		return nil, errors.New("not a valid token: " + review.Status.Error)
	}
	return &caller{UserInfo: review.Status.User}, nil
}

// allows tells whether the caller may use one of the parts of this node.
func (k *Kubelet) allows(ctx context.Context, who *caller, verb string, parts []string) (bool, error) {
	if who.trusted {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, objects.Timeout)
	defer cancel()
	extra := map[string]authorizationv1.ExtraValue{}
	for name, values := range who.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	var errs []error
	for _, part := range parts {
		review, err := k.config.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: who.Username, UID: who.UID, Groups: who.Groups, Extra: extra,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: verb, Version: "v1", Resource: "nodes", Subresource: part, Name: k.config.NodeName,
				},
			},
		}, metav1.CreateOptions{})
		if err == nil && review.Status.Allowed {
			return true, nil
		}
		errs = append(errs, err)
	}
	return false, errors.Join(errs...)
}

// verbOf is what a request does to the node.
func verbOf(r *http.Request) string {
	if core.KubeletRuns(r.URL.Path) {
		return "create"
	}
	return map[string]string{
		http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[r.Method]
}

// partsOf are the subresources of a node of which one is enough for a path, as upstream.
func partsOf(path string) []string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "stats", "metrics", "checkpoint", "statusz":
		return []string{first}
	case "logs":
		return []string{"log"}
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "healthz", "configz":
		return []string{first, "proxy"}
	}
	return []string{"proxy"}
}
