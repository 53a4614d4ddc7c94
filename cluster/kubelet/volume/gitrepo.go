package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/osthread"
)

const (
	gitTimeout = 5 * time.Minute
	gitOutput  = 10 << 10 // bytes of it that an error repeats
	nobody     = 65534    // user and group
)

// gitRepo is a directory with the content of a git repository, fetched once. Upstream has
// deprecated the kind, as git runs on the node, in its network, for all users who may create
// such pods. It has no rights there and no keys, is held to the transports of a
// network that need none, and runs nothing that a repository brings.
type gitRepo struct{}

// Supports implements Plugin.
func (gitRepo) Supports(v *v1.Volume) bool { return v.GitRepo != nil }

// SetUp implements Plugin.
func (gitRepo) SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	dir := m.path("git-repo", v.Name)
	if _, err := os.Lstat(dir); err == nil {
		return Volume{Path: dir}, nil
	}
	if _, err := exec.LookPath("git"); err != nil {
		return Volume{}, errors.New("this node has no git, which a gitRepo volume needs; use an init container that clones into an emptyDir")
	}
	fresh := dir + ".new" // what is incomplete has another name
	if err := nodefs.RemoveAll(fresh); err != nil {
		return Volume{}, err
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return Volume{}, err
	}
	if err := os.Chown(fresh, nobody, nobody); err != nil {
		return Volume{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	if err := cloneInto(ctx, fresh, v.GitRepo); err != nil {
		return Volume{}, err
	}
	if err := openToPod(fresh, m.pod); err != nil {
		return Volume{}, err
	}
	return Volume{Path: dir}, os.Rename(fresh, dir)
}

func cloneInto(ctx context.Context, dir string, spec *v1.GitRepoVolumeSource) error {
	target := filepath.Clean(spec.Directory)
	ofGit := func(part string) bool { return strings.EqualFold(part, ".git") }
	if target != "." && !filepath.IsLocal(target) || strings.HasPrefix(target, "-") || slices.ContainsFunc(strings.Split(target, "/"), ofGit) {
		return fmt.Errorf("the directory %q of a git repository must lie in the volume", spec.Directory)
	}
	if strings.HasPrefix(spec.Revision, "-") {
		return fmt.Errorf("%q is not a revision", spec.Revision)
	}
	args := []string{"clone", "--", spec.Repository}
	if spec.Directory != "" {
		args = append(args, target)
	}
	if err := git(ctx, dir, ".", args...); err != nil || spec.Revision == "" {
		return err
	}
	if spec.Directory == "" { // git has chosen a name, and nothing else is there
		have, err := os.ReadDir(dir)
		if err != nil || len(have) != 1 {
			return errors.Join(err, fmt.Errorf("unexpected directory contents: %d entries", len(have)))
		}
		target = have[0].Name()
	}
	if err := git(ctx, dir, target, "checkout", spec.Revision, "--"); err != nil {
		return err
	}
	return git(ctx, dir, target, "reset", "--hard")
}

// gitSettings take the place of the machine's. The last makes git use no repository that
// lies within the files of another one, with hooks and settings of its own.
var gitSettings = []string{
	"core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=true", "credential.helper=", "init.templateDir=",
	"submodule.recurse=false", "gc.auto=0", "maintenance.auto=false", "safe.bareRepository=explicit",
}

// git runs in a directory of dir, which is /tmp to it, as nobody and without the machine's
// settings, hooks and questions.
func git(ctx context.Context, dir, below string, args ...string) error {
	var all []string
	for _, s := range gitSettings {
		all = append(all, "-c", s)
	}
	cmd := exec.CommandContext(ctx, "git", append(all, args...)...)
	cmd.Dir, cmd.WaitDelay = filepath.Join("/tmp", below), time.Second
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=http:https:git",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what git has started, too
	out := &cri.LimitedBuffer{Limit: gitOutput}
	cmd.Stdout, cmd.Stderr = out, out
	err := startApart(dir, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("failed to exec 'git %s': %s: %w", strings.Join(args, " "), bytes.TrimSpace(out.Bytes()), err)
	}
	return nil
}

// startApart starts a program that has dir as its /tmp, so that a user who may not enter
// the directories above can work there, and that cannot gain rights.
func startApart(dir string, cmd *exec.Cmd) (err error) {
	osthread.Apart(func() {
		err = unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount(dir, "/tmp", "", unix.MS_BIND, "")
		}
		if err == nil {
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		}
		if err == nil {
			err = cmd.Start()
		}
	})
	return err
}

// openToPod gives root what git has written, and makes the volume writable for any user of the
// pod, or for its group where there is one.
func openToPod(dir string, pod *v1.Pod) error {
	if err := nodefs.WalkDir(dir, func(root *os.Root, name string, _ fs.FileInfo) error { return root.Lchown(name, 0, 0) }); err != nil {
		return err
	}
	mode := fs.FileMode(0o777)
	if group := fsGroup(pod); group >= 0 {
		mode |= fs.ModeSetgid
		if err := giveTo(dir, group); err != nil {
			return err
		}
	}
	return os.Chmod(dir, mode)
}
