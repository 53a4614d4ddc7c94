package etcd

import (
	"fmt"
	"sync/atomic"

	"wheelhouse/cluster/store/space"
)

// shortage is why not every write is accepted, and what is left for those that are until the next look.
type shortage struct {
	err  error
	all  bool  // no write is accepted
	base int64 // what was in use when it began, and the quota at least; 0 until the second look
	left [space.Uses]allowance
}

// allowance is how many bytes the database may grow by writes of one use, and how many they may write to the log.
type allowance struct{ growth, log atomic.Int64 }

// Room returns an error if a write is not accepted now. It names the reason and the remedy.
//
// While there is little space, an object that grows by space.MaxGrowth or less is accepted. All that is accepted so
// lets the database grow, beyond what was in use when the space became short, by no more than a 32nd of the quota where
// objects are not being deleted, and by a 16th altogether (3/32 with what is written between two looks, and no object
// that is marked as being deleted twice). On a full disk such writes end when half of the reserve is left, and those
// of objects that are being deleted when a quarter is: the rest is for deletions.
func (m *Member) Room(w space.Write) error {
	if s := m.room.Load(); s != nil && !s.accepts(w) {
		return s.err
	}
	return nil
}

func (s *shortage) accepts(w space.Write) bool {
	if s.all || w.Use == space.Growth || w.Growth > space.MaxGrowth {
		return false
	}
	left := &s.left[w.Use]
	if !take(&left.growth, w.Growth) {
		return false
	}
	return w.Use == space.Deletion || take(&left.log, w.Size+batchWrite)
}

// take takes n of what is left, or nothing.
func take(left *atomic.Int64, n int64) bool {
	if n <= 0 || left.Add(-n) >= 0 {
		return true
	}
	left.Add(n)
	return false
}

// allow sets what is accepted until the next look. was is nil at the beginning of the shortage: what is in use then is
// known only when the writes that were accepted before have been done.
func (s *shortage) allow(was *shortage, now Status) {
	inUse := now.InUse
	if was != nil {
		if s.base = was.base; s.base == 0 {
			s.base = max(now.Quota, inUse)
		}
	}
	if s.base == 0 {
		inUse = 0
	}
	for use, share := range map[space.Use]struct{ quota, reserve int64 }{
		space.Upkeep:   {32, 2},
		space.Ending:   {16, 4},
		space.Deletion: {16, 4},
	} {
		s.left[use].growth.Store(s.base + now.Quota/share.quota - inUse)
		s.left[use].log.Store(now.DiskFree - now.Reserve/share.reserve)
	}
}

// limit is how many bytes may be in use while writes are accepted: some fewer where they are not, so that they are
// accepted again only when there is some more room.
func (m *Member) limit() int64 {
	if m.room.Load() != nil {
		return m.cfg.Quota / 100 * 95
	}
	return m.cfg.Quota
}

// decide sets what Room accepts.
func (m *Member) decide(s Status) {
	was := m.room.Load()
	quota, reserve := m.limit(), s.Reserve
	if was != nil {
		reserve = reserve / 2 * 3
	}
	var now *shortage
	var reason string
	inodes := int64(inodeReserve)
	if was != nil {
		inodes = inodes / 2 * 3
	}
	switch {
	case s.Corrupt != "":
		reason = "StorageCorrupt"
		now = &shortage{all: true, err: fmt.Errorf("etcd has found that the data of its members differs, of %s at least, and refuses every write. "+
			"Remove that member (`wheelhouse etcd remove`) and let it join again; if it is this one alone, return to a snapshot with `wheelhouse snapshot restore`", s.Corrupt)}
	case s.Inodes < inodes:
		reason = "StorageDiskFull"
		now = &shortage{err: fmt.Errorf("the disk of the cluster's database is full: it takes %d files more, and %d are kept for deletions, the only "+
			"writes that are accepted. %s", s.Inodes, inodeReserve, inodeRemedy)}
	case s.DiskFree < reserve:
		m.cfg.releaseReserve()
		reason = "StorageDiskFull"
		now = &shortage{all: free(m.cfg.Dir) < m.cfg.DiskReserve/32, err: fmt.Errorf(
			"the disk of the cluster's database is full: %s are free, and %s are kept for deletions, the only writes that are accepted. %s",
			size(s.DiskFree), size(s.Reserve), diskRemedy)}
	case s.Alarm, s.InUse >= quota:
		reason = "StorageFull"
		now = &shortage{err: fmt.Errorf("the cluster's database is full: %s of %s are in use, and only deletions are accepted. %s",
			size(s.InUse), size(s.Quota), quotaRemedy)}
	default:
		m.cfg.keepReserve()
	}
	if now != nil {
		now.allow(was, s)
	}
	m.room.Store(now)
	switch {
	case now != nil && was == nil:
		m.notify(Notice{Short: true, Reason: reason, Message: now.err.Error()})
	case now == nil && was != nil:
		m.notify(Notice{Reason: "StorageHasRoom", Message: fmt.Sprintf("every write is accepted again: %s of %s are in use, %s are free on the disk",
			size(s.InUse), size(s.Quota), size(s.DiskFree))})
	}
	m.mu.Lock()
	warned := m.warned
	m.warned = s.short(warned) != ""
	m.mu.Unlock()
	if now == nil && !warned && s.Warning != "" {
		m.notify(Notice{Short: true, Reason: "StorageNearlyFull", Message: s.Warning})
	}
}

func (m *Member) notify(n Notice) {
	if m.cfg.Log != nil {
		log := m.cfg.Log.Info
		if n.Short {
			log = m.cfg.Log.Warn
		}
		log(n.Message, "reason", n.Reason)
	}
	if m.cfg.Notice != nil {
		m.cfg.Notice(n)
	}
}
