package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"wheelhouse/lab-runner/script"
)

// Files of the session in the lab's directory: the variables of the last shell, what the prompt names, and what the
// learner's bash reads first.
const (
	variablesFile = ".variables"
	promptFile    = ".step"
	rcFile        = ".bashrc"
)

// marker is in the environment of all that a lab's shells start.
const marker = "WHEELHOUSE_LAB_DIR="

// environment returns the environment of the lab's commands, which is computed once.
func (s *Session) environment(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.env != nil {
		return s.env, nil
	}
	if _, err := os.Stat(s.dir); err != nil {
		return nil, fmt.Errorf("%w: 'lab start %s' does it (%w)", ErrNotStarted, s.lab.Name, err)
	}
	env, err := s.cfg.Cluster.Environment(ctx, s.lab, s.dir)
	if err != nil {
		return nil, err
	}
	s.env = slices.Concat(env, []string{marker + s.dir})
	return s.env, nil
}

// known notes the variables that bash has of itself; keep writes the others to a file, as bash reads them.
const (
	known = `__lab_known=" $(compgen -v | tr '\n' ' ') "`
	keep  = `for __lab_v in $(compgen -v); do case "$__lab_known BASH_LINENO BASH_COMMAND FUNCNAME PIPESTATUS OLDPWD _ " in *" $__lab_v "*) ;; *) case $__lab_v in __lab_*|PROMPT_COMMAND|PS1|COLUMNS|LINES|HIST*) ;; *) declare -p $__lab_v 2>/dev/null ;; esac ;; esac; done`
)

// openShell returns the bash of the session. It has the variables that the last one had. s.building is held.
func (s *Session) openShell(ctx context.Context) (*script.Shell, error) {
	if s.shell != nil {
		return s.shell, nil
	}
	env, err := s.environment(ctx)
	if err != nil {
		return nil, err
	}
	shell, err := script.Start(context.WithoutCancel(ctx), s.dir, env)
	if err != nil {
		return nil, err
	}
	shell.Quiet = s.cfg.Cluster.Slow.Wait(shell.Quiet)
	for _, line := range []string{known, "[ ! -r " + variablesFile + " ] || . ./" + variablesFile} {
		if _, err := shell.Run(ctx, script.Item{Kind: script.Command, Text: line}, io.Discard); err != nil {
			shell.Close()
			return nil, err
		}
	}
	s.shell = shell
	return shell, nil
}

// closeShell ends the bash of the session and all it has started.
func (s *Session) closeShell() {
	if s.shell != nil {
		s.shell.Close()
		s.shell = nil
	}
}

// keepVariables writes the variables of the session's bash for the learner's.
func (s *Session) keepVariables(ctx context.Context) error {
	shell, err := s.openShell(ctx)
	if err != nil {
		return err
	}
	line := "(umask 077; " + keep + ") >" + quote(filepath.Join(s.dir, variablesFile))
	_, err = shell.Run(ctx, script.Item{Kind: script.Command, Text: line}, io.Discard)
	return err
}

// Close ends the session's bash. What runs in its background goes on: steps rely on it.
func (s *Session) Close() {
	s.building.Lock()
	defer s.building.Unlock()
	if s.shell != nil {
		s.shell.Leave()
		s.shell = nil
	}
}

// Run runs one command of the current step in the session's bash, as a learner who types it, and keeps the variables.
// The error is that of bash; the command's exit status is returned.
func (s *Session) Run(ctx context.Context, item script.Item, out io.Writer) (status int, err error) {
	s.building.Lock()
	defer s.building.Unlock()
	shell, err := s.openShell(ctx)
	if err != nil {
		return 0, err
	}
	if status, err = shell.Run(ctx, item, out); err != nil {
		s.closeShell()
		return 0, err
	}
	return status, s.keepVariables(ctx)
}

// writePrompt writes what the prompt of the learner's shell names.
func (s *Session) writePrompt(n int) error {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil // not started
	}
	return os.WriteFile(filepath.Join(s.dir, promptFile), []byte(s.lab.Name+": "+s.lab.Steps[n].Name+"\n"), 0o644)
}

// ShellFile writes what a learner's bash reads to be in the lab, and returns its path: the directory, the variables, and a
// prompt that names lab and step.
func (s *Session) ShellFile(ctx context.Context) (string, error) {
	env, err := s.environment(ctx)
	if err != nil {
		return "", err
	}
	n, _, err := s.Step()
	if err != nil {
		return "", err
	}
	if err := s.writePrompt(n); err != nil {
		return "", err
	}
	rc := filepath.Join(s.dir, rcFile)
	return rc, os.WriteFile(rc, []byte(s.rc(env)), 0o600)
}

// Shell returns the learner's bash, in the lab's directory, with all variables set. Its prompt names lab and step. The
// caller sets input and output, and runs it.
func (s *Session) Shell(ctx context.Context) (*exec.Cmd, error) {
	rc, err := s.ShellFile(ctx)
	if err != nil {
		return nil, err
	}
	env, err := s.environment(ctx)
	if err != nil {
		return nil, err
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		return nil, errors.New("no bash on the PATH: the labs' commands are written for it")
	}
	cmd := exec.Command(bash, "--rcfile", rc, "-i")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
	return cmd, nil
}

// rc returns what the learner's bash reads first: their own file, then what the lab needs.
func (s *Session) rc(env []string) string {
	var b strings.Builder
	b.WriteString("[ ! -r ~/.bashrc ] || . ~/.bashrc\n")
	for _, v := range env[:5] { // as Environment says
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	fmt.Fprintf(&b, "cd %s\n%s\n[ ! -r %s ] || . ./%s\n", quote(s.dir), known, variablesFile, variablesFile)
	fmt.Fprintf(&b, "__lab_keep() { local __lab_status=$?; (umask 077; %s) >%s; return $__lab_status; }\n", keep, quote(filepath.Join(s.dir, variablesFile)))
	fmt.Fprintf(&b, "PROMPT_COMMAND=__lab_keep\nPS1='[$(cat %s)] \\W\\$ '\n", strings.ReplaceAll(quote(filepath.Join(s.dir, promptFile)), "'", `'\''`))
	if len(s.cfg.Program) > 0 {
		words := make([]string, len(s.cfg.Program))
		for i, w := range s.cfg.Program {
			words[i] = quote(w)
		}
		fmt.Fprintf(&b, "lab() { %s \"$@\"; }\n", strings.Join(words, " "))
	}
	return b.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
