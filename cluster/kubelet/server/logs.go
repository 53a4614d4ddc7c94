package server

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// logRequest is a request of the pods/log subresource.
type logRequest struct {
	cri.LogOptions
	previous bool
	limit    int64 // bytes; negative means no limit
	stdout   bool
	stderr   bool
}

// parseLogRequest reads the query of a request for logs.
func parseLogRequest(q url.Values, now time.Time) (logRequest, error) {
	out := logRequest{LogOptions: cri.LogOptions{Tail: -1}, limit: -1, stdout: true, stderr: true}
	var errs []error
	flag := func(name string) bool {
		if !q.Has(name) {
			return false
		}
		v, err := strconv.ParseBool(cmp.Or(q.Get(name), "true"))
		errs = append(errs, err)
		return v
	}
	number := func(name string, least int64) (int64, bool) {
		if q.Get(name) == "" {
			return 0, false
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err == nil && n < least {
			err = badRequest("%s must be at least %d", name, least)
		}
		errs = append(errs, err)
		return n, true
	}
	out.Follow, out.Timestamps, out.previous = flag("follow"), flag("timestamps"), flag("previous")
	if n, ok := number("tailLines", 0); ok {
		out.Tail = n
	}
	if n, ok := number("limitBytes", 1); ok {
		out.limit = n
	}
	if n, ok := number("sinceSeconds", 1); ok {
		out.Since = now.Add(-time.Duration(n) * time.Second)
	}
	if s := q.Get("sinceTime"); s != "" {
		t, err := time.Parse(time.RFC3339Nano, s)
		errs = append(errs, err)
		out.Since = t
	}
	switch q.Get("stream") {
	case "", "All":
	case "Stdout":
		out.stderr = false
	case "Stderr":
		out.stdout = false
	default:
		errs = append(errs, badRequest("stream must be All, Stdout or Stderr"))
	}
	return out, errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// serveLogs answers with a container's output as text.
func (s *Server) serveLogs(w http.ResponseWriter, r *http.Request) {
	request, err := parseLogRequest(r.URL.Query(), time.Now())
	if err != nil {
		failRequest(w, badRequest("%w", err))
		return
	}
	c, err := s.logged(r, request.previous)
	if err != nil {
		failRequest(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	out := &logWriter{w: w, left: request.limit}
	if f, ok := w.(http.Flusher); ok && request.Follow {
		f.Flush()
		out.flush = f.Flush
	}
	var stdout, stderr io.Writer
	if request.stdout {
		stdout = out
	}
	if request.stderr {
		stderr = out
	}
	err = s.Streams.Logs(r.Context(), c.ID, request.LogOptions, stdout, stderr)
	if err != nil && !errors.Is(err, errLimit) && r.Context().Err() == nil {
		s.Log.Warn("serve a log", "container", c.ID, "err", err)
	}
}

// logged returns the container whose log is requested.
func (s *Server) logged(r *http.Request, previous bool) (cri.Container, error) {
	pod, list, err := s.containers(r)
	if err != nil {
		return cri.Container{}, err
	}
	name := r.PathValue("container")
	switch {
	case podspec.Container(pod, name) == nil:
		return cri.Container{}, notFound("container %q in pod %q is not available", name, pod.Name)
	case previous:
		if c, ok := before(pod, name, list); ok {
			return c, nil
		}
		return cri.Container{}, badRequest("previous terminated container %q in pod %q not found", name, pod.Name)
	case len(list) == 0:
		return cri.Container{}, badRequest("container %q in pod %q is waiting to start: %s", name, pod.Name, waitingReason(pod, name))
	}
	return list[0], nil
}

// before returns the container that the last state of a status is of, as upstream: where the next one is waited for, in
// backoff, that is the newest. list has the newest first.
func before(pod *v1.Pod, name string, list []cri.Container) (cri.Container, bool) {
	status := podspec.ContainerStatus(&pod.Status, name)
	waits := status != nil && status.State.Waiting != nil
	for i, c := range list {
		if c.State == cri.Exited && (i > 0 || waits) {
			return c, true
		}
	}
	return cri.Container{}, false
}

// waitingReason is why a container has not been started, in upstream's words.
func waitingReason(pod *v1.Pod, name string) string {
	seen := podspec.ContainerStatus(&pod.Status, name)
	if seen == nil || seen.State.Waiting == nil {
		return "ContainerCreating"
	}
	switch reason := seen.State.Waiting.Reason; reason {
	case "ErrImagePull":
		return "image can't be pulled"
	case "ImagePullBackOff":
		return "trying and failing to pull image"
	default:
		return reason
	}
}

// errLimit stops a copy at its limit.
var errLimit = errors.New("limit reached")

// logWriter passes on so many bytes, and at once where the log is followed.
type logWriter struct {
	w     io.Writer
	left  int64
	flush func()
}

func (l *logWriter) Write(p []byte) (int, error) {
	whole := len(p)
	if l.left >= 0 && int64(whole) > l.left {
		p = p[:l.left]
	}
	n, err := l.w.Write(p)
	if l.left >= 0 {
		l.left -= int64(n)
	}
	if l.flush != nil {
		l.flush()
	}
	if err == nil && n < whole {
		err = errLimit
	}
	return n, err
}
