package masters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The times of the list, as those of upstream's master leases, but shorter: pods connect to
// what is listed.
const (
	liveFor    = 10 * time.Second
	renewEvery = 3 * time.Second
)

const livePrefix = "wheelhouse/masters/"

// LiveConfig is what a Live needs.
type LiveConfig struct {
	Client *clientv3.Client
	Self   Master
	// Ready returns nil while this server serves; it is not listed otherwise.
	Ready func(context.Context) error
	Log   *slog.Logger
}

// Live is the list of the masters that are live: a key in etcd for each, with a lease that its
// master renews.
type Live struct{ LiveConfig }

// NewLive returns a Live.
func NewLive(c LiveConfig) *Live { return &Live{c} }

// Run keeps this master listed until ctx ends, and removes it then.
func (l *Live) Run(ctx context.Context) error {
	var lease clientv3.LeaseID
	for {
		if err := l.renew(ctx, &lease); err != nil && ctx.Err() == nil {
			l.Log.Warn("renewing this master's place in the list of those that are live", "err", err)
		}
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewEvery)
			defer cancel()
			_, _ = l.Client.Revoke(ctx, lease) // else it expires
			return nil
		case <-time.After(renewEvery):
		}
	}
}

func (l *Live) renew(ctx context.Context, lease *clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	if err := l.Ready(ctx); err != nil {
		return nil //nolint:nilerr // it says so itself
	}
	if *lease != 0 {
		_, err := l.Client.KeepAliveOnce(ctx, *lease)
		if err == nil || !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
	granted, err := l.Client.Grant(ctx, int64(liveFor/time.Second))
	if err != nil {
		return err
	}
	value, err := json.Marshal(l.Self)
	if err != nil {
		return err
	}
	// A lease without the key would be kept alive for nothing.
	if _, err = l.Client.Put(ctx, livePrefix+l.Self.Address.String(), string(value), clientv3.WithLease(granted.ID)); err == nil {
		*lease = granted.ID
	}
	return err
}

// List returns the masters that are live, this one always among them, by their addresses. For
// a member that is cut off these are those of before.
func (l *Live) List(ctx context.Context) ([]Master, error) {
	got, err := l.Client.Get(ctx, livePrefix, clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		return nil, fmt.Errorf("listing the masters: %w", err)
	}
	list := []Master{l.Self}
	for _, kv := range got.Kvs {
		var m Master
		if json.Unmarshal(kv.Value, &m) == nil && m.Address.IsValid() && m.Address != l.Self.Address {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Master) int { return a.Address.Compare(b.Address) })
	return list, nil
}
