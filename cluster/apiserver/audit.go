package apiserver

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/negotiate"
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

// auditing is the audit of one request. A nil one, of a request that is not audited,
// does nothing.
type auditing struct {
	r        *request
	log      *audit.Log
	decision audit.Decision
	event    audit.Event
	mu       sync.Mutex // guards the annotations

	sent, answered *capture // the bodies, where the level has them
	panicked       any
}

// startAudit gives the request its name. What is written of it is decided when its user
// is known.
func (s *Server) startAudit(r *request, start time.Time) *auditing {
	if s.Audit == nil {
		return nil
	}
	a := &auditing{r: r, log: s.Audit}
	id := r.Header.Get(auditHeader)
	if id == "" {
		id = uuid.NewString()
	}
	a.event.AuditID = types.UID(id[:min(len(id), maxAuditID)])
	a.event.RequestReceivedTimestamp = metav1.NewMicroTime(start)
	r.w.Header().Set(auditHeader, string(a.event.AuditID))
	return a
}

// authenticated decides what is written and writes that the request was received. It is
// about who sent it, not about whom the sender acts as.
func (a *auditing) authenticated() {
	if a == nil || !a.begin(sender(a.r.user)) {
		return
	}
	if a.r.user.Impersonator != nil {
		as := userInfo(a.r.user)
		a.event.ImpersonatedUser = &as
	}
	a.stage(audit.StageRequestReceived)
	if a.r.longRunning() {
		a.r.w.started = a.started
		return
	}
	a.captureBodies()
}

// refused is a request whose credentials are not good, or whose sender (if known) may
// not act as whom it wants to. Upstream writes the former when the answer begins.
func (a *auditing) refused(user *client.User) {
	if a == nil || !a.begin(user) {
		return
	}
	if user != nil {
		a.stage(audit.StageRequestReceived)
		return
	}
	a.event.ResponseStatus = &metav1.Status{Message: attempted(a.r.Request), Code: http.StatusUnauthorized}
	a.stage(audit.StageResponseStarted)
	a.decision.Level = audit.LevelNone // there is no other event of it
}

func sender(u *client.User) *client.User {
	if u.Impersonator != nil {
		return u.Impersonator
	}
	return u
}

// begin fills in what is known from the request's line and headers. It reports whether
// the request is audited.
func (a *auditing) begin(user *client.User) bool {
	r, e := a.r, &a.event
	at := r.Attributes(user, r.Verb)
	a.decision = a.log.Decide(&at)
	if a.decision.Level == audit.LevelNone {
		return false
	}
	e.Level, e.Verb, e.RequestURI = a.decision.Level, r.Verb, r.URL.RequestURI()
	if e.UserAgent = r.UserAgent(); len(e.UserAgent) > maxUserAgent {
		e.UserAgent = e.UserAgent[:maxUserAgent] + "...TRUNCATED"
	}
	for _, ip := range utilnet.SourceIPs(r.Request) {
		e.SourceIPs = append(e.SourceIPs, ip.String())
	}
	if user != nil {
		e.User = userInfo(user)
	}
	if r.IsResource {
		e.ObjectRef = &audit.ObjectReference{
			Resource: at.Resource, Namespace: at.Namespace, Name: at.Name, APIGroup: at.Group, APIVersion: at.Version, Subresource: at.Subresource,
		}
	}
	return true
}

func userInfo(u *client.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = v
	}
	return info
}

// attempted says in upstream's words how a client tried to authenticate.
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

// authorized notes the decision; a reason is upstream's.
func (a *auditing) authorized(allowed bool, reason string, err error) {
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
	a.note("authorization.k8s.io/decision", decision)
	a.note("authorization.k8s.io/reason", reason)
}

// admitted notes what plugins of admission have found.
func (a *auditing) admitted(annotations map[string]string) {
	if a == nil || a.off() {
		return
	}
	for k, v := range annotations {
		a.note(k, v)
	}
}

// note annotates the events that follow. The first value of a key stays, as upstream. A
// request that deletes many objects has several of them under way.
func (a *auditing) note(key, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.event.Annotations == nil {
		a.event.Annotations = map[string]string{}
	}
	if _, there := a.event.Annotations[key]; !there {
		a.event.Annotations[key] = value
	}
}

// object notes which object a client sent: the path of a create does not name it.
func (a *auditing) object(obj api.Object) {
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

func (a *auditing) off() bool { return a.decision.Level == "" || a.decision.Level == audit.LevelNone }

// started is the beginning of the answer to a long-running request.
func (a *auditing) started(code int) {
	a.event.ResponseStatus = &metav1.Status{Code: int32(code)}
	a.stage(audit.StageResponseStarted)
}

// panics notes what a handler panicked with.
func (a *auditing) panics(p any) {
	if a != nil {
		a.panicked = p
	}
}

// complete is the end of the request, in whatever way.
func (a *auditing) complete() {
	if a == nil || a.off() {
		return
	}
	if a.panicked != nil {
		a.event.ResponseStatus = &metav1.Status{
			Code: http.StatusInternalServerError, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Message: fmt.Sprintf("APIServer panic'd: %v", a.panicked),
		}
		a.stage(audit.StagePanic)
		return
	}
	w := a.r.w
	if w.code == 0 {
		a.event.ResponseStatus = &metav1.Status{Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early"}
		if a.r.longRunning() {
			a.stage(audit.StageResponseStarted)
		}
	} else {
		status := metav1.Status{}
		if s := w.status; s != nil {
			status = metav1.Status{Status: s.Status, Message: s.Message, Reason: s.Reason, Details: s.Details}
		}
		status.Code = int32(w.code)
		a.event.ResponseStatus = &status
	}
	a.event.RequestObject = a.bodyOf(a.sent, negotiate.BodyType(a.r.Request))
	a.event.ResponseObject = a.bodyOf(a.answered, w.Header().Get("Content-Type"))
	a.stage(audit.StageResponseComplete)
}

// stage writes an event, unless the policy leaves it out.
func (a *auditing) stage(s audit.Stage) {
	if a.decision.Omits(s) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.event.Stage = s
	a.log.Put(&a.event)
}
