package kubelet

import (
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// diskPeriod is how long a measure of a folder is believed: it is a walk through it.
const diskPeriod = 10 * time.Second

// diskUsage is what files take.
type diskUsage struct{ bytes, inodes int64 }

func (d *diskUsage) add(o diskUsage) {
	d.bytes += o.bytes
	d.inodes += o.inodes
}

// measures remember what folders use for a while.
type measures struct {
	mu    sync.Mutex
	known map[string]measure
}

type measure struct {
	diskUsage
	at time.Time
}

// of measures what lies at a path. What has vanished uses nothing.
func (m *measures) of(path string, now time.Time) diskUsage {
	if path == "" {
		return diskUsage{}
	}
	m.mu.Lock()
	known, ok := m.known[path]
	m.mu.Unlock()
	if ok && now.Sub(known.at) < diskPeriod {
		return known.diskUsage
	}
	known = measure{walk(path), now}
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
	return known.diskUsage
}

// logUsage is what a container's log takes, with what was rotated away.
func (m *measures) logUsage(path string, now time.Time) diskUsage {
	var sum diskUsage
	if path == "" {
		return sum
	}
	files, _ := filepath.Glob(path + "*") // a path of the runtime's has no special characters
	for _, f := range files {
		sum.add(m.of(f, now))
	}
	return sum
}

// filesystem is how full one is.
type filesystem struct {
	available, capacity    int64
	inodesFree, inodesHave int64
}

func filesystemOf(path string) (filesystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return filesystem{}, err
	}
	size := int64(st.Bsize)
	return filesystem{int64(st.Bavail) * size, int64(st.Blocks) * size, int64(st.Ffree), int64(st.Files)}, nil
}
