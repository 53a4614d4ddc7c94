package etcd

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Config describes the member that runs inside this process.
type Config struct {
	Dir string // holds the write-ahead log and the database; made if missing
	Log *slog.Logger
	// Quota is how many bytes of the database may be in use before only deletions are
	// accepted; 0 is DefaultQuota.
	Quota int64
	// DiskReserve is how many bytes must be free on the disk of Dir, else only deletions are
	// accepted; 0 is DefaultDiskReserve.
	DiskReserve int64
	// Snapshots is the directory in which Run keeps snapshots, and Start looks for one when
	// Dir is damaged; "": none.
	Snapshots string
	// Mark is a file outside of Dir that Start writes when the member is ready for the first time: with it, a Dir that is
	// empty is damaged; "": none.
	Mark string
	// Tick is the clock of the member: it elects itself two to three ticks after it starts, and wakes up at
	// each; 0 is DefaultTick.
	Tick time.Duration
	// Restarted is set if this process has replaced one that ended with ErrRestart: the next one is not at once.
	Restarted bool
	// Notice is called when the space becomes short, is exhausted, or is there again; nil: it
	// is only logged.
	Notice func(Notice)
	// Peers makes the member one of several; nil: it is alone and has no socket.
	Peers *Peers

	// etcdQuota is etcd's own quota, none unless a test sets one: at it etcd would refuse the
	// writes that end an object, too, and until an operator acts.
	etcdQuota int64
}

const (
	// DefaultQuota is what etcd's documentation takes for a normal environment, twice. A 32-bit
	// process has to map the database into what it can address.
	DefaultQuota = (1 << 30) << (strconv.IntSize/32*2 - 2)
	// DefaultTick makes a start short.
	DefaultTick = 50 * time.Millisecond
	// DefaultDiskReserve is four segments of etcd's log.
	DefaultDiskReserve = 256 << 20
)

// Notice is a change that an operator should know of.
type Notice struct {
	Short   bool   // else there is room again
	Reason  string // in CamelCase, for events
	Message string
}

// SnapshotFile is a snapshot that Run or Save has written, as `etcdctl snapshot save` does.
type SnapshotFile struct {
	Path string    `json:"path"`
	Time time.Time `json:"taken"`
	Size int64     `json:"bytes"`
}

// Snapshots lists the snapshots of a directory, the newest first.
func Snapshots(dir string) (list []SnapshotFile, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "etcd-*.db"))
	for _, path := range files {
		at, err := time.Parse(snapshotName, filepath.Base(path))
		if err != nil {
			continue // of somebody else
		}
		if st, err := os.Stat(path); err == nil {
			list = append(list, SnapshotFile{path, at, st.Size()})
		}
	}
	slices.SortFunc(list, func(a, b SnapshotFile) int { return b.Time.Compare(a.Time) })
	return list, err
}

// madeFile says that the member has been here.
func (c Config) madeFile() string { return filepath.Join(c.Dir, "made") }

const snapshotName = "etcd-20060102T150405Z.db"
