package nodefs

import (
	"os"

	"golang.org/x/sys/unix"
)

// usageOf adds up the blocks of all files below path on its file system. A file with several
// names counts once. Pods may change what is walked: no link is followed, however deep the
// directories are only one is open, and each is read only once.
func usageOf(path string) Usage {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return Usage{}
	}
	w := walker{device: st.Dev, seen: map[uint64]bool{}}
	w.count(&st)
	dir, err := openDir(unix.AT_FDCWD, path)
	if err != nil {
		return w.sum
	}
	for w.enter(dir); len(w.above) > 0; {
		if dir = w.next(dir); dir == nil {
			break
		}
	}
	if dir != nil {
		dir.Close()
	}
	return w.sum
}

type walker struct {
	sum    Usage
	device uint64
	seen   map[uint64]bool // files with several names
	above  []level         // from the top to the directory that is open
}

// level is a directory that is being walked.
type level struct {
	inode uint64
	ahead []string // the directories in it that are to be entered
}

func (w *walker) count(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if w.seen[st.Ino] {
			return
		}
		w.seen[st.Ino] = true
	}
	w.sum.Add(Usage{st.Blocks * 512, 1})
}

// enter counts what is in a directory, which becomes the one that is open.
func (w *walker) enter(dir *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) != nil || st.Dev != w.device {
		w.above = append(w.above, level{})
		return
	}
	here := level{inode: st.Ino}
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Dev != w.device {
				continue // it was removed meanwhile, or is mounted there
			}
			w.count(&st)
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				here.ahead = append(here.ahead, name)
			}
		}
		if err != nil || len(names) == 0 {
			w.above = append(w.above, here)
			return
		}
	}
}

// next enters a directory in the one that is open, or leaves that. It returns the one that is
// open then, nil if that is not where it was: the rest is not counted.
func (w *walker) next(dir *os.File) *os.File {
	here := &w.above[len(w.above)-1]
	if n := len(here.ahead); n > 0 {
		name := here.ahead[n-1]
		here.ahead = here.ahead[:n-1]
		below, err := openDir(int(dir.Fd()), name)
		if err != nil {
			return dir
		}
		dir.Close()
		w.enter(below)
		return below
	}
	if w.above = w.above[:len(w.above)-1]; len(w.above) == 0 {
		return dir
	}
	up, err := openDir(int(dir.Fd()), "..")
	dir.Close()
	var st unix.Stat_t
	if err != nil {
		return nil
	}
	if unix.Fstat(int(up.Fd()), &st) != nil || st.Ino != w.above[len(w.above)-1].inode || st.Dev != w.device {
		up.Close()
		return nil
	}
	return up
}
