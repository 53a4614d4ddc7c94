package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// RunHandler runs a lifecycle handler until it is done. Of an HTTP handler any answer is a success, whatever its status code: upstream's
// kubelet does not look at it.
func RunHandler(ctx context.Context, rt Execer, h *v1.LifecycleHandler, t Target, event func(kind, reason, message string)) error {
	switch {
	case h.Exec != nil:
		out := &cri.LimitedBuffer{Limit: outputLimit}
		code, err := rt.Exec(ctx, t.ID, h.Exec.Command, cri.IO{Stdout: out, Stderr: out})
		if err == nil && code != 0 {
			err = fmt.Errorf("command %q exited with %d: %s", h.Exec.Command, code, out.String())
		}
		return err
	case h.HTTPGet != nil:
		r, err := httpRequest(ctx, h.HTTPGet, t, "kube-lifecycle/1.36")
		if err != nil {
			return err
		}
		_, _, err = send(r)
		if errors.Is(err, http.ErrSchemeMismatch) { // the handlers of Kubernetes before 1.24 spoke HTTP whatever their scheme
			r.URL.Scheme = "http"
			r.Header.Del("Authorization")
			if _, _, err = send(r); err == nil {
				event(v1.EventTypeWarning, "LifecycleHTTPFallback", fmt.Sprintf("request to HTTPS lifecycle hook %s got HTTP response, retry with HTTP succeeded", r.URL.Host))
			}
		}
		return err
	case h.Sleep != nil:
		select {
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("the hook names no action that is supported: exec, httpGet or sleep")
}
