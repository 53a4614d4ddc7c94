package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/features"
)

// EmbedConfig describes the member that runs inside this process.
type EmbedConfig struct {
	Dir string // holds the write-ahead log and the database; made if missing
	Log *slog.Logger
}

const memberName = "wheelhouse"

// peerURL is the member's address in its own membership list. Nothing listens there.
const peerURL = "http://127.0.0.1:2380"

// StartEmbedded runs a single etcd member in this process, without any socket, and
// returns when it can be written to. stop closes the client and the member, and waits
// for both. Every acknowledged write has been synced to disk.
func StartEmbedded(ctx context.Context, cfg EmbedConfig) (client *clientv3.Client, stop func(), err error) {
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	server, err := etcdserver.NewServer(serverConfig(cfg))
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("store: starting etcd in %s: %w", cfg.Dir, err)
	}
	server.Start()
	client = v3client.New(server)
	stop = func() {
		_ = client.Close() // nothing is on its way
		server.Stop()
		unlock()
	}
	select {
	case <-server.ReadyNotify():
		return client, stop, nil
	case <-server.StopNotify():
		err = errors.New("it stopped before it was ready")
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	return nil, nil, fmt.Errorf("store: waiting for etcd in %s: %w", cfg.Dir, err)
}

func serverConfig(cfg EmbedConfig) config.ServerConfig {
	peers := types.MustNewURLs([]string{peerURL})
	log := zapTo(cfg.Log)
	return config.ServerConfig{
		Name:                memberName,
		DataDir:             cfg.Dir,
		PeerURLs:            peers,
		ClientURLs:          types.URLs{url.URL{Scheme: "http", Host: "127.0.0.1:2379"}}, // must not be empty; nothing listens
		InitialPeerURLsMap:  types.URLsMap{memberName: peers},
		InitialClusterToken: memberName,
		NewCluster:          true, // if there is no log yet

		// A single member elects itself two to three ticks after it starts.
		TickMs:                     50,
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
		// synced rarely, because writers wait meanwhile.
		BackendBatchInterval: time.Second,
		BackendBatchLimit:    10000,
		BackendFreelistType:  bolt.FreelistMapType,
		QuotaBackendBytes:    4 << 30,

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
