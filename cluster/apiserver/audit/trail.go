package audit

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/client"
)

const (
	// auditHeader names a request in the log, over all servers that it passes.
	auditHeader = "Audit-Id"
	// maxAuditID bounds what a client may name its request; upstream logs all of it.
	maxAuditID = 64
	// maxUserAgent is how much of a client's name is logged, as upstream.
	maxUserAgent = 1024
)

// Trail is the audit of one request. The methods of a nil Trail, that of a request which is
// not audited, do nothing.
type Trail struct {
	req    *http.Request
	info   *requestinfo.Info
	w      *connection.Writer
	stream bool // it is long-running
	log    *Log
	policy Decision
	event  Event
	mu     sync.Mutex // guards the annotations

	sent, answered *capture // the bodies, where the level has them
	panicked       any
}

// Start assigns the request its ID. What is logged of it is decided when its user is known. A
// nil Log has nil Trails.
func (l *Log) Start(r *http.Request, info *requestinfo.Info, w *connection.Writer, longRunning bool, at time.Time) *Trail {
	if l == nil {
		return nil
	}
	a := &Trail{req: r, info: info, w: w, stream: longRunning, log: l}
	id := r.Header.Get(auditHeader)
	if id == "" {
		id = uuid.NewString()
	}
	a.event.AuditID = types.UID(id[:min(len(id), maxAuditID)])
	a.event.RequestReceivedTimestamp = metav1.NewMicroTime(at)
	w.Header().Set(auditHeader, string(a.event.AuditID))
	return a
}

// Authenticated decides what is logged, by who sent the request and not by whom the sender
// impersonates, and logs that the request was received. It may replace the body of r.
func (a *Trail) Authenticated(r *http.Request, user *client.User) {
	if a == nil || !a.begin(sender(user)) {
		return
	}
	if user.Impersonator != nil {
		as := authn.UserInfo(user)
		a.event.ImpersonatedUser = &as
		if user.Constraint != "" {
			a.event.AuthenticationMetadata = &AuthenticationMetadata{ImpersonationConstraint: user.Constraint}
		}
	}
	a.stage(StageRequestReceived)
	if a.stream {
		a.w.Started = a.started
		return
	}
	a.captureBodies(r)
}

// Refused logs a request whose credentials are not valid, or whose sender (if known) may not
// impersonate, with what authentication says of them. Upstream logs the former when the answer begins.
func (a *Trail) Refused(user *client.User, annotations map[string]string) {
	if a == nil || !a.begin(user) {
		return
	}
	a.Annotate(annotations)
	if user != nil {
		a.stage(StageRequestReceived)
		return
	}
	a.event.ResponseStatus = &metav1.Status{Message: attempted(a.req), Code: http.StatusUnauthorized}
	a.stage(StageResponseStarted)
	a.policy.Level = LevelNone // it has no other event
}

func sender(u *client.User) *client.User {
	if u.Impersonator != nil {
		return u.Impersonator
	}
	return u
}

// begin sets what the request line and headers say. It reports whether the request is audited.
func (a *Trail) begin(user *client.User) bool {
	r, e := a.req, &a.event
	at := a.info.Attributes(user, a.info.Verb)
	a.policy = a.log.Decide(&at)
	if a.policy.Level == LevelNone {
		return false
	}
	e.Level, e.Verb, e.RequestURI = a.policy.Level, a.info.Verb, r.URL.RequestURI()
	if e.UserAgent = r.UserAgent(); len(e.UserAgent) > maxUserAgent {
		e.UserAgent = e.UserAgent[:maxUserAgent] + "...TRUNCATED"
	}
	for _, ip := range utilnet.SourceIPs(r) {
		e.SourceIPs = append(e.SourceIPs, ip.String())
	}
	if user != nil {
		e.User = authn.UserInfo(user)
	}
	if a.info.IsResource {
		e.ObjectRef = &ObjectReference{
			Resource: at.Resource, Namespace: at.Namespace, Name: at.Name, APIGroup: at.Group, APIVersion: at.Version, Subresource: at.Subresource,
		}
	}
	return true
}

// attempted returns upstream's message on how a client tried to authenticate.
func attempted(r *http.Request) string {
	var methods []string
	if _, _, ok := r.BasicAuth(); ok {
		methods = append(methods, "basic")
	}
	if scheme, _, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " "); ok && strings.EqualFold(scheme, "bearer") {
		methods = append(methods, "bearer")
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		methods = append(methods, "x509")
	}
	if len(methods) == 0 {
		return "Authentication failed, no credentials provided"
	}
	return "Authentication failed, attempted: " + strings.Join(methods, ", ")
}

// Authorized annotates the events with the authorizer's decision, by upstream's keys.
func (a *Trail) Authorized(allowed bool, reason string, err error) {
	if a == nil || a.off() {
		return
	}
	decision := "forbid"
	switch {
	case err != nil:
		reason = "internal error"
	case allowed:
		decision = "allow"
	}
	a.annotate("authorization.k8s.io/decision", decision)
	a.annotate("authorization.k8s.io/reason", reason)
}

// Annotate annotates the events that follow.
func (a *Trail) Annotate(annotations map[string]string) {
	if a == nil || a.off() {
		return
	}
	for k, v := range annotations {
		a.annotate(k, v)
	}
}

// annotate keeps the first value of a key, as upstream. A request that deletes many objects
// calls it concurrently.
func (a *Trail) annotate(key, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.event.Annotations == nil {
		a.event.Annotations = map[string]string{}
	}
	if _, there := a.event.Annotations[key]; !there {
		a.event.Annotations[key] = value
	}
}

// Object records which object a client sent: the path of a create does not name it.
func (a *Trail) Object(obj api.Object) {
	if a == nil || a.off() || a.event.ObjectRef == nil {
		return
	}
	ref := a.event.ObjectRef
	if ref.Name == "" {
		ref.Name = obj.GetName()
	}
	if ref.Namespace == "" {
		ref.Namespace = obj.GetNamespace()
	}
	ref.UID, ref.ResourceVersion = obj.GetUID(), obj.GetResourceVersion()
}

func (a *Trail) off() bool { return a.policy.Level == "" || a.policy.Level == LevelNone }

// started logs the beginning of the answer to a long-running request.
func (a *Trail) started(code int) {
	a.event.ResponseStatus = &metav1.Status{Code: int32(code)}
	a.stage(StageResponseStarted)
}

// Panicked records what a handler panicked with.
func (a *Trail) Panicked(p any) {
	if a != nil {
		a.panicked = p
	}
}

// Complete logs the end of the request.
func (a *Trail) Complete() {
	if a == nil || a.off() {
		return
	}
	if a.panicked != nil {
		a.event.ResponseStatus = &metav1.Status{
			Code: http.StatusInternalServerError, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Message: fmt.Sprintf("APIServer panic'd: %v", a.panicked),
		}
		a.stage(StagePanic)
		return
	}
	w := a.w
	if w.Code == 0 {
		a.event.ResponseStatus = &metav1.Status{Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early"}
		if a.stream {
			a.stage(StageResponseStarted)
		}
	} else {
		status := metav1.Status{}
		if s := w.Status; s != nil {
			status = metav1.Status{Status: s.Status, Message: s.Message, Reason: s.Reason, Details: s.Details}
		}
		status.Code = int32(w.Code)
		a.event.ResponseStatus = &status
	}
	a.event.RequestObject = a.bodyOf(a.sent, negotiate.BodyType(a.req))
	a.event.ResponseObject = a.bodyOf(a.answered, w.Header().Get("Content-Type"))
	a.stage(StageResponseComplete)
}

// stage logs an event, unless the policy omits it.
func (a *Trail) stage(s Stage) {
	if a.policy.Omits(s) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.event.Stage = s
	a.log.Put(&a.event)
}
