package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

const gitPatience = 5 * time.Minute

// gitRepo is a folder with the content of a git repository, fetched once. The kind is
// deprecated, and for good reason: git runs on the node, for whoever may create pods. It
// is held to the transports of a network, and runs nothing that a repository brings.
func (v *volumes) gitRepo(ctx context.Context, pod *v1.Pod, name string, spec *v1.GitRepoVolumeSource) (volume, error) {
	dir := v.path("git-repo", name)
	if _, err := os.Lstat(dir); err == nil {
		return volume{path: dir}, nil
	}
	if _, err := exec.LookPath("git"); err != nil {
		return volume{}, errors.New("this node has no git, which a gitRepo volume needs; use an init container that clones into an emptyDir")
	}
	fresh := dir + ".new" // what is only half there has another name
	if err := os.RemoveAll(fresh); err != nil {
		return volume{}, err
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return volume{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	if err := cloneInto(ctx, fresh, spec); err != nil {
		return volume{}, err
	}
	if err := openToPod(fresh, pod); err != nil {
		return volume{}, err
	}
	return volume{path: dir}, os.Rename(fresh, dir)
}

func cloneInto(ctx context.Context, dir string, spec *v1.GitRepoVolumeSource) error {
	target := filepath.Clean(spec.Directory)
	if target != "." && !filepath.IsLocal(target) || strings.HasPrefix(target, "-") {
		return fmt.Errorf("the directory %q of a git repository must lie in the volume", spec.Directory)
	}
	args := []string{"clone", "--", spec.Repository}
	if spec.Directory != "" {
		args = append(args, target)
	}
	if err := git(ctx, dir, args...); err != nil {
		return err
	}
	if spec.Revision == "" {
		return nil
	}
	if strings.HasPrefix(spec.Revision, "-") {
		return fmt.Errorf("%q is not a revision", spec.Revision)
	}
	work := filepath.Join(dir, target)
	if spec.Directory == "" { // git has chosen a name, and nothing else is there
		have, err := os.ReadDir(dir)
		if err != nil || len(have) != 1 {
			return errors.Join(err, fmt.Errorf("unexpected directory contents: %d entries", len(have)))
		}
		work = filepath.Join(dir, have[0].Name())
	}
	if err := git(ctx, work, "checkout", spec.Revision); err != nil {
		return err
	}
	return git(ctx, work, "reset", "--hard")
}

// git runs without the machine's settings, hooks and questions.
func git(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=true"}, args...)...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=http:https:git:ssh",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("failed to exec 'git %s': %s: %w", strings.Join(args, " "), bytes.TrimSpace(out), err)
	}
	return nil
}

// openToPod lets any user of the pod write into a volume, or its group where there is one.
func openToPod(dir string, pod *v1.Pod) error {
	mode, group := fs.FileMode(0o777), fsGroup(pod)
	if group < 0 {
		return os.Chmod(dir, mode)
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, group); err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		have := info.Mode().Perm() | 0o660
		if d.IsDir() {
			have |= fs.ModeSetgid | 0o110
		}
		if path == dir {
			have |= mode
		}
		return os.Chmod(path, have)
	})
}
