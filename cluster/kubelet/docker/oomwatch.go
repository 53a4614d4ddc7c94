package docker

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/cgroup"
)

const (
	memoryRoot = "/sys/fs/cgroup/memory"
	// oomWait is how long the kernel may take to report that a group is gone.
	oomWait = 100 * time.Millisecond
)

// oomWatch listens from before a container's start for its running out of memory. The
// daemon listens only some time after the start, and has no reason for a container's end
// that was quicker.
//
// With version 1 of the control groups the kernel counts an event up when a group runs
// out of memory, and once more when the group is gone. The group is made here, with the
// name that the daemon will give it, so that the event is there first.
type oomWatch struct {
	group string
	event *os.File
	count atomic.Uint64
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
	w := &oomWatch{group: group, event: os.NewFile(uintptr(fd), "memory.oom_control")}
	line := fmt.Sprintf("%d %d", fd, control.Fd())
	if err := os.WriteFile(filepath.Join(group, "cgroup.event_control"), []byte(line), 0o200); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// happened reports whether a container that was killed ran out of memory.
func (w *oomWatch) happened() bool {
	if err := w.event.SetReadDeadline(time.Now().Add(oomWait)); err != nil {
		return false
	}
	for err, wait := error(nil), false; err == nil; wait = true {
		err = w.read(wait)
		_, statErr := os.Stat(w.group)
		gone, count := os.IsNotExist(statErr), w.count.Load()
		if count > 1 || count == 1 && !gone {
			return true
		}
		if !gone {
			return false
		}
	}
	return false
}

// read adds what the kernel has counted, and waits for that until the deadline if it shall.
func (w *oomWatch) read(wait bool) error {
	conn, err := w.event.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		var b [8]byte
		n, err := unix.Read(int(fd), b[:])
		if err == nil && n == len(b) {
			w.count.Add(binary.NativeEndian.Uint64(b[:]))
		}
		return err == nil || !wait
	})
}

func (w *oomWatch) close() { _ = w.event.Close() }

// limitedTo notes that a container has a limit of memory, in a group below parent.
func (r *Runtime) limitedTo(id, parent string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limited[id] = parent
}

// beforeStart begins to listen for a container with a limit. That it cannot is only
// worth a line: the daemon reports most cases.
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
		r.config.Log.Warn("listen for a lack of memory", "container", id, "err", err)
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

// lackOfMemory reports whether a container was killed for lack of memory.
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

// ranOutOfMemory reports whether a container was killed for lack of memory.
func (r *Runtime) ranOutOfMemory(id string) bool {
	r.mu.Lock()
	told, w := r.ooms[id], r.watches[id]
	r.mu.Unlock()
	return told || w != nil && w.happened()
}

// dropRecords drops the records of a container that is removed.
func (r *Runtime) dropRecords(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.watches[id]; w != nil {
		w.close()
	}
	delete(r.watches, id)
	delete(r.limited, id)
}
