package kubelet

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// logRequest is what the pods/log subresource may ask for.
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
func (k *Kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	request, err := parseLogRequest(r.URL.Query(), time.Now())
	if err != nil {
		failRequest(w, badRequest("%w", err))
		return
	}
	c, err := k.logged(r, request.previous)
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
	err = k.runtime.Logs(r.Context(), c.ID, request.LogOptions, stdout, stderr)
	if err != nil && !errors.Is(err, errLimit) && r.Context().Err() == nil {
		k.log.Warn("serve a log", "container", c.ID, "error", err)
	}
}

// logged finds the container whose log is asked for.
func (k *Kubelet) logged(r *http.Request, previous bool) (cri.Container, error) {
	w, list, err := k.containers(r)
	if err != nil {
		return cri.Container{}, err
	}
	name := r.PathValue("container")
	w.mu.Lock()
	known := podspec.Container(w.pod, name) != nil
	w.mu.Unlock()
	switch {
	case !known:
		return cri.Container{}, notFound("container %q in pod %q is not available", name, w.ref.Name)
	case previous:
		for i, c := range list {
			if i > 0 && c.State == cri.Exited {
				return c, nil
			}
		}
		return cri.Container{}, badRequest("previous terminated container %q in pod %q not found", name, w.ref.Name)
	case len(list) == 0:
		return cri.Container{}, badRequest("container %q in pod %q is waiting to start: %s", name, w.ref.Name, w.waitsFor(name))
	}
	return list[0], nil
}

// waitsFor says why a container has not been started, in upstream's words.
func (w *worker) waitsFor(name string) string {
	w.mu.Lock()
	pod := w.pod
	w.mu.Unlock()
	status := w.reporter.status(pod)
	seen := podspec.ContainerStatus(&status, name)
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

// errLimit ends a copy that has reached its limit.
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
