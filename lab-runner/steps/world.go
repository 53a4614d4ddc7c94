// Package steps implements the steps of checks: the state of pods, controllers, services and
// volumes, the responses of addresses, and the output of commands. Each step waits for its
// condition, at most World.Patience, and returns a *Failure if it is not met. The package
// needs a client and kubectl, and imports nothing of the cluster. The caller fills a World and
// registers the steps with each scenario; table lists them.
package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/lab-runner/script"
)

// Objects reads objects of the core group into one of their type, or into a list. A resource is a plural, such as "pods".
type Objects interface {
	Get(ctx context.Context, resource, namespace, name string, into runtime.Object) error
	List(ctx context.Context, resource, namespace string, opts metav1.ListOptions, into runtime.Object) error
}

// World is the environment of the steps of one run. The caller sets the exported fields.
// It has more than 30 methods because each step is one; table.go has their sentences.
type World struct {
	Client    Objects
	Namespace string
	Dir       string        // where commands run
	Env       []string      // of commands: PATH with kubectl, KUBECONFIG
	Patience  time.Duration // the timeout of each step, on a machine of usual speed
	Slow      Slow          // multiplies Patience, the limits of single probes, and the timeouts of commands
	// OnWait is called while a step waits, with its condition and the last state; may be nil.
	OnWait func(wanted, seen string, since time.Time)

	http  *http.Client
	after time.Duration // for steady; zero: steadyAfter
}

// Failure is the error of a step whose condition was not met.
type Failure struct {
	Wanted string
	Seen   string
	Since  time.Time // of the last change of Seen
	Event  string    // the most relevant event; may be empty
	Try    string    // commands to run next
	// Elsewhere says that what was looked for is in another namespace; may be empty.
	Elsewhere string
	// Unknown is set if the last look did not come to an end in time: what it asks about may be so or not.
	Unknown bool
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wanted: %s\nseen:   %s\nsince:  %s", f.Wanted, indent(f.Seen), f.Since.UTC().Format("15:04:05 UTC"))
	if f.Event != "" {
		fmt.Fprintf(&b, "\nevent:  %s", f.Event)
	}
	if f.Elsewhere != "" {
		fmt.Fprintf(&b, "\nnote:   %s", f.Elsewhere)
	}
	if f.Try != "" {
		fmt.Fprintf(&b, "\ntry:    %s", f.Try)
	}
	return b.String()
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        ")
}

// condition is what a step waits for.
type condition struct {
	text  string // in words: "pod influxdb Running and ready"
	about string // the object's name, to find its events by; may be a prefix
	try   string
	// probe returns the current state, and whether the condition is met. An error is shown as
	// the state.
	probe func(ctx context.Context) (seen string, ok bool, err error)
	// quick is what probe is without its cost; known is false if it cannot tell. nil: there is none. Where a step only
	// looks, it decides; where a step waits, it says when to probe.
	quick func(ctx context.Context) (seen string, ok, known bool)
	// object is what the condition is about, "resource name" or "resource label=value", to find it
	// in another namespace; may be empty.
	object string
}

const pause = 150 * time.Millisecond

// probeLimit is how long one probe may take, on a machine of usual speed. One that takes as long has twice as long the
// next time: the machine may be busy.
const probeLimit = 10 * time.Second

// eventually polls until the condition is met or Patience has passed.
func (w *World) eventually(ctx context.Context, c condition) error {
	deadline := time.Now().Add(w.Slow.Wait(w.Patience))
	var last string
	since, limit := time.Now(), w.Slow.Wait(probeLimit)
	if w.Patience == 0 { // there is no next time: whoever looks again begins with this limit
		limit *= 3
	}
	for {
		probe, cancel := context.WithTimeout(ctx, limit)
		seen, ok, err := w.look(probe, c, time.Now().After(deadline))
		late := probe.Err() != nil && !ok
		if late {
			limit *= 2
		}
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
			return &Failure{Wanted: c.text, Seen: last, Since: since, Event: w.event(ctx, c.about), Try: c.try, Elsewhere: w.elsewhere(ctx, c.object), Unknown: late}
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

// look probes the condition. While there is time left, what the quick probe says is not so is not probed.
func (w *World) look(ctx context.Context, c condition, last bool) (seen string, ok bool, err error) {
	if c.quick != nil {
		seen, ok, known := c.quick(ctx)
		if known && (w.Patience == 0 || !ok && !last) {
			return seen, ok, nil
		}
	}
	return c.probe(ctx)
}

// event returns the newest event of the objects whose name starts with about, warnings first.
func (w *World) event(ctx context.Context, about string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Slow.Wait(5*time.Second))
	defer cancel()
	if w.Client == nil || about == "" {
		return ""
	}
	var list corev1.EventList
	if err := w.Client.List(ctx, "events", w.Namespace, metav1.ListOptions{}, &list); err != nil {
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

// rank returns the event's time, a day later for a warning.
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

var errTooLong = errors.New("the command was ended, as it took too long: the machine is busy, or what it asks does not answer")

// command runs one line as the lab's shell does, and returns its output and exit status.
func (w *World) command(ctx context.Context, line string) (out string, status int, err error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", w.Slow.Command(line))
	cmd.Dir, cmd.Env = w.Dir, w.Env
	script.OwnSession(cmd)
	cmd.WaitDelay = time.Second
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && ctx.Err() != nil { // it was killed: its exit status says nothing
		return string(text), 0, errTooLong
	}
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode(), nil
	}
	if err != nil {
		return string(text), 0, fmt.Errorf("%s: %w", line, err)
	}
	return string(text), 0, nil
}
