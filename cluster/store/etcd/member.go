// Package etcd runs the etcd member of a server that has none outside, and connects to one
// that is outside.
//
// It owns the member's directory: it reports what is damaged there, keeps its snapshots, and
// looks after its space. A member never fills its quota or its disk: before that, Room
// refuses writes, and its user must ask before each. It is independent of the objects.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Member is etcd in this process.
type Member struct {
	cfg    Config
	client *clientv3.Client
	server *etcdserver.EtcdServer
	peers  *peerServer // nil: the member is alone
	unlock func()
	batch  batch

	started time.Time
	room    atomic.Pointer[shortage] // nil: every write is accepted
	failed  chan struct{}            // closed when etcd has given up
	failure error                    // why, once failed is closed
	fail    sync.Once

	mu        sync.Mutex // of what is below, and of compaction and defragmentation
	compacted int64      // the newest revision to which this process has compacted
	defragged time.Time
	warned    bool
}

const memberName = "wheelhouse"

// peerURL is the member's address in its own membership list. Nothing listens there.
const peerURL = "http://127.0.0.1:2380"

// StartEmbedded is Start for those who need no more than a client. stop closes the client
// and the member, and waits for both.
func StartEmbedded(ctx context.Context, cfg Config) (client *clientv3.Client, stop func(), err error) {
	m, err := Start(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return m.client, m.Stop, nil
}

// Start runs an etcd member in this process, without any socket for clients, and returns when
// it can be written to: one of several waits for a majority. Every acknowledged write has been
// synced to disk.
func Start(ctx context.Context, cfg Config) (*Member, error) {
	if cfg.Quota == 0 {
		cfg.Quota = DefaultQuota
	}
	if cfg.Tick == 0 {
		cfg.Tick = DefaultTick
	}
	if cfg.DiskReserve == 0 {
		cfg.DiskReserve = DefaultDiskReserve
	}
	if cfg.etcdQuota == 0 {
		cfg.etcdQuota = -1
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", explained(err))
	}
	m := &Member{cfg: cfg, unlock: unlock, started: time.Now(), failed: make(chan struct{}), batch: newBatch()}
	if free(cfg.Dir) < cfg.DiskReserve {
		m.cfg.releaseReserve()
	}
	if cfg.joins() {
		err = cfg.forget()
	} else {
		err = cfg.check()
	}
	if err == nil {
		err = m.start(ctx)
	}
	if err == nil {
		err = cfg.markMade()
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("etcd: starting in %s: %w", cfg.Dir, explained(err))
	}
	return m, nil
}

func (m *Member) start(ctx context.Context) (err error) {
	if m.peers, err = listenPeers(m.cfg.Peers); err != nil {
		return err
	}
	made := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				made <- m.cfg.damage(m.cfg.Dir, fmt.Errorf("etcd ended with: %v", r))
			}
		}()
		var err error
		m.server, err = etcdserver.NewServer(serverConfig(m.cfg, zapTo(m.cfg.Log, m)))
		made <- err
	}()
	select {
	case err := <-made:
		if err != nil {
			m.peers.close()
			return err
		}
	case <-m.failed:
		m.peers.close()
		return m.cfg.damage(m.cfg.Dir, m.failure)
	}
	m.server.Start()
	m.client = v3client.New(m.server)
	m.client.KV = &directKV{KV: m.client.KV, server: v3rpc.NewQuotaKVServer(m.server), batch: &m.batch}
	m.peers.serve(m.server, zapTo(m.cfg.Log, nil))
	select {
	case <-m.server.ReadyNotify():
		ctx, m.batch.stop = context.WithCancel(context.WithoutCancel(ctx))
		go m.runBatches(ctx)
		return nil
	case <-m.failed:
		err = m.failure
	case <-m.server.StopNotify():
		err = ErrRemoved // a member that is alone does not stop
	case <-ctx.Done():
		err = fmt.Errorf("waiting for it: %w", ctx.Err())
	}
	m.close()
	return err
}

// Client is a client of the member.
func (m *Member) Client() *clientv3.Client { return m.client }

// Stop closes the client and the member, and waits for both.
func (m *Member) Stop() {
	m.close()
	m.unlock()
}

func (m *Member) close() {
	_ = m.client.Close() // nothing is on its way
	if m.batch.stop != nil {
		m.batch.stop()
		select {
		case <-m.batch.ended:
		case <-m.failed:
		}
	}
	select {
	case <-m.failed: // it waits for what does not come
	default:
		m.server.Stop()
	}
	m.peers.close()
}

// OnWrite is what etcd logs when it gives up: instead of the process, only the part of etcd
// that called it ends, and Room refuses every write from there on.
func (m *Member) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	m.fail.Do(func() {
		err := errors.New(e.Message)
		for _, f := range fields {
			if cause, ok := f.Interface.(error); ok {
				err = fmt.Errorf("%s: %w", e.Message, cause)
			}
		}
		m.failure = err
		close(m.failed)
	})
	select {}
}

func serverConfig(cfg Config, log *zap.Logger) config.ServerConfig {
	peers := types.MustNewURLs([]string{peerURL})
	c := config.ServerConfig{
		Name:                memberName,
		DataDir:             cfg.Dir,
		PeerURLs:            peers,
		ClientURLs:          types.URLs{url.URL{Scheme: "http", Host: "127.0.0.1:2379"}}, // must not be empty; nothing listens
		InitialPeerURLsMap:  types.URLsMap{memberName: peers},
		InitialClusterToken: memberName,
		NewCluster:          true, // if there is no log yet

		TickMs:                     uint(cfg.Tick.Milliseconds()),
		ElectionTicks:              2,
		InitialElectionTickAdvance: true,
		PreVote:                    true,

		// Nobody has to catch up with a single member, so that few entries stay in
		// memory; a snapshot bounds how much log a start reads.
		SnapshotCount:          5000,
		SnapshotCatchUpEntries: 100,
		MaxSnapFiles:           2,
		MaxWALFiles:            2,

		// The log on disk is what makes a write durable. The database behind it is
		// written rarely, because writers wait meanwhile, and because each batch writes ten times as much as
		// the log of a single write; see runBatches.
		BackendBatchInterval: 15 * time.Minute,
		BackendBatchLimit:    10000,
		BackendFreelistType:  bolt.FreelistMapType,
		QuotaBackendBytes:    cfg.etcdQuota, // see Room

		MaxTxnOps:                   128,
		MaxRequestBytes:             4 << 20, // the API takes bodies of 3 MiB
		MaxConcurrentStreams:        1 << 20,
		WarningApplyDuration:        500 * time.Millisecond,
		WarningUnaryRequestDuration: time.Second,
		StrictReconfigCheck:         true,
		AuthToken:                   "", // no users
		CompactHashCheckTime:        time.Minute,
		V2Deprecation:               config.V2DeprDefault,
		ServerFeatureGate:           features.NewDefaultServerFeatureGate(memberName, log),
		BcryptCost:                  10, // unused, and missed aloud if not set
		Metrics:                     "basic",
		Logger:                      log,
	}
	cfg.Peers.configure(&c)
	return c
}

// lockDir keeps a second server out of the directory. etcd would wait for the first
// one's end without a word.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
