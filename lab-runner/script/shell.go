package script

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"
)

// Shell is one bash that runs a lab's commands one after the other, as a learner's does:
// variables and the working directory are kept between commands.
type Shell struct {
	// Quiet is how long a command prints nothing before it is interrupted, if it must be. Start
	// sets it to a second.
	Quiet time.Duration

	cmd   *exec.Cmd
	in    io.WriteCloser
	out   chan []byte
	token string // marks the end of a command's output
	rest  []byte
}

// Start starts bash in dir with exactly env. It runs until ctx is done or Close is called.
func Start(ctx context.Context, dir string, env []string) (*Shell, error) {
	random := make([]byte, 12)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	s := &Shell{Quiet: time.Second, out: make(chan []byte, 64), token: "\x00end " + hex.EncodeToString(random) + " "}
	s.cmd = exec.CommandContext(ctx, "bash", "--noprofile", "--norc", "-s")
	s.cmd.Dir, s.cmd.Env = dir, env
	OwnSession(s.cmd)
	r, w := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = w, w
	// A background process of a command may keep the output open.
	s.cmd.WaitDelay = time.Second
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.in = in
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting bash: %w", err)
	}
	go func() { w.CloseWithError(errors.Join(io.EOF, s.cmd.Wait())) }()
	go s.read(r)
	// The signals that interrupt a command must not end bash.
	if _, err := io.WriteString(s.in, "trap : INT TERM\n"); err != nil {
		return nil, fmt.Errorf("starting bash: %w", err)
	}
	return s, nil
}

func (s *Shell) read(r io.Reader) {
	defer close(s.out)
	for {
		b := make([]byte, 4096)
		n, err := r.Read(b)
		if n > 0 {
			s.out <- b[:n]
		}
		if err != nil {
			return
		}
	}
}

// Run runs one command, streams its output to w, and returns its exit status, which is 0 for
// an interrupted command. When ctx is done, the command and the shell are killed.
func (s *Shell) Run(ctx context.Context, item Item, w io.Writer) (status int, err error) {
	// A command has no input: a prompt would read the next command.
	text := fmt.Sprintf("{ %s\n} </dev/null\nprintf '\\000%s%%s\\n' $?\n", item.Text, s.token[1:])
	if _, err := io.WriteString(s.in, text); err != nil {
		return 0, fmt.Errorf("the lab's shell has ended: %w", err)
	}
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	interrupted := false
	for {
		if before, after, ok := bytes.Cut(s.rest, []byte(s.token)); ok {
			if number, more, ok := bytes.Cut(after, []byte("\n")); ok {
				s.rest = append([]byte(nil), more...)
				if _, err := w.Write(before); err != nil {
					return 0, err
				}
				status, err := strconv.Atoi(string(number))
				if interrupted {
					status = 0
				}
				return status, err
			}
		} else if err := s.flush(w); err != nil {
			return 0, err
		}
		select {
		case b, ok := <-s.out:
			if !ok {
				return 0, errors.New("the lab's shell has ended: does a command exit?")
			}
			s.rest = append(s.rest, b...)
			if item.Interrupt {
				quiet.Reset(s.Quiet)
			}
		case <-quiet.C:
			if err := interruptAll(s.cmd, interrupted); err != nil {
				return 0, fmt.Errorf("interrupting the command: %w", err)
			}
			interrupted = true
			quiet.Reset(s.Quiet)
		case <-ctx.Done():
			s.Close()
			return 0, fmt.Errorf("the command did not end: %w", context.Cause(ctx))
		}
	}
}

// flush writes the output that cannot be part of the end mark.
func (s *Shell) flush(w io.Writer) error {
	n := bytes.IndexByte(s.rest, 0)
	if n < 0 {
		n = len(s.rest)
	}
	_, err := w.Write(s.rest[:n])
	s.rest = s.rest[n:]
	return err
}

// Close kills the shell and its children.
func (s *Shell) Close() {
	_ = s.in.Close()
	_ = killAll(s.cmd) // gone already is as good
	for range s.out {
	}
}

// Leave ends the shell at the end of its command. What it has started in the background goes on, unless it prints.
func (s *Shell) Leave() {
	_ = s.in.Close()
	go func() {
		for range s.out { // until bash and its children have closed their output
		}
	}()
}
