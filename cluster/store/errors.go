package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fromEtcd returns an error of etcd as an API error.
func fromEtcd(err error, doing string) error {
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%s: %v", doing, err))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, rpctypes.ErrTimeout), errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail),
		errors.Is(err, rpctypes.ErrTimeoutDueToConnectionLost), errors.Is(err, rpctypes.ErrNoLeader),
		errors.Is(err, rpctypes.ErrLeaderChanged), errors.Is(err, rpctypes.ErrStopped):
		return timeout(fmt.Errorf("%s: %w", doing, err))
	case errors.Is(err, rpctypes.ErrNoSpace):
		return insufficientStorage(fmt.Errorf("%s: %w. Delete objects that are not needed; history is removed automatically; "+
			"then let an operator run `etcdctl defrag` and `etcdctl alarm disarm`, or give etcd a larger --quota-backend-bytes", doing, err))
	case errors.Is(err, rpctypes.ErrTooManyRequests):
		return apierrors.NewTooManyRequests(fmt.Sprintf("%s: %v", doing, err), 1)
	}
	return apierrors.NewInternalError(fmt.Errorf("%s: %w", doing, err))
}

// fromWrite returns an error of a transaction as an API error. A timeout does not say when to try again: the write may
// have been done, and a client that repeats it on its own, as client-go does, receives that its own object already
// exists, or makes a second one of a generateName.
func fromWrite(err error, doing string) error {
	err = fromEtcd(err, doing)
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok && apierrors.IsTimeout(err) {
		status.ErrStatus.Details.RetryAfterSeconds = 0
		status.ErrStatus.Message += "; the write may have been done: read the object before you try again"
	}
	return err
}

// insufficientStorage is the answer to a write for which there is no space; err has the
// remedy. Kubernetes has no reason for it: the code is that of RFC 4918.
func insufficientStorage(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInsufficientStorage, Reason: "InsufficientStorage", Message: err.Error(),
	}}
}

func timeout(err error) error { return apierrors.NewTimeoutError(err.Error(), 1) }

// tooLarge is the answer to a read at a revision that did not come in time.
func tooLarge(want, have int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", want, have), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

func tooOld(want, oldest int64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", want, oldest))
}

// unreadable is the answer for a key whose value in etcd is not an object of the kind.
func unreadable(key string, err error) error {
	if isTransformError(err) {
		return untransformable(key, err)
	}
	return apierrors.NewInternalError(fmt.Errorf("the value of %s in etcd cannot be read: %w", key, err))
}

// parseVersion reads a resourceVersion; "" and "0" are 0.
func parseVersion(rv string) (int64, error) {
	if rv == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(rv, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q: %v", rv, err))
	}
	return int64(min(n, math.MaxInt64)), nil
}
