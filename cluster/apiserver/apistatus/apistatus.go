// Package apistatus has the failures of the API server as metav1.Status, with upstream's
// codes, reasons and messages.
//
// Every error that a client gets passes through Of. The package writes no answers and logs
// nothing. Callers return these errors as they are: to wrap one keeps its code, but not its
// message.
package apistatus

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/apiserver/authz"
)

// Of returns the Status that a client gets for err.
func Of(err error) *metav1.Status {
	var withStatus apierrors.APIStatus
	var status metav1.Status
	switch {
	case errors.As(err, &withStatus):
		status = withStatus.Status()
	case errors.Is(err, context.DeadlineExceeded):
		status = apierrors.NewTimeoutError("request did not complete within the allotted time", 0).ErrStatus
	case errors.Is(err, context.Canceled):
		status = New(499, metav1.StatusReasonUnknown, "the client went away").ErrStatus
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

// New returns a failure that apimachinery has no constructor for.
func New(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}}
}

// BadRequest returns a 400.
func BadRequest(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

const noResource = "the server could not find the requested resource"

// PathNotFound returns the 404 for a path that nothing serves.
func PathNotFound() error {
	return routing(http.StatusNotFound, metav1.StatusReasonNotFound, noResource)
}

// ResourceNotFound is PathNotFound for a resource that once was; successor names today's, and may be empty.
func ResourceNotFound(successor string) error {
	if successor == "" {
		return PathNotFound()
	}
	return New(http.StatusNotFound, metav1.StatusReasonNotFound, noResource+": "+successor)
}

// MethodNotSupported returns a 405.
func MethodNotSupported() error {
	return routing(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "the server does not allow this method on the requested resource")
}

// routing returns a failure that upstream's router finds, before there is a resource: its details are empty.
func routing(code int32, reason metav1.StatusReason, message string) error {
	err := New(code, reason, message)
	err.ErrStatus.Details = &metav1.StatusDetails{}
	return err
}

// Unauthorized returns the 401 of every failed authentication: it gives no reason.
func Unauthorized() error {
	return New(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
}

// TooManyRequests returns a 429 after which clients retry in a second.
func TooManyRequests() error {
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
}

// BodyTooLarge returns the 413 for a body above MaxBody.
func BodyTooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxBody))
}

// TooExpensive returns a 413 with the message of the budget that was exceeded.
func TooExpensive(err error) error {
	return apierrors.NewRequestEntityTooLargeError(err.Error())
}

// UnsupportedMediaType returns a 415.
func UnsupportedMediaType(accepted string) error {
	return New(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: "+accepted)
}

// UnsupportedPatchType returns the 415 for a patch in none of the types of the resource.
func UnsupportedPatchType() error {
	return routing(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "415: Unsupported Media Type")
}

// NotMarshalable refuses protobuf of an object that has none.
func NotMarshalable(obj any) error {
	return New(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		fmt.Sprintf("object %T does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", obj))
}

// NoRepresentation returns the 406 for a request that accepts none of the media types in which an answer can be.
func NoRepresentation(available string) error {
	return routing(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+available)
}

// NotAcceptable returns the 406 for a request that accepts a media type of the answer, but asks for a form that it cannot have.
func NotAcceptable(accepted string) error {
	return New(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: "+accepted)
}

// NotOfThatForm returns the 406 for an object that has not the form that is asked for.
func NotOfThatForm(format, kind string) error {
	return New(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, fmt.Sprintf(format, kind))
}

// Forbidden returns a 403 with upstream's message.
func Forbidden(a *authz.Attributes, reason string) error {
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

// Conflict returns the 409 for an outdated resourceVersion.
func Conflict(r schema.GroupResource, name string) error {
	return apierrors.NewConflict(r, name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}

// PreconditionFailed returns the 409 for a precondition that the object does not meet.
func PreconditionFailed(r schema.GroupResource, name, what, want, have string) error {
	return apierrors.NewConflict(r, name,
		//nolint:staticcheck // ST1005: upstream's text
		fmt.Errorf("Precondition failed: %s in precondition: %s, %s in object meta: %s", what, want, what, have))
}

// MaxBody is the largest body of a request, in bytes; etcd takes no more anyway.
const MaxBody = 3 << 20

// GVK is the kind of every failure.
var GVK = schema.GroupVersionKind{Version: "v1", Kind: "Status"}

// maxInvalid is how many fields a 422 has. Its message is put together in quadratic time.
const maxInvalid = 1000

// Invalid returns the 422 for the fields that are wrong, nil if there are none.
func Invalid(kind schema.GroupKind, name string, errs field.ErrorList) error {
	switch n := len(errs); {
	case n == 0:
		return nil
	case n > maxInvalid:
		err := apierrors.NewInvalid(kind, name, errs[:maxInvalid])
		err.ErrStatus.Message += fmt.Sprintf(", and %d more", n-maxInvalid)
		return err
	}
	return apierrors.NewInvalid(kind, name, errs)
}
