package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"wheelhouse/cluster/kubelet/nodefs"
)

// subPathMount is a path in a volume as a mount of its own, made if it is missing.
// Docker gets a place that containers cannot reach: a path inside the volume could be
// made a link to elsewhere between our look at it and the mount.
func (w *worker) subPathMount(v volume, sub, volumeName, container string, index int) (string, error) {
	if filepath.IsAbs(sub) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	}
	if slices.Contains(strings.Split(sub, "/"), "..") {
		return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
	}
	f, err := openSubPath(v.path, sub, v.readOnly)
	if err != nil {
		return "", err
	}
	defer f.Close()
	target := filepath.Join(w.dir, "volume-subpaths", volumeName, container, strconv.Itoa(index))
	return target, nodefs.BindMount(f, target, 0)
}

// openSubPath opens a path in a volume. os.Root keeps links from leading out of it.
func openSubPath(dir, sub string, readOnly bool) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat(sub); errors.Is(err, fs.ErrNotExist) && !readOnly {
		if err := makeSubPath(root, sub); err != nil {
			return nil, err
		}
	}
	f, _, err := nodefs.HoldIn(root, sub)
	return f, err
}

// makeSubPath makes a path in a volume, with the volume's own rights: who may write into
// the volume may write there. The group follows the folder above where that is its mode.
func makeSubPath(root *os.Root, sub string) error {
	top, err := root.Stat(".")
	if err != nil {
		return err
	}
	path := "."
	for _, part := range strings.Split(filepath.Clean(sub), "/") {
		path = filepath.Join(path, part)
		if err := root.Mkdir(path, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		info, err := root.Stat(path)
		if err != nil {
			return err
		}
		if err := root.Chmod(path, top.Mode()&(fs.ModePerm|fs.ModeSticky)|info.Mode()&fs.ModeSetgid); err != nil {
			return err
		}
	}
	return nil
}

// expandStrictly is expand for what must not keep a reference to nothing.
func expandStrictly(s string, lookup func(string) (string, bool)) (string, error) {
	missing := ""
	out, err := expand(s, func(name string) (string, bool) {
		value, ok := lookup(name)
		if !ok && missing == "" {
			missing = name
		}
		return value, ok
	})
	if missing != "" {
		return "", fmt.Errorf("missing value for %q", missing)
	}
	return out, err
}
