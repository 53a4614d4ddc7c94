// Package steps holds the sentences that checks are written in: what a cluster shows of
// pods, controllers, services and volumes, what addresses answer, and what commands print.
// Each sentence waits for its own condition, up to World.Patience, and a sentence that
// does not come true returns a *Failure. The package needs a kubeconfig and nothing of the
// cluster's own. README.md lists the sentences; table names each with its function.
package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// World is what the steps of one run act on. The caller fills the fields up to OnWait.
type World struct {
	Client    kubernetes.Interface
	Namespace string
	Dir       string        // where commands run
	Env       []string      // of commands: PATH with kubectl, KUBECONFIG
	Patience  time.Duration // how long a sentence may take to come true
	// OnWait is told what a step waits for and what it last saw; may be nil.
	OnWait func(wanted, seen string, since time.Time)

	http  *http.Client
	after time.Duration // for steady; zero: steadyAfter
}

// Failure is a sentence that did not come true.
type Failure struct {
	Wanted string
	Seen   string
	Since  time.Time // from when on it was seen so
	Event  string    // the event that tells most about it; may be empty
	Try    string    // what a person can do next
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wanted: %s\nseen:   %s\nsince:  %s", f.Wanted, indent(f.Seen), f.Since.UTC().Format("15:04:05 UTC"))
	if f.Event != "" {
		fmt.Fprintf(&b, "\nevent:  %s", f.Event)
	}
	if f.Try != "" {
		fmt.Fprintf(&b, "\ntry:    %s", f.Try)
	}
	return b.String()
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        ")
}

// want is a condition and what to say of it.
type want struct {
	text  string // in words: "pod influxdb Running and ready"
	about string // the object's name, to find its events by; may be a prefix
	try   string
	// probe looks once: what is there, and whether that is what is wanted. Its error is
	// one more thing seen.
	probe func(ctx context.Context) (seen string, ok bool, err error)
}

const pause = 150 * time.Millisecond

// eventually looks until the condition holds or Patience is over.
func (w *World) eventually(ctx context.Context, c want) error {
	deadline := time.Now().Add(w.Patience)
	var last string
	since := time.Now()
	for {
		probe, cancel := context.WithTimeout(ctx, 10*time.Second)
		seen, ok, err := c.probe(probe)
		cancel()
		if err != nil {
			seen, ok = err.Error(), false
		}
		if seen != last {
			last, since = seen, time.Now()
		}
		if ok {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return &Failure{Wanted: c.text, Seen: last, Since: since, Event: w.event(ctx, c.about), Try: c.try}
		}
		if w.OnWait != nil {
			w.OnWait(c.text, last, since)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// event is the newest event of the objects whose name starts with about; a warning counts
// before anything normal.
func (w *World) event(ctx context.Context, about string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if w.Client == nil || about == "" {
		return ""
	}
	list, err := w.Client.CoreV1().Events(w.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	var best *corev1.Event
	for i := range list.Items {
		e := &list.Items[i]
		if !strings.HasPrefix(e.InvolvedObject.Name, about) {
			continue
		}
		if best == nil || !rank(e).Before(rank(best)) {
			best = e
		}
	}
	if best == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %s/%s: %s", best.Type, best.Reason, strings.ToLower(best.InvolvedObject.Kind), best.InvolvedObject.Name, best.Message)
}

// rank is the event's time, a day later for a warning.
func rank(e *corev1.Event) time.Time {
	t := e.LastTimestamp.Time
	if t.IsZero() {
		t = e.EventTime.Time
	}
	if t.IsZero() {
		t = e.CreationTimestamp.Time
	}
	if e.Type == corev1.EventTypeWarning {
		t = t.Add(24 * time.Hour)
	}
	return t
}

// command runs one line as the lab's own shell would, and returns all that it printed.
func (w *World) command(ctx context.Context, line string) (out string, status int, err error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir, cmd.Env = w.Dir, w.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode(), nil
	}
	if err != nil {
		return string(text), 0, fmt.Errorf("%s: %w", line, err)
	}
	return string(text), 0, nil
}
