package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// fsGroup is the group that owns the pod's volumes, or -1.
func fsGroup(pod *v1.Pod) int {
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return int(*sc.FSGroup)
	}
	return -1
}

// own makes the pod's group the owner of a claim's volume, unless other pods of this node
// use the volume already: then their group stays, and the pod gets an event.
func (m *Manager) own(pod *v1.Pod, name, path string) error {
	group := fsGroup(pod)
	mark := m.path("claimed", name)
	others, err := filepath.Glob(filepath.Join(filepath.Dir(m.dir), "*", "volumes", "kubernetes.io~claimed", name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(mark, 0o750); err != nil {
		return err
	}
	for _, other := range others {
		if other == mark {
			continue
		}
		if have := groupOf(path); group >= 0 && have != group {
			m.Recorder.Event(pod, v1.EventTypeWarning, "AlreadyMountedVolume",
				fmt.Sprintf("The requested fsGroup is %d, but the volume %s has GID %d. The volume may not be shareable.", group, name, have))
		}
		return nil
	}
	if group < 0 {
		return nil
	}
	policy := pod.Spec.SecurityContext.FSGroupChangePolicy
	if policy != nil && *policy == v1.FSGroupChangeOnRootMismatch && owned(path, group) {
		return nil
	}
	return giveTo(path, group)
}

func groupOf(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return int(info.Sys().(*syscall.Stat_t).Gid)
}

// The rights of the group for a file, and those that a directory has besides.
const (
	groupFile = fs.FileMode(0o660)
	groupDir  = fs.FileMode(0o110) | fs.ModeSetgid
)

// owned reports whether a directory is the group's already.
func owned(path string, group int) bool {
	info, err := os.Stat(path)
	want := groupFile | groupDir
	return err == nil && info.Mode()&want == want && groupOf(path) == group
}

// giveTo makes a group the owner of a directory and all that is in it.
func giveTo(path string, group int) error {
	return nodefs.WalkDir(path, func(root *os.Root, name string, info fs.FileInfo) error {
		if err := root.Lchown(name, -1, group); err != nil {
			return err
		}
		mode := info.Mode() | groupFile
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			return nil
		case info.IsDir():
			mode |= groupDir
		}
		return root.Chmod(name, mode)
	})
}
