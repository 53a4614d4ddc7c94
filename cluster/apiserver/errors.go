package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/requestinfo"
)

// statusOf is any error as the Status that a client gets.
func statusOf(err error) *metav1.Status {
	var withStatus apierrors.APIStatus
	var status metav1.Status
	switch {
	case errors.As(err, &withStatus):
		status = withStatus.Status()
	case errors.Is(err, context.DeadlineExceeded):
		status = apierrors.NewTimeoutError("request did not complete within the allotted time", 0).ErrStatus
	case errors.Is(err, context.Canceled):
		status = newStatus(499, metav1.StatusReasonUnknown, "the client went away").ErrStatus
	default:
		status = apierrors.NewInternalError(err).ErrStatus
	}
	if status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	if status.Status == "" {
		status.Status = metav1.StatusFailure
	}
	status.Kind, status.APIVersion = "Status", "v1"
	return &status
}

func newStatus(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

func badRequest(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

func errNoSuchPath() error {
	return newStatus(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}

func errMethod(i *requestinfo.Info) error {
	return apierrors.NewMethodNotSupported(schema.GroupResource{Group: i.Group, Resource: i.Plural}, i.Verb)
}

func errUnauthorized() error {
	return newStatus(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
}

func errTooMany() error {
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
}

func errTooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
}

// errOverBudget refuses what would cost too much, in the words of what counted it.
func errOverBudget(err error) error {
	return apierrors.NewRequestEntityTooLargeError(err.Error())
}

func errMediaType(accepted string) error {
	return newStatus(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: "+accepted)
}

func errNotAcceptable(accepted string) error {
	return newStatus(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: "+accepted)
}

// errForbidden says who may not do what, in upstream's words.
func errForbidden(a *authz.Attributes, reason string) error {
	message := fmt.Sprintf("User %q cannot ", a.User.Name)
	if !a.ResourceRequest {
		message += fmt.Sprintf("%s path %q", a.Verb, a.Path)
	} else {
		resource := a.Resource
		if a.Subresource != "" {
			resource += "/" + a.Subresource
		}
		message += fmt.Sprintf("%s resource %q in API group %q ", a.Verb, resource, a.Group)
		if a.Namespace != "" {
			message += fmt.Sprintf("in the namespace %q", a.Namespace)
		} else {
			message += "at the cluster scope"
		}
	}
	if reason != "" {
		message += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name, errors.New(message))
}

func errConflict(r *resource, name string) error {
	return apierrors.NewConflict(r.groupResource(), name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}

func errPrecondition(r *resource, name, what, want, have string) error {
	return apierrors.NewConflict(r.groupResource(), name,
		fmt.Errorf("Precondition failed: %s in precondition: %s, %s in object meta: %s", what, want, what, have))
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}
}

// fail answers with err as a Status, in a media type that the client takes.
func (s *Server) fail(w *recorder, req *http.Request, err error) {
	if w.code != 0 {
		// The answer is under way; the only honest way out is to break it off.
		s.Log.Debug("answer broken off", "path", req.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
	status := statusOf(err)
	w.status = status
	if status.Code >= 500 {
		s.Log.Warn("request failed", "method", req.Method, "path", req.URL.Path, "err", err)
	}
	if d := status.Details; d != nil && d.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
	}
	if status.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="wheelhouse"`)
	}
	out, acceptErr := negotiate(req, formsNone)
	if acceptErr != nil {
		out = answer{media: mediaJSON}
	}
	body, encodeErr := encodeObject(status, statusGVK, out.media, isPretty(req))
	if encodeErr != nil {
		http.Error(w, status.Message, int(status.Code))
		return
	}
	h := w.Header()
	h.Set("Content-Type", out.media.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(int(status.Code))
	_, _ = w.Write(body)
}
