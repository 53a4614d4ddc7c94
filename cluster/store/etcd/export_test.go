package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"wheelhouse/cluster/store/space"
)

// WithQuota is a configuration with which etcd raises its alarm, as an earlier version's did.
func WithQuota(c Config, quota int64) Config {
	c.etcdQuota = quota
	return c
}

// Accepts reports whether a write is accepted on a disk with so much free, where nothing else is short.
func Accepts(free, reserve int64, w space.Write) bool {
	s := shortage{all: free < reserve/32}
	s.allow(&shortage{base: 1 << 30}, Status{Quota: 1 << 30, DiskFree: free, Reserve: reserve})
	return s.accepts(w)
}

// Raise raises an alarm of a member.
func (m *Member) Raise(ctx context.Context, id uint64, alarm pb.AlarmType) error {
	_, err := m.server.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: id, Alarm: alarm})
	return err
}
