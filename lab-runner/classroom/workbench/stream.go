package workbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
)

// session is the one of tmux that all of a learner's terminals show.
const session = "lab"

// The commands of a terminal. The session outlives it: whoever connects again sees what there was.
var (
	join  = []string{"env", "TERM=xterm-256color", "tmux", "-u", "new-session", "-A", "-s", session}
	watch = []string{"env", "TERM=xterm-256color", "sh", "-c", "tmux has-session -t " + session + " 2>/dev/null || tmux -u new-session -d -s " + session +
		"; exec tmux -u attach-session -r -t " + session}
)

// Terminal connects t to the learner's shell, and makes the shell if there is none. It returns when ctx is done, or when the
// shell or the pod has ended; the error is nil if the learner ended the shell. t.In is read until it ends or fails: the
// caller ends it. Output that t.Out does not take stops the terminal, and nothing is collected.
func (m *Manager) Terminal(ctx context.Context, l Learner, t Terminal) error {
	command, in := join, t.In
	if t.ReadOnly {
		command, in = watch, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return m.stream(ctx, l, command, remotecommand.StreamOptions{
		Stdin: lasting{ctx, in}, Stdout: t.Out, Tty: true, TerminalSizeQueue: sizes{ctx, t.Resize, new(bool)},
	})
}

// lasting is a reader that does not end before ctx: the terminal goes on when nothing more is typed.
type lasting struct {
	ctx  context.Context //nolint:containedctx // of the one stream that it is for
	from io.Reader
}

func (l lasting) Read(b []byte) (int, error) {
	if l.from != nil {
		n, err := l.from.Read(b)
		if n > 0 || err == nil {
			return n, nil //nolint:nilerr // the next call meets it
		}
	}
	<-l.ctx.Done()
	return 0, io.EOF
}

// sizes implements remotecommand.TerminalSizeQueue.
type sizes struct {
	ctx   context.Context //nolint:containedctx // of the one stream that it is for
	from  <-chan Size
	begun *bool
}

func (s sizes) Next() *remotecommand.TerminalSize {
	if !*s.begun && s.from == nil {
		*s.begun = true
		return &remotecommand.TerminalSize{Width: 80, Height: 24}
	}
	select {
	case <-s.ctx.Done():
	case size, ok := <-s.from:
		if ok {
			return &remotecommand.TerminalSize{Width: min(max(size.Columns, 2), 500), Height: min(max(size.Rows, 2), 200)}
		}
	}
	return nil
}

// Desk runs the desk in the learner's pod until in ends, ctx is done or the pod has ended. Package desk has the protocol.
func (m *Manager) Desk(ctx context.Context, l Learner, in io.Reader, out io.Writer) error {
	said := &tail{}
	command := []string{"lab", "desk", "--labs", "/usr/share/wheelhouse"}
	if m.cfg.Gives != nil {
		command = append(command, "--gives", strings.Join(m.cfg.Gives, ","))
	}
	err := m.stream(ctx, l, command, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: said})
	if err != nil && len(said.text) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said.text)))
	}
	return err
}

// tail keeps the first kilobytes of what is written.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b[:min(len(b), 4096-len(t.text))]...)
	return len(b), nil
}

// ErrTooMany is returned when a workbench has as many streams as it may have.
var ErrTooMany = errors.New("the workbench has too many terminals open: close one")

// stream runs a command in the learner's pod.
func (m *Manager) stream(ctx context.Context, l Learner, command []string, o remotecommand.StreamOptions) error {
	if err := valid(l); err != nil {
		return err
	}
	m.mu.Lock()
	if m.streams[l.ID] >= streamsEach {
		m.mu.Unlock()
		return ErrTooMany
	}
	m.streams[l.ID]++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.streams[l.ID]--; m.streams[l.ID] == 0 {
			delete(m.streams, l.ID)
		}
	}()
	pod, err := m.pod(ctx, l)
	if err != nil {
		return fmt.Errorf("the workbench of %s: %w", l.ID, err)
	}
	at := m.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: "workbench", Command: command, Stdin: true, Stdout: true, Stderr: o.Stderr != nil, TTY: o.Tty,
		}, scheme.ParameterCodec).URL()
	run := m.remote
	if m.cfg.Administrator {
		run = m.execute
	}
	if err = run(ctx, at, o); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// remote runs a command in a cluster whose nodes are trusted, also by a proxy in front of it.
func (m *Manager) remote(ctx context.Context, at *url.URL, o remotecommand.StreamOptions) error {
	spdy, err := remotecommand.NewSPDYExecutor(m.cfg.REST, "POST", at)
	if err != nil {
		return err
	}
	socket, err := remotecommand.NewWebSocketExecutor(m.cfg.REST, "GET", at.String())
	if err != nil {
		return err
	}
	// As kubectl does: servers without the newer protocol, and proxies that do not let it through, have the older one.
	both, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	return both.StreamWithContext(ctx, o)
}
