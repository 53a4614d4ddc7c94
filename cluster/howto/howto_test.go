//go:build !quick

// Package howto_test follows the pages of this directory to the letter, on a copy of the tree:
// it writes and edits the files that all pages show, so that they are compiled once, then runs
// the commands of each page in a bash of its own, and compares what they print. A block of a
// page is
//
//	```go PATH       a new file (any language with a path)
//	```diff PATH     an edit of a file: lines with " ", "-" and "+"
//	```console       commands behind "$ ", each followed by lines that it prints
package howto_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	dir := copyOfTheTree(t)
	scripts := map[string]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		scripts[strings.TrimSuffix(page, ".md")] = write(t, dir, string(text))
	}
	for page, script := range scripts {
		t.Run(page, func(t *testing.T) {
			run(t, dir, script)
			if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil { // of the cluster that the page has started
				t.Fatal(err)
			}
		})
	}
}

type block struct{ kind, path, text string }

// blocks are the fenced blocks of a page; a longer fence may hold shorter ones.
func blocks(page string) []block {
	var found []block
	fence := ""
	for line := range strings.Lines(page) {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence == "" && len(ticks) >= 3:
			fence = ticks
			kind, path, _ := strings.Cut(strings.TrimSpace(line[len(ticks):]), " ")
			found = append(found, block{kind: kind, path: path})
		case fence != "" && ticks == fence:
			fence = ""
		case fence != "":
			found[len(found)-1].text += line
		}
	}
	return found
}

// write makes the files and edits of a page, and returns its commands as a script.
func write(t *testing.T, dir, page string) string {
	t.Helper()
	var script strings.Builder
	script.WriteString(preamble)
	for _, b := range blocks(page) {
		path := filepath.Join(dir, b.path)
		switch {
		case b.kind == "console":
			script.WriteString(commands(b.text))
		case b.path == "":
			t.Fatalf("a block of %s names no file", b.kind)
		case b.kind == "diff":
			edit(t, path, b.text)
		default:
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return script.String()
}

// copyOfTheTree has the files of the tree, without what builds and git leave in it. It does
// not ask git: the tree may belong to another user, or be an export.
func copyOfTheTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Dir(goEnv(t, "GOMOD"))
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case relative == ".git", relative == "bin", relative == "out":
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil // .git of a worktree is a file
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(dir, relative), 0o755)
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(dir, relative))
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, relative), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces the lines of a diff that are there with those that shall be.
func edit(t *testing.T, path, diff string) {
	t.Helper()
	var before, after strings.Builder
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '-':
			before.WriteString(line[1:])
		case '+':
			after.WriteString(line[1:])
		default:
			text := strings.TrimPrefix(line, " ")
			before.WriteString(text)
			after.WriteString(text)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(before.String())); n != 1 {
		t.Fatalf("%s has these lines %d times, want once:\n%s", path, n, before.String())
	}
	text = bytes.Replace(text, []byte(before.String()), []byte(after.String()), 1)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The servers that a page starts end with the script.
const preamble = `set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
printed=$(mktemp)
wants() { grep -qF -e "$1" "$printed" || { echo "it does not print: $1"; echo "but:"; cat "$printed"; exit 1; }; }
`

// commands are bash lines that run each command and look for what it shall print.
func commands(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		command, ok := strings.CutPrefix(line, "$ ")
		switch {
		case ok && strings.HasSuffix(command, "&"):
			fmt.Fprintf(&out, "echo %s\n%s\n", quote(line), command)
		case ok:
			fmt.Fprintf(&out, "echo %s\n{ %s\n} >\"$printed\" 2>&1 || { cat \"$printed\"; exit 1; }\n", quote(line), command)
		default:
			fmt.Fprintf(&out, "wants %s\n", quote(line))
		}
	}
	return out.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// run runs a script with a home of its own, in which go keeps the settings of the test's. All is compiled as `make
// build` does it: once for programs and tests.
func run(t *testing.T, dir, script string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath '-ldflags=-s -w'", "HOME="+t.TempDir(), "GOENV="+goEnv(t, "GOENV"), "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		t.Errorf("%v\n%s", err, text)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
