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

// RunHandler runs a lifecycle handler until it is done.
func RunHandler(ctx context.Context, rt Execer, h *v1.LifecycleHandler, t Target) error {
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
		code, _, err := send(r)
		if err == nil && (code < http.StatusOK || code >= http.StatusBadRequest) {
			err = fmt.Errorf("GET %s: status code %d", r.URL, code)
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
