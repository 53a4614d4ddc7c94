package volume

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

// SubPath returns a path in a volume as a mount of its own, created if it is missing: a path
// inside the volume could become a link to elsewhere between the check and the mount. index
// numbers the mounts of the container.
func (m *Manager) SubPath(name, sub, container string, index int) (string, error) {
	if filepath.IsAbs(sub) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	}
	if slices.Contains(strings.Split(sub, "/"), "..") {
		return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
	}
	v := m.volumes[name]
	f, err := openSubPath(v.Path, sub, v.ReadOnly)
	if err != nil {
		return "", err
	}
	defer f.Close()
	target := filepath.Join(m.dir, "volume-subpaths", name, container, strconv.Itoa(index))
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
		if err := createSubPath(root, sub); err != nil {
			return nil, err
		}
	}
	f, _, err := nodefs.HoldIn(root, sub)
	return f, err
}

// createSubPath creates a path in a volume with the volume's own rights: who may write into
// the volume may write there. The group is that of the directory above if that has setgid.
func createSubPath(root *os.Root, sub string) error {
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
