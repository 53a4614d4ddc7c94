package nodefs

import (
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// usagePeriod is how long a measurement of a directory is valid: it is a walk through it.
const usagePeriod = 10 * time.Second

// Usage is the space that files take on a disk.
type Usage struct{ Bytes, Inodes int64 }

// Add adds another usage to d.
func (d *Usage) Add(o Usage) {
	d.Bytes += o.Bytes
	d.Inodes += o.Inodes
}

// UsageCache measures directories, each at most once in a period. The zero value is ready
// for use.
type UsageCache struct {
	mu    sync.Mutex
	known map[string]measure
}

type measure struct {
	Usage
	at time.Time
}

// Of returns the usage at a path. A path that does not exist uses nothing.
func (m *UsageCache) Of(path string, now time.Time) Usage {
	if path == "" {
		return Usage{}
	}
	m.mu.Lock()
	known, ok := m.known[path]
	m.mu.Unlock()
	if ok && now.Sub(known.at) < usagePeriod {
		return known.Usage
	}
	known = measure{usageOf(path), now}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]measure{}
	}
	m.known[path] = known
	for other, o := range m.known { // of pods that are gone
		if now.Sub(o.at) > 10*time.Minute {
			delete(m.known, other)
		}
	}
	return known.Usage
}

// OfLog returns the usage of a container's log with its rotated files.
func (m *UsageCache) OfLog(path string, now time.Time) Usage {
	var sum Usage
	if path == "" {
		return sum
	}
	files, _ := filepath.Glob(path + "*") // a path of the runtime's has no special characters
	for _, f := range files {
		sum.Add(m.Of(f, now))
	}
	return sum
}

// FileSystem is the capacity of a file system in bytes and inodes.
type FileSystem struct {
	Available, Capacity int64
	InodesFree, Inodes  int64
}

// StatFS returns that of the file system of a path.
func StatFS(path string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return FileSystem{}, err
	}
	size := int64(st.Bsize)
	return FileSystem{int64(st.Bavail) * size, int64(st.Blocks) * size, int64(st.Ffree), int64(st.Files)}, nil
}
