package kubelet

import (
	"cmp"
	"context"
	"io"
	"os"
	"slices"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"

	v1 "k8s.io/api/core/v1"
)

// What a termination message has at most, as upstream.
const (
	maxTerminationMessage = 4096 // bytes
	maxTerminationLog     = 2048 // bytes of the log, where that is the message
	maxTerminationLines   = 80
)

// observe lists the pod's containers.
func (w *worker) observe(ctx context.Context) error {
	all, err := w.k.runtime.List(ctx, w.ref.UID)
	if err != nil {
		return err
	}
	w.observed.See(all)
	running := map[string]bool{}
	for _, c := range all {
		if c.State == cri.Running {
			running[c.ID] = true
		} else if c.State == cri.Exited && c.Name != cri.SandboxName {
			w.recordTerminationMessage(ctx, c)
		}
	}
	w.probes.Retain(running)
	return nil
}

// recordTerminationMessage records the termination message of a container.
func (w *worker) recordTerminationMessage(ctx context.Context, c cri.Container) {
	if _, ok := w.observed.Messages[c.ID]; ok {
		return
	}
	text := ""
	if data, err := readEnd(w.messagePath(c.Name, c.Attempt), maxTerminationMessage); err == nil {
		text = data
	}
	spec := podspec.Container(w.observed.Pod, c.Name)
	if text == "" && c.ExitCode != 0 && spec != nil && spec.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError {
		var out lastBytes
		if err := w.k.runtime.Logs(ctx, c.ID, cri.LogOptions{Tail: maxTerminationLines}, &out, &out); err == nil {
			text = string(out)
		}
	}
	w.observed.Messages[c.ID] = cmp.Or(text, c.Error)
}

// readEnd reads the last bytes of a file.
func readEnd(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-limit), limit))
	return string(data), err
}

// lastBytes keeps the end of what is written to it: lines of a log may have any length.
type lastBytes []byte

// Write implements io.Writer.
func (b *lastBytes) Write(p []byte) (int, error) {
	*b = append(*b, p[max(0, len(p)-maxTerminationLog):]...)
	*b = slices.Delete(*b, 0, max(0, len(*b)-maxTerminationLog))
	return len(p), nil
}
