package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	humanize "github.com/dustin/go-humanize"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/types"
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

// Status is the state of the member's space, in bytes.
type Status struct {
	Revision  int64  `json:"revision"`
	Size      int64  `json:"size"`              // of the database's file
	InUse     int64  `json:"inUse"`             // by objects and their history; the rest of Size can be used again
	Quota     int64  `json:"quota"`             // of InUse
	DiskFree  int64  `json:"diskFree"`          // on the disk of the database
	Inodes    int64  `json:"inodes"`            // files more that the disk takes; very many where they are not counted
	Reserve   int64  `json:"reserve"`           // of DiskFree
	Compacted int64  `json:"compacted"`         // the last revision of the history that this process has removed
	Alarm     bool   `json:"alarm"`             // etcd itself refuses writes
	Corrupt   string `json:"corrupt,omitempty"` // the members whose data etcd has found to differ: it refuses everything
	Refusing  string `json:"refusing,omitempty"`
	Warning   string `json:"warning,omitempty"`
}

// Status returns the present state.
func (m *Member) Status() Status {
	s := Status{Quota: m.cfg.Quota, Reserve: m.cfg.DiskReserve}
	s.DiskFree, s.Inodes = freeOn(m.cfg.Dir)
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
	s.Alarm, s.Corrupt = m.alarms()
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
	case s.Inodes < inodeReserve*reserves:
		return fmt.Sprintf("the disk of the cluster's database is nearly full: it takes %d files more; below %d only deletions will be accepted. %s",
			s.Inodes, inodeReserve, inodeRemedy)
	case s.DiskFree < s.Reserve*reserves:
		return fmt.Sprintf("the disk of the cluster's database is nearly full: %s are free; below %s only deletions will be accepted. %s",
			size(s.DiskFree), size(s.Reserve), diskRemedy)
	}
	return ""
}

const (
	quotaRemedy = "Delete objects that are not needed, or restart the server with a larger --quota-backend-bytes"
	inodeRemedy = "Remove files from the disk of the server's --state-dir (`df -i` counts its inodes), or move that to another disk"
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

// alarms reports whether there is an alarm for want of space, and names the members that have one because their data
// differs from that of the others. One alarm of any member, also of one that was removed, stops all of them.
func (m *Member) alarms() (space bool, corrupt string) {
	for _, a := range m.server.Alarms() {
		switch a.Alarm {
		case pb.AlarmType_NOSPACE:
			space = true
		case pb.AlarmType_CORRUPT:
			corrupt = strings.TrimPrefix(corrupt+", "+m.nameOf(a.MemberID), ", ")
		}
	}
	return space, corrupt
}

// nameOf is the name of a member, or its id if it has been removed.
func (m *Member) nameOf(id uint64) string {
	if member := m.server.Cluster().Member(types.ID(id)); member != nil && member.Name != "" {
		return member.Name
	}
	return types.ID(id).String()
}

// disarm ends the alarms for want of space of this member, and of those that have been removed: the others end their own.
func (m *Member) disarm(ctx context.Context) error {
	var errs []error
	for _, a := range m.server.Alarms() {
		id := types.ID(a.MemberID)
		if a.Alarm != pb.AlarmType_NOSPACE || id != m.server.MemberID() && m.server.Cluster().Member(id) != nil {
			continue
		}
		_, err := m.server.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: a.Alarm, MemberID: a.MemberID})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// running calls f unless etcd has given up, when f would not return.
func (m *Member) running(f func() error) error {
	select {
	case <-m.failed:
		return m.failure
	default:
		return f()
	}
}
