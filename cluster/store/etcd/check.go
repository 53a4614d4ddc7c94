package etcd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// DamageError is why the member's directory cannot be used, with what can be done.
type DamageError struct {
	File     string
	What     error
	Written  time.Time // when the file was last written, zero if it is missing
	Dir      string    // of the member
	Snapshot *SnapshotFile
	Mark     string // the file outside of Dir that says that a server has run here; "": none does
}

func (e *DamageError) Error() string {
	when := "it is missing"
	if !e.Written.IsZero() {
		when = "last written " + e.Written.UTC().Format(time.RFC3339)
	}
	text := fmt.Sprintf("the cluster's database is damaged: %s (%s): %v. Nothing was changed. ", e.File, when, e.What)
	if e.Snapshot == nil {
		return text + fmt.Sprintf("There is no snapshot of this server: `wheelhouse snapshot restore FILE` takes one that was kept elsewhere, "+
			"and moving %s away lets an empty cluster begin", strings.Join(append([]string{e.Dir}, e.marks()...), " and "))
	}
	return text + fmt.Sprintf("The newest snapshot is %s, of %s: `wheelhouse snapshot restore --state-dir %s` returns to it and keeps the damaged files; "+
		"what was written after it is lost", e.Snapshot.Path, e.Snapshot.Time.UTC().Format(time.RFC3339), filepath.Dir(e.Dir))
}

func (e *DamageError) marks() []string {
	if e.Mark == "" {
		return nil
	}
	return []string{e.Mark}
}

func (e *DamageError) Unwrap() error { return e.What }

// damage is an error about a file, nil for nil.
func (c Config) damage(file string, err error) error {
	if err == nil {
		return nil
	}
	d := &DamageError{File: file, What: err, Dir: c.Dir}
	if st, err := os.Stat(file); err == nil {
		d.Written = st.ModTime()
	}
	if list, _ := Snapshots(c.Snapshots); len(list) > 0 { // none that can be read is none
		d.Snapshot = &list[0]
	}
	if c.marked() {
		d.Mark = c.Mark
	}
	return d
}

// check returns a DamageError if the member's files are not what a member has written and
// synced: etcd would end the process with less to go by, begin with an empty database, or
// cut off what was acknowledged.
func (c Config) check() error {
	member := filepath.Join(c.Dir, "member")
	logs := filepath.Join(member, "wal")
	database := filepath.Join(member, "snap", "db")
	if _, err := os.Stat(c.madeFile()); errors.Is(err, fs.ErrNotExist) && !exists(member) {
		if list, _ := Snapshots(c.Snapshots); len(list) == 0 && !c.marked() {
			return nil // the first start
		}
	}
	segments, err := filepath.Glob(filepath.Join(logs, "*.wal"))
	if err != nil {
		return err
	}
	if len(segments) == 0 && !exists(c.madeFile()) && exists(member) {
		return nil // the first start was interrupted
	}
	for _, path := range []string{member, logs, database} {
		if !exists(path) {
			return c.damage(path, errors.New(c.since()))
		}
	}
	if len(segments) == 0 {
		return c.damage(logs, errors.New("it holds no log"))
	}
	applied, err := checkDatabase(database)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("%s is in use by another process: %w", database, err)
	}
	if err != nil {
		return c.damage(database, err)
	}
	file, err := checkLog(segments, applied)
	return c.damage(file, err)
}

func (c Config) marked() bool { return c.Mark != "" && exists(c.Mark) }

// since says of a file that is gone when it was there.
func (c Config) since() string {
	for _, path := range []string{c.Mark, c.madeFile()} {
		if st, err := os.Stat(path); err == nil {
			return fmt.Sprintf("a server has run here since %s (%s says so), and it is gone", st.ModTime().UTC().Format(time.RFC3339), path)
		}
	}
	return "a server has run here, and it is gone"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkDatabase reads all of the database, and returns the index of the log up to which it
// has applied it.
func checkDatabase(path string) (applied uint64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading it: %v", r)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // nothing was written
	return applied, db.View(func(tx *bolt.Tx) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if st.Size() < tx.Size() {
			return fmt.Errorf("%d of %d bytes are there", st.Size(), tx.Size())
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if string(name) == "meta" {
				if v := b.Get([]byte("consistent_index")); len(v) == 8 {
					applied = binary.BigEndian.Uint64(v)
				}
			}
			return b.ForEach(func(k, v []byte) error {
				var kv mvccpb.KeyValue
				if string(name) != "key" {
					return nil
				}
				if err := proto.Unmarshal(v, &kv); err != nil {
					return fmt.Errorf("the value at revision %x: %w", k, err)
				}
				return nil
			})
		})
	})
}

// checkLog reads the segments of the log, and returns the one that is damaged. A last record
// that was not written to its end was not acknowledged, and is no damage.
func checkLog(segments []string, applied uint64) (file string, err error) {
	var last, committed uint64
	for i, path := range segments {
		l, c, err := readSegment(path)
		last, committed = max(last, l), max(committed, c)
		if err != nil && (i < len(segments)-1 || !errors.Is(err, io.ErrUnexpectedEOF)) {
			return path, err
		}
	}
	file = segments[len(segments)-1]
	if need := max(applied, committed); last < need {
		return file, fmt.Errorf("it ends at entry %d, and entry %d was applied", last, need)
	}
	return "", nil
}

// readSegment returns the indices of the last entry, or snapshot, and of the last one that
// was committed.
func readSegment(path string) (last, committed uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading it: %v", r)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		rec := &walpb.Record{}
		if err := decoder.Decode(rec); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return last, committed, err
		}
		switch rec.GetType() {
		case wal.CrcType:
			if sum := decoder.LastCRC(); sum != 0 && rec.Validate(sum) != nil {
				return last, committed, walpb.ErrCRCMismatch
			}
			decoder.UpdateCRC(rec.GetCrc())
		case wal.EntryType:
			last = wal.MustUnmarshalEntry(rec.GetData()).GetIndex()
		case wal.StateType:
			committed = wal.MustUnmarshalState(rec.GetData()).GetCommit()
		case wal.SnapshotType:
			var s walpb.Snapshot
			if err := proto.Unmarshal(rec.GetData(), &s); err != nil {
				return last, committed, err
			}
			last = max(last, s.GetIndex())
		}
	}
}
