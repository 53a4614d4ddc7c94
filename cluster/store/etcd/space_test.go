package etcd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/store/space"
	"wheelhouse/cluster/wait"
)

// server is a member that looks after its space, with a store over it.
type server struct {
	*etcd.Member
	*store.Collection // of config maps
	mu                sync.Mutex
	notices           []string
	ended             chan error // of Run
}

func start(t *testing.T, cfg etcd.Config, historyBytes int64) *server {
	t.Helper()
	s := &server{ended: make(chan error, 1)}
	cfg.Log = slog.Default()
	cfg.Notice = func(n etcd.Notice) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notices = append(s.notices, n.Reason)
	}
	var err error
	if s.Member, err = etcd.Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	kind := builtin.Lookup("", "v1", "configmaps")
	st, err := store.New(store.Config{
		Client: s.Client(), Kinds: []*api.Kind{kind}, OnlyWriter: true, Room: s.Room, Essential: essential, HistoryBytes: historyBytes, Log: slog.Default(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Collection = st.Of(kind)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	go func() { s.ended <- s.Member.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Stop()
	})
	if err := st.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) told(reason string) func() error {
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, n := range s.notices {
			if n == reason {
				return nil
			}
		}
		return fmt.Errorf("noticed %v", s.notices)
	}
}

// compacted returns nil when all history up to now is gone, or is not needed for the quota.
func (s *server) compacted() error {
	st := s.Status()
	return wait.Seen(st.Compacted == st.Revision || st.InUse < st.Quota, st)
}

var filler = strings.Repeat("0123456789abcdef", 64<<10/16) // 64 KiB

func large(name string, n int) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Finalizers: []string{"test/keep"}, UID: "u"},
		Data:       map[string]string{"n": fmt.Sprint(n), "filler": filler},
	}
}

// fill creates objects until one is refused; most of them, and then the others.
func (s *server) fill(t *testing.T, most int) (n int, refusal error) {
	t.Helper()
	for ; n < 100_000; n++ {
		if n == most {
			wait.For(t, "a warning before it is full", s.told("StorageNearlyFull"))
		}
		if _, err := s.Create(t.Context(), large(fmt.Sprint("o", n), n)); err != nil {
			return n, err
		}
	}
	t.Fatal("100000 objects were accepted")
	return 0, nil
}

func insufficient(t *testing.T, err error, want string) {
	t.Helper()
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Code != http.StatusInsufficientStorage || !strings.Contains(err.Error(), want) {
		t.Fatalf("refused with %v; want code 507 and %q", err, want)
	}
}

// One object that is updated again and again would fill the quota with its history.
func TestHistoryIsBoundedByBytes(t *testing.T) {
	const quota = 24 << 20
	s := start(t, etcd.Config{Dir: t.TempDir(), Quota: quota}, quota/8)
	if _, err := s.Create(t.Context(), large("one", 0)); err != nil {
		t.Fatal(err)
	}
	for n := range 3 * quota / len(filler) {
		if _, err := s.Update(t.Context(), "default", "one", func(*store.Item) (api.Object, error) { return large("one", n+1), nil }); err != nil {
			t.Fatalf("update %d: %v", n, err)
		}
	}
	if st := s.Status(); st.Alarm || st.Refusing != "" || st.Compacted != 0 {
		t.Errorf("the state is %+v, and nothing should be urgent", st)
	}
}

// A full database accepts deletions, with and without finalizers, and recovers on its own.
func TestFullQuota(t *testing.T) {
	const quota = 24 << 20
	s := start(t, etcd.Config{Dir: t.TempDir(), Quota: quota}, quota/8)
	n, err := s.fill(t, quota/len(filler)*7/8)
	insufficient(t, err, "--quota-backend-bytes")
	wait.For(t, "a notice", s.told("StorageFull"))
	if s.Status().Refusing == "" {
		t.Error("the status does not say that writes are refused")
	}
	if _, err := s.Get(t.Context(), "default", "o0", ""); err != nil {
		t.Errorf("reading: %v", err)
	}
	grow := func(cur *store.Item) (api.Object, error) {
		o := cur.Object().DeepCopyObject().(*corev1.ConfigMap)
		o.Data["more"] = filler
		return o, nil
	}
	_, err = s.Update(t.Context(), "default", "o0", grow)
	insufficient(t, err, "only deletions")
	for i := range n {
		name := fmt.Sprint("o", i)
		_, err := s.Update(t.Context(), "default", name, func(cur *store.Item) (api.Object, error) {
			o := cur.Object().DeepCopyObject().(*corev1.ConfigMap)
			now := metav1.Now()
			o.DeletionTimestamp = &now
			return o, nil
		})
		if err != nil {
			t.Fatalf("marking %s as deleted: %v", name, err)
		}
		if _, err := s.Delete(t.Context(), "default", name, nil); err != nil {
			t.Fatalf("deleting %s: %v", name, err)
		}
	}
	wait.For(t, "room again", s.told("StorageHasRoom"))
	wait.For(t, "a smaller file", func() error {
		st := s.Status()
		return wait.Seen((st.Size < quota/2 || st.Size-st.InUse <= st.Size/2) && !st.Alarm, st)
	})
	if _, err := s.Create(t.Context(), large("again", 1)); err != nil {
		t.Errorf("creating: %v", err)
	}
}

// A database that is a little below the quota, and was full, does not stay full: what is deleted there is compacted, too.
func TestRoomComesBackBelowTheQuota(t *testing.T) {
	const quota = 24 << 20
	s := start(t, etcd.Config{Dir: t.TempDir(), Quota: quota}, quota) // history alone causes no compaction
	n, err := s.fill(t, -1)
	insufficient(t, err, "--quota-backend-bytes")
	wait.For(t, "a notice", s.told("StorageFull"))
	for wait.For(t, "the compaction", s.compacted); s.Status().InUse >= quota; wait.For(t, "the compaction", s.compacted) {
		n-- // what makes an object smaller is accepted
		_, err := s.Update(t.Context(), "default", fmt.Sprint("o", n), func(*store.Item) (api.Object, error) {
			return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("o", n), UID: "u"}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.Status().Refusing == "" {
		t.Fatalf("writes are accepted: %+v", s.Status())
	}
	for i := range n / 4 {
		if _, err := s.Delete(t.Context(), "default", fmt.Sprint("o", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, "room again", s.told("StorageHasRoom"))
}

// The alarm of a member that another version has filled ends after a start, and its objects
// are there.
func TestAlarmOfEarlier(t *testing.T) {
	dir := t.TempDir()
	m, err := etcd.Start(t.Context(), etcd.WithQuota(etcd.Config{Dir: dir, Log: slog.Default()}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	body := string(bytes.Repeat([]byte("x"), 256<<10))
	for i := 0; i < 1000 && !m.Status().Alarm; i++ { // on a slow disk some time out
		_, err = m.Client().Put(t.Context(), "/k", body)
	}
	if st := m.Status(); !st.Alarm {
		t.Fatalf("no alarm after %v: %+v", err, st)
	}
	m.Stop()
	s := start(t, etcd.Config{Dir: dir, Quota: 16 << 20}, 0)
	wait.For(t, "no alarm", func() error {
		st := s.Status()
		return wait.Seen(!st.Alarm && st.Refusing == "", st)
	})
	if _, err := s.Client().Put(t.Context(), "/k", "y"); err != nil {
		t.Error(err)
	}
	got, err := s.Client().Get(t.Context(), "/k", clientv3.WithCountOnly())
	if err != nil || got.Count != 1 {
		t.Errorf("the key is %v, %v", got, err)
	}
}

// A disk that fills within a moment makes etcd give up. The process goes on, refuses writes
// with the reason, and starts again when there is room, with all that was acknowledged.
func TestGivenUp(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=200m"); err != nil {
		t.Fatalf("a disk for the test (it needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	cfg := etcd.Config{Dir: filepath.Join(dir, "etcd"), DiskReserve: 1 << 20, Log: slog.Default()}
	m, err := etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for ; ; acknowledged++ { // Room is not asked
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := m.Client().Put(ctx, fmt.Sprint("/k", acknowledged), strings.Repeat(filler, 16))
		cancel()
		if err != nil {
			break
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(t.Context()) }()
	wait.For(t, "every write is refused", func() error {
		err := m.Room(space.Write{Use: space.Deletion})
		return wait.Seen(err != nil && strings.Contains(err.Error(), "--state-dir"), err)
	})
	m.Stop()
	// What fills it is etcd itself here: a larger disk is the remedy.
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=800m"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, etcd.ErrRestart) {
		t.Fatalf("Run ended with %v", err)
	}
	// The next process begins with the files; in this one the former member has them open.
	cfg.Dir = filepath.Join(dir, "next")
	if err := os.CopyFS(cfg.Dir, os.DirFS(filepath.Join(dir, "etcd"))); err != nil {
		t.Fatal(err)
	}
	m, err = etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if n := keys(t, m); n < int64(acknowledged) {
		t.Errorf("%d keys of %d are there", n, acknowledged)
	}
}
