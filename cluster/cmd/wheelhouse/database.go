package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store/etcd"
)

// etcdFlags say where the objects are kept.
type etcdFlags struct {
	servers []string
	tls     etcd.TLS
	quota   int64
	reserve int64

	patience time.Duration
}

func (e *etcdFlags) register(f *pflag.FlagSet) {
	f.StringSliceVar(&e.servers, "etcd-servers", nil, "an etcd cluster to use instead of the embedded member")
	f.StringVar(&e.tls.TrustedCAFile, "etcd-cafile", "", "the authority of the etcd servers")
	f.StringVar(&e.tls.CertFile, "etcd-certfile", "", "the client certificate for etcd")
	f.StringVar(&e.tls.KeyFile, "etcd-keyfile", "", "its key")
	startFlag(f, &e.patience, "the servers of --etcd-servers")
	f.Int64Var(&e.quota, "quota-backend-bytes", etcd.DefaultQuota, "the bytes that the embedded etcd's database may use before only deletions are accepted")
	f.Int64Var(&e.reserve, "disk-reserve-bytes", etcd.DefaultDiskReserve, "the bytes that stay free on the disk of the embedded etcd: below, only deletions are accepted")
}

// embedded reports whether etcd runs in the server's process.
func (e *etcdFlags) embedded() bool { return len(e.servers) == 0 }

// database is etcd as the server uses it.
type database struct {
	client  *clientv3.Client
	member  *etcd.Member // nil: etcd runs outside
	notices chan etcd.Notice
	close   func()
}

// The files of the member, below the server's state directory.
func etcdDir(stateDir string) string      { return filepath.Join(stateDir, "etcd") }
func snapshotsDir(stateDir string) string { return filepath.Join(stateDir, "snapshots") }

// etcdAttempt is the time for one attempt to reach an external etcd.
const etcdAttempt = 10 * time.Second

func (e *etcdFlags) open(ctx context.Context, stateDir string, peers *etcd.Peers, log *slog.Logger) (*database, error) {
	log = log.With("component", "etcd")
	db := &database{notices: make(chan etcd.Notice, 16)}
	if e.embedded() {
		if peers != nil {
			waiting := time.AfterFunc(majorityNotice, func() { log.Info("waiting for a majority of the masters") })
			defer waiting.Stop()
		}
		m, err := etcd.Start(ctx, etcd.Config{
			Dir: etcdDir(stateDir), Peers: peers, Snapshots: snapshotsDir(stateDir), Quota: e.quota, DiskReserve: e.reserve, Notice: db.notice, Log: log,
			Tick: etcdTick(),
		})
		if err != nil {
			return nil, err
		}
		db.member, db.client, db.close = m, m.Client(), m.Stop
		return db, nil
	}
	var c *clientv3.Client
	err := awaitStart(ctx, e.patience, log, "etcd", func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, etcdAttempt)
		defer cancel()
		c, err = etcd.Connect(ctx, e.servers, e.tls, log)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w (is it running? --etcd-servers and the --etcd-*file flags name it)", err)
	}
	db.client, db.close = c, func() { _ = c.Close() }
	return db, nil
}

// notice passes a notice on to maintain; it is in the log anyway if nobody reads.
func (db *database) notice(n etcd.Notice) {
	select {
	case db.notices <- n:
	default:
	}
}

// maintain looks after the space of the member, and writes an Event for each notice.
func (db *database) maintain(ctx context.Context, cs kubernetes.Interface) error {
	if db.member == nil {
		return nil
	}
	recorder := client.Recorder(cs, "etcd")
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case n := <-db.notices:
				kind := corev1.EventTypeNormal
				if n.Short {
					kind = corev1.EventTypeWarning
				}
				recorder.Event(systemNamespace, kind, n.Reason, n.Message) //nolint:contextcheck // the recorder's own goroutine sends it
			}
		}
	}()
	return db.member.Run(ctx)
}

// systemNamespace is what the events of the control plane itself regard.
var systemNamespace = &corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: "kube-system", Namespace: "kube-system"}

// room is what the store asks before a write, nil if nobody looks after the space.
func (db *database) room() func(bool) error {
	if db.member == nil {
		return nil
	}
	return db.member.Room
}

// paths are the answers to wheelhouse etcd and wheelhouse snapshot.
func (db *database) paths() map[string]http.Handler {
	if db.member == nil {
		return nil
	}
	return map[string]http.Handler{etcd.AdminPath: db.member.Admin()}
}
