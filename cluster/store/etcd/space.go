package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	humanize "github.com/dustin/go-humanize"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// lookEvery is how often Run looks at the space. The reserves are what can be written
	// meanwhile.
	lookEvery = 250 * time.Millisecond
	// defragEvery is the shortest time between two defragmentations that are not urgent:
	// each one holds up all writes while it copies what is in use.
	defragEvery = 10 * time.Minute
)

// shortage is why not every write is accepted.
type shortage struct {
	err error
	all bool // not even deletions are accepted
}

// Room returns an error if a write is not accepted now; relief is set for a write that
// deletes an object, or makes it smaller. The error names the reason and the remedy.
func (m *Member) Room(relief bool) error {
	if s := m.room.Load(); s != nil && (s.all || !relief) {
		return s.err
	}
	return nil
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

// Status is the state of the member's space, in bytes.
type Status struct {
	Revision  int64  `json:"revision"`
	Size      int64  `json:"size"`      // of the database's file
	InUse     int64  `json:"inUse"`     // by objects and their history; the rest of Size can be used again
	Quota     int64  `json:"quota"`     // of InUse
	DiskFree  int64  `json:"diskFree"`  // on the disk of the database
	Reserve   int64  `json:"reserve"`   // of DiskFree
	Compacted int64  `json:"compacted"` // the last revision of the history that this process has removed
	Alarm     bool   `json:"alarm"`     // etcd itself refuses writes
	Refusing  string `json:"refusing,omitempty"`
	Warning   string `json:"warning,omitempty"`
}

// Status returns the present state.
func (m *Member) Status() Status {
	s := Status{Quota: m.cfg.Quota, Reserve: m.cfg.DiskReserve, DiskFree: free(m.cfg.Dir)}
	if r := m.room.Load(); r != nil {
		s.Refusing = r.err.Error()
	}
	select {
	case <-m.failed: // its locks may be held
		return s
	default:
	}
	s.Revision = m.server.KV().Rev()
	m.batch.at(s.Revision)
	s.Size, s.InUse = m.server.Backend().Size(), m.server.Backend().SizeInUse()
	s.Alarm = m.alarmed()
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Compacted = m.compacted
	if s.Refusing == "" {
		s.Warning = s.short(m.warned)
	}
	return s
}

// short is a sentence if there is less than a fifth of the quota, or twice the reserve of
// the disk; a warning lasts a little longer.
func (s Status) short(still bool) string {
	percent, reserves := int64(80), int64(2)
	if still {
		percent, reserves = 75, 3
	}
	switch {
	case s.InUse > s.Quota/100*percent:
		return fmt.Sprintf("the cluster's database is nearly full: %s of %s are in use; at %s only deletions will be accepted. %s",
			size(s.InUse), size(s.Quota), size(s.Quota), quotaRemedy)
	case s.DiskFree < s.Reserve*reserves:
		return fmt.Sprintf("the disk of the cluster's database is nearly full: %s are free; below %s only deletions will be accepted. %s",
			size(s.DiskFree), size(s.Reserve), diskRemedy)
	}
	return ""
}

const (
	quotaRemedy = "Delete objects that are not needed, or restart the server with a larger --quota-backend-bytes"
	diskRemedy  = "Free space on the disk of the server's --state-dir, or move that to a larger disk"
)

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func (m *Member) look(ctx context.Context) {
	s := m.Status()
	if s.Alarm || s.InUse >= m.limit() {
		if err := m.Compact(ctx); err != nil {
			m.warn(ctx, "compacting etcd", err)
		}
		s = m.Status()
	}
	if m.pays(s) {
		if err := m.Defragment(); err != nil {
			m.warn(ctx, "defragmenting etcd", err)
		}
		s = m.Status()
	}
	if s.Alarm && s.InUse < m.cfg.Quota {
		if err := m.disarm(ctx); err != nil {
			m.warn(ctx, "ending etcd's alarm", err)
		}
		s = m.Status()
	}
	m.decide(s)
}

func (m *Member) warn(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil && m.cfg.Log != nil {
		m.cfg.Log.Warn(doing, "err", err)
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
	switch {
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

// Compact removes all history up to now. It needs no write to be accepted. Clients that list
// in pages or watch from before start again.
func (m *Member) Compact(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rev := m.server.KV().Rev()
	if rev == m.compacted {
		return nil
	}
	if _, err := m.client.Compact(ctx, rev, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	m.compacted = rev
	m.server.Backend().ForceCommit() // what is in use is counted then
	return nil
}

// pays reports whether a defragmentation is worth holding up the writes.
func (m *Member) pays(s Status) bool {
	unused := s.Size - s.InUse
	urgent := s.Size >= s.Quota && unused > s.Size/8 || s.Size >= s.Quota/2 && unused > s.Size/2
	m.mu.Lock()
	defer m.mu.Unlock()
	idle := time.Since(m.defragged)
	switch {
	case s.DiskFree < s.InUse+s.Reserve/2: // the copy would not fit
		return false
	case urgent:
		return idle > 10*lookEvery
	}
	return unused > s.Size/2 && unused > s.Quota/16 && idle > defragEvery
}

// Defragment copies what is in use into a new file, which gives the rest back to the disk.
// Writes wait meanwhile.
func (m *Member) Defragment() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.defragged = time.Now()
	return m.server.Defragment()
}

func (m *Member) alarmed() bool {
	for _, a := range m.server.Alarms() {
		if a.Alarm == pb.AlarmType_NOSPACE {
			return true
		}
	}
	return false
}

func (m *Member) disarm(ctx context.Context) error {
	_, err := m.server.Alarm(ctx, &pb.AlarmRequest{
		Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE, MemberID: uint64(m.server.MemberID()),
	})
	return err
}

// running calls f unless etcd has given up, when f would not return.
func (m *Member) running(f func() error) error {
	select {
	case <-m.failed:
		return m.Room(true)
	default:
		return f()
	}
}
