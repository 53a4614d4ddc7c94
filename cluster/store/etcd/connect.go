package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TLS names the files for the connection to an external cluster; zero means no TLS.
type TLS = transport.TLSInfo

// ErrNoAnswer is the error of Connect for a cluster of which no member has answered.
var ErrNoAnswer = errors.New("etcd does not answer")

// Connect returns a client of an external etcd cluster, and returns when a member has
// answered or ctx has ended. The cluster should serve nothing else: the store of objects
// watches all its keys.
func Connect(ctx context.Context, endpoints []string, tls TLS, log *slog.Logger) (*clientv3.Client, error) {
	cfg := clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		Logger:               zapTo(log, nil),
	}
	if !tls.Empty() || tls.TrustedCAFile != "" {
		var err error
		if cfg.TLS, err = tls.ClientConfig(); err != nil {
			return nil, fmt.Errorf("etcd: the TLS files for etcd: %w", err)
		}
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("etcd: a client for etcd at %s: %w", strings.Join(endpoints, ","), err)
	}
	if _, err := client.Get(ctx, "\x00", clientv3.WithCountOnly(), clientv3.WithLimit(1)); err != nil {
		_ = client.Close() // it never worked
		return nil, fmt.Errorf("%w at %s: %w", ErrNoAnswer, strings.Join(endpoints, ","), err)
	}
	return client, nil
}
