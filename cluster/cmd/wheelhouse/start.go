package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"wheelhouse/cluster/masters"
	"wheelhouse/cluster/store/etcd"
)

// The waits of a process at its start for another one.
const (
	startTimeout = 5 * time.Minute
	startRetry   = 500 * time.Millisecond
	startReport  = 10 * time.Second // between two lines about a wait
)

// startFlag is the flag for how long a process waits at its start.
func startFlag(f *pflag.FlagSet, limit *time.Duration, whatFor string) {
	f.DurationVar(limit, "timeout", startTimeout, "how long to wait at the start for "+whatFor+"; a slow machine needs more")
}

// awaitStart calls attempt until it returns nil, or an error that time does not mend. It logs
// what it waits for, at once and then every startReport. After the limit it returns attempt's
// last error.
func awaitStart(ctx context.Context, limit time.Duration, log *slog.Logger, what string, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began, reported := time.Now(), time.Time{}
	for {
		err := attempt(ctx)
		if err == nil || !startsLater(err) {
			return err
		}
		if ctx.Err() == nil && time.Since(reported) > startReport {
			log.Info("waiting", "for", what, "since", time.Since(began).Round(time.Second), "limit", limit, "err", err)
			reported = time.Now()
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("waiting for %s, for %s (--timeout): %w", what, limit, err)
			}
			return err
		case <-time.After(startRetry):
		}
	}
}

// startsLater reports whether an error is that of a machine or a server that is not there yet.
func startsLater(err error) bool {
	var noName *net.DNSError
	if errors.As(err, &noName) {
		return true
	}
	for _, number := range []error{unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, context.DeadlineExceeded} {
		if errors.Is(err, number) {
			return true
		}
	}
	return errors.Is(err, etcd.ErrNoAnswer) || errors.Is(err, masters.ErrLater) || utilnet.IsTimeout(err) || utilnet.IsProbableEOF(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err)
}
