package server

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

// mastersGroup may do everything.
const mastersGroup = "system:masters"

// caller is who sends a request to the node's server.
type caller struct {
	authenticationv1.UserInfo
	trusted bool // by a certificate: no review is needed
}

// reviewsPerSource and maxReviews bound the requests that are under review at one time.
const (
	reviewsPerSource = 20
	maxReviews       = 100
)

// authorized serves the requests that are allowed: those of the API server and of masters
// by their certificate, others by a certificate of the cluster or a token as far as the API
// server allows them this subresource of nodes.
func (s *Server) authorized(next http.Handler) http.Handler {
	share := &connlimit.Limiter{PerSource: reviewsPerSource, Total: maxReviews}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.mayServe(r, share); err != nil {
			switch err.code {
			case http.StatusTooManyRequests:
				w.Header().Set("Retry-After", "1")
			case http.StatusUnauthorized:
				w.Header().Set("Connection", "close") // frees the connection for another client
			}
			http.Error(w, err.Error(), err.code)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayServe returns nil for a request that is allowed. Reviews are bounded for each client
// address: they count as this node's requests.
func (s *Server) mayServe(r *http.Request, share *connlimit.Limiter) *httpError {
	who := s.certified(r)
	if who == nil || !who.trusted {
		remote, _ := netip.ParseAddrPort(r.RemoteAddr) // without one it counts for no address
		leave, ok := share.Acquire(net.TCPAddrFromAddrPort(remote))
		if !ok {
			return &httpError{http.StatusTooManyRequests, errors.New("Too many requests, please try again later.")} //nolint:staticcheck // upstream's text
		}
		defer leave()
	}
	if who == nil {
		var err error
		if who, err = s.authenticate(r); err != nil {
			s.Log.Debug("authenticate", "err", err)
			return &httpError{http.StatusUnauthorized, errors.New("Unauthorized")}
		}
	}
	verb, subresources := verbOf(r), subresourcesOf(r.URL.Path)
	allowed, err := s.allows(r.Context(), who, verb, subresources)
	about := fmt.Sprintf("(user=%s, verb=%s, resource=nodes, subresource(s)=%v)", who.Username, verb, subresources)
	switch {
	case err != nil:
		s.Log.Warn("authorize "+about, "err", err)
		return &httpError{http.StatusInternalServerError, errors.New("Authorization error " + about)}
	case !allowed:
		return &httpError{http.StatusForbidden, errors.New("Forbidden " + about)}
	}
	return nil
}

// certified is the user of a request's certificate, nil without one.
func (s *Server) certified(r *http.Request) *caller {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	return &caller{
		UserInfo: authenticationv1.UserInfo{Username: subject.CommonName, Groups: append(slices.Clip(subject.Organization), "system:authenticated")},
		trusted:  slices.Contains(subject.Organization, mastersGroup) || slices.Contains(s.AllowedUsers, subject.CommonName),
	}
}

// authenticate returns the user of a request's token, by a TokenReview.
func (s *Server) authenticate(r *http.Request) (*caller, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return nil, errors.New("neither a certificate nor a token")
	}
	ctx, cancel := context.WithTimeout(r.Context(), objects.Timeout)
	defer cancel()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := s.Client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if !review.Status.Authenticated {
		return nil, errors.New("not a valid token: " + review.Status.Error)
	}
	return &caller{UserInfo: review.Status.User}, nil
}

// allows reports whether the caller may use one of the subresources of this node, by
// SubjectAccessReviews.
func (s *Server) allows(ctx context.Context, who *caller, verb string, subresources []string) (bool, error) {
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
	for _, subresource := range subresources {
		review, err := s.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: who.Username, UID: who.UID, Groups: who.Groups, Extra: extra,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: verb, Version: "v1", Resource: "nodes", Subresource: subresource, Name: s.NodeName,
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

// verbOf is the verb of a request on the node.
func verbOf(r *http.Request) string {
	if core.KubeletRuns(r.URL.Path) {
		return "create"
	}
	return map[string]string{
		http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[r.Method]
}

// subresourcesOf are the subresources of a node of which one is enough for a path, as
// upstream.
func subresourcesOf(path string) []string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "stats", "metrics", "checkpoint", "statusz":
		return []string{first}
	case "logs":
		return []string{"log"}
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "flagz":
		return []string{"configz"}
	case "healthz", "configz":
		return []string{first, "proxy"}
	}
	return []string{"proxy"}
}
