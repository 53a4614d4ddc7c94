package docker

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/cgroup"
)

const (
	memoryRoot = "/sys/fs/cgroup/memory"
	// oomWait is how long the kernel may take to say that a group is gone.
	oomWait = 100 * time.Millisecond
)

// oomWatch listens from before a container's start for its running out of memory. The
// daemon listens only some time after the start, and does not know why a container died
// that was quicker.
//
// With version 1 of the control groups the kernel counts an event up when a group runs
// out of memory, and once more when the group is gone. The group is made here, with the
// name that the daemon will give it, so that the event is there first.
type oomWatch struct {
	mu    sync.Mutex
	group string
	event int // a file descriptor
	count uint64
}

// watchOOM begins to listen for the container. It is nil where that is not possible:
// version 2, or systemd, which names groups itself.
func watchOOM(parent, id string) (*oomWatch, error) {
	if _, err := os.Stat(filepath.Join(memoryRoot, "cgroup.event_control")); err != nil {
		return nil, nil
	}
	group := filepath.Join(memoryRoot, parent, id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		return nil, err
	}
	control, err := os.Open(filepath.Join(group, "memory.oom_control"))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &oomWatch{group: group, event: fd}
	line := fmt.Sprintf("%d %d", fd, control.Fd())
	if err := os.WriteFile(filepath.Join(group, "cgroup.event_control"), []byte(line), 0o200); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// happened tells of a container that has been killed whether it ran out of memory.
func (w *oomWatch) happened() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := time.Now().Add(oomWait); ; time.Sleep(oomWait / 20) {
		w.read()
		_, err := os.Stat(w.group)
		gone := os.IsNotExist(err)
		if w.count > 1 || w.count == 1 && !gone {
			return true
		}
		if !gone || time.Now().After(end) {
			return false
		}
	}
}

// read takes over what the kernel has counted; mu is held.
func (w *oomWatch) read() {
	var b [8]byte
	if n, err := unix.Read(w.event, b[:]); err == nil && n == len(b) {
		w.count += binary.NativeEndian.Uint64(b[:])
	}
}

func (w *oomWatch) close() { _ = unix.Close(w.event) }

// limitedTo notes that a container has a limit of memory, in a group below parent.
func (r *Runtime) limitedTo(id, parent string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limited[id] = parent
}

// beforeStart begins to listen for a container with a limit. That it cannot is only
// worth a line: the daemon tells of most cases.
func (r *Runtime) beforeStart(id string) {
	r.mu.Lock()
	parent, ok := r.limited[id]
	delete(r.limited, id)
	r.mu.Unlock()
	if !ok {
		return
	}
	w, err := watchFor(groups, parent, id)
	if err != nil {
		r.config.Log.Warn("listen for a lack of memory", "container", id, "error", err)
	}
	if w == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches[id] = w
}

func watchFor(g cgroup.Groups, parent, id string) (lackOfMemory, error) {
	if g.Unified() {
		return watchKills(g, parent), nil
	}
	if strings.HasSuffix(parent, ".slice") { // systemd names the container's group itself
		return nil, nil
	}
	w, err := watchOOM(parent, id)
	if w == nil {
		return nil, err
	}
	return w, err
}

// lackOfMemory tells of a container that was killed whether that was why.
type lackOfMemory interface {
	happened() bool
	close()
}

// killCount is that with version 2, where the pod's group counts for those below it,
// also for those that are gone.
type killCount struct {
	groups cgroup.Groups
	group  string
	before uint64
}

func watchKills(g cgroup.Groups, parent string) *killCount {
	group := slicePath(parent)
	before, _ := g.Kills(group) // none yet if the group is still to be made
	return &killCount{g, group, before}
}

func (k *killCount) happened() bool {
	now, err := k.groups.Kills(k.group)
	return err == nil && now > k.before
}

func (k *killCount) close() {}

// slicePath is where a slice of systemd's lies: a-b.slice in a.slice.
func slicePath(parent string) string {
	name, ok := strings.CutSuffix(parent, ".slice")
	if !ok {
		return parent
	}
	path, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		prefix += part
		path += "/" + prefix + ".slice"
		prefix += "-"
	}
	return path
}

// ranOutOfMemory tells of a container that was killed whether that was why.
func (r *Runtime) ranOutOfMemory(id string) bool {
	r.mu.Lock()
	told, w := r.ooms[id], r.watches[id]
	r.mu.Unlock()
	return told || w != nil && w.happened()
}

// forget drops what is known of a container that is removed.
func (r *Runtime) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.watches[id]; w != nil {
		w.close()
	}
	delete(r.watches, id)
	delete(r.limited, id)
}
