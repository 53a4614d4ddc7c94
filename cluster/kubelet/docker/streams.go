package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"wheelhouse/cluster/kubelet/cri"
)

// copyOutput takes the daemon's frames apart; a terminal's output has none.
func copyOutput(from io.Reader, stdout, stderr io.Writer, tty bool) error {
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	var err error
	if tty {
		_, err = io.Copy(stdout, from)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, from)
	}
	return err
}

// Exec runs a command in a running container. When ctx ends first the command is
// killed.
func (r *Runtime) Exec(ctx context.Context, id string, cmd []string, s cri.IO) (int, error) {
	created, err := r.docker.ContainerExecCreate(ctx, id, container.ExecOptions{
		Cmd: cmd, Tty: s.TTY,
		AttachStdin: s.Stdin != nil, AttachStdout: s.Stdout != nil, AttachStderr: s.Stderr != nil && !s.TTY,
	})
	if err != nil {
		return 0, explain("exec", err)
	}
	conn, err := r.docker.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: s.TTY})
	if err != nil {
		return 0, explain("exec", err)
	}
	resize := func(size cri.Size) error {
		return r.docker.ContainerExecResize(ctx, created.ID, resizeOptions(size))
	}
	if err := stream(ctx, conn, s, s.TTY, resize); err != nil {
		r.killExec(ctx, created.ID)
		return 0, fmt.Errorf("exec: %w", err)
	}
	return r.exitCode(ctx, created.ID)
}

// exitCode waits for what the end of the output has announced.
func (r *Runtime) exitCode(ctx context.Context, exec string) (int, error) {
	for {
		i, err := r.docker.ContainerExecInspect(ctx, exec)
		if err != nil {
			return 0, explain("inspect exec", err)
		}
		if !i.Running {
			return i.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			r.killExec(ctx, exec)
			return 0, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// killExec kills a command whose client is gone. The engine has no call for it; the process
// id that it reports is one of this machine.
func (r *Runtime) killExec(ctx context.Context, exec string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if i, err := r.docker.ContainerExecInspect(ctx, exec); err == nil && i.Running && i.Pid > 0 {
		_ = syscall.Kill(i.Pid, syscall.SIGKILL)
	}
}

// Attach connects to a container's main process.
func (r *Runtime) Attach(ctx context.Context, id string, s cri.IO) error {
	c, err := r.docker.ContainerInspect(ctx, id)
	if err != nil {
		return explain("inspect container", err)
	}
	conn, err := r.docker.ContainerAttach(ctx, id, container.AttachOptions{
		Stream: true, Stdin: s.Stdin != nil, Stdout: s.Stdout != nil, Stderr: s.Stderr != nil,
	})
	if err != nil {
		return explain("attach", err)
	}
	resize := func(size cri.Size) error { return r.docker.ContainerResize(ctx, id, resizeOptions(size)) }
	if err := stream(ctx, conn, s, c.Config != nil && c.Config.Tty, resize); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}

func resizeOptions(s cri.Size) container.ResizeOptions {
	return container.ResizeOptions{Height: uint(s.Height), Width: uint(s.Width)}
}

// stream copies both ways until the output ends or ctx is done.
func stream(ctx context.Context, conn types.HijackedResponse, s cri.IO, tty bool, resize func(cri.Size) error) error {
	var once sync.Once
	closeConn := func() { once.Do(conn.Close) }
	defer closeConn()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			closeConn()
		case <-ended:
		}
	}()
	if s.Stdin != nil {
		go func() {
			_, _ = io.Copy(conn.Conn, s.Stdin)
			_ = conn.CloseWrite()
		}()
	}
	if s.Resize != nil && tty {
		go follow(ended, s.Resize, resize)
	}
	err := copyOutput(conn.Reader, s.Stdout, s.Stderr, tty)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.Stdin != nil && errors.Is(err, syscall.ECONNRESET):
		// The engine has closed its end with stdin unread, as the command has ended. What a Unix
		// socket holds is read before the reset: the output is complete.
		return nil
	}
	return err
}

// follow applies sizes. The first one may come before the process is there.
func follow(ended <-chan struct{}, sizes <-chan cri.Size, resize func(cri.Size) error) {
	for {
		select {
		case <-ended:
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			for try := 0; resize(size) != nil && try < 20; try++ {
				select {
				case <-ended:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
}
