package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	eventname "k8s.io/client-go/tools/record/util"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/store/space"
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
	log     *slog.Logger
	close   func()
}

// The files of the member, below the server's state directory.
func etcdDir(stateDir string) string      { return filepath.Join(stateDir, "etcd") }
func markFile(stateDir string) string     { return filepath.Join(stateDir, "pki", "cluster") }
func snapshotsDir(stateDir string) string { return filepath.Join(stateDir, "snapshots") }

// evidence are the files that say that the cluster of a state directory exists.
func (e *etcdFlags) evidence(stateDir string) []string {
	if !e.embedded() {
		return nil
	}
	return []string{etcd.MadeFile(etcdDir(stateDir)), markFile(stateDir)}
}

// etcdAttempt is the time for one attempt to reach an external etcd.
const etcdAttempt = 10 * time.Second

func (e *etcdFlags) open(ctx context.Context, stateDir string, peers *etcd.Peers, log *slog.Logger) (*database, error) {
	log = log.With("component", "etcd")
	db := &database{notices: make(chan etcd.Notice, 16), log: log}
	if e.embedded() {
		if peers != nil {
			waiting := time.AfterFunc(majorityNotice, func() { log.Info("waiting for a majority of the masters") })
			defer waiting.Stop()
		}
		m, err := etcd.Start(ctx, etcd.Config{
			Dir: etcdDir(stateDir), Peers: peers, Snapshots: snapshotsDir(stateDir), Quota: e.quota, DiskReserve: e.reserve, Notice: db.notice, Log: log,
			Tick: etcdTick(), Mark: markFile(stateDir), Restarted: os.Getenv(restartedEnv) != "",
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

// essential reports whether an object is written while the database or its disk is full: the Leases of components and
// nodes, without which no controller deletes anything, and the events that say so.
func essential(_ *api.Kind, obj api.Object) bool {
	switch o := obj.(type) {
	case *coordinationv1.Lease:
		return o.Namespace == metav1.NamespaceSystem || o.Namespace == corev1.NamespaceNodeLease
	case *corev1.Event:
		return o.Namespace == metav1.NamespaceSystem && o.Source.Component == noticeSource
	}
	return false
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
	go db.recordNotices(ctx, cs)
	return db.member.Run(ctx)
}

// noticeRetry is how long an Event of a notice waits after it was refused.
const noticeRetry = 2 * time.Second

// recordNotices writes an Event for each notice, in their order, until ctx ends. One that is refused, for a while before
// the server is ready and where the disk has no room at all, is written when it can be.
func (db *database) recordNotices(ctx context.Context, cs kubernetes.Interface) {
	for {
		var event *corev1.Event
		select {
		case <-ctx.Done():
			return
		case n := <-db.notices:
			event = noticeEvent(n, metav1.Now())
		}
		var last error
		err := wait.PollUntilContextCancel(ctx, noticeRetry, true, func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, noticeRetry)
			defer cancel()
			_, last = cs.CoreV1().Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
			return last == nil || apierrors.IsAlreadyExists(last) || apierrors.IsInvalid(last), nil
		})
		if ctx.Err() == nil && last != nil && !apierrors.IsAlreadyExists(last) {
			db.log.Error("event lost", "reason", event.Reason, "err", errors.Join(err, last))
		}
	}
}

// noticeSource is the component that reports the events of the database, see essential.
const noticeSource = "etcd"

// noticeEvent is an Event about the namespace of the control plane.
func noticeEvent(n etcd.Notice, now metav1.Time) *corev1.Event {
	kind := corev1.EventTypeNormal
	if n.Short {
		kind = corev1.EventTypeWarning
	}
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: eventname.GenerateEventName(metav1.NamespaceSystem, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: metav1.NamespaceSystem, Namespace: metav1.NamespaceSystem},
		Type:           kind, Reason: n.Reason, Message: n.Message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: noticeSource}, ReportingController: noticeSource,
	}
}

// room is what the store asks before a write, nil if nobody looks after the space.
func (db *database) room() func(space.Write) error {
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
