package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lock creates the directory and waits until no other wheelhouse process has locked it,
// which is named on out. It does not wait for one that is stopped by a signal.
func lock(ctx context.Context, dir string, out io.Writer) (unlock func(), err error) {
	named := 0
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		f, err := os.Open(dir)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		held, err1 := f.Stat()
		now, err2 := os.Stat(dir)
		if err == nil && err1 == nil && err2 == nil && os.SameFile(held, now) {
			return func() { f.Close() }, nil
		}
		f.Close() // held by another, or removed meanwhile
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		if err == nil {
			continue
		}
		pid := holder(held)
		if state, _, err := procStat(pid); err == nil && (state == 'T' || state == 't') {
			return nil, fmt.Errorf("another wheelhouse (pid %d) works on %s and is stopped by a signal or a debugger: `kill -CONT %d` continues it", pid, dir, pid)
		}
		if pid != 0 && pid != named {
			fmt.Fprintf(out, "  waiting for another wheelhouse (pid %d), which works on %s\n", pid, dir)
			named = pid
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another wheelhouse (pid %d), which works on %s: %w", pid, dir, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// holder returns the process with a lock on a file, 0 if none is found.
func holder(file fs.FileInfo) int {
	st, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	locks, _ := os.ReadFile("/proc/locks") // without it nobody is named
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == id {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}

// claim loads the cluster's record, or creates one with free address blocks, and updates the
// number of nodes and whether the cluster serves a class.
func claim(ctx context.Context, cfg Config, out io.Writer) (r record, before int, err error) {
	unlock, err := lock(ctx, cfg.StateDir, out) // two new clusters must not choose the same block
	if err != nil {
		return r, 0, err
	}
	defer unlock()
	r, err = load(cfg.dir())
	found := err == nil
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r = record{Name: cfg.Name}
		if r.Subnets, err = choose(cfg); err != nil {
			return r, 0, err
		}
	case err != nil:
		return r, 0, err
	}
	before, r.Nodes = r.Nodes, cfg.Nodes
	if cfg.Class != nil {
		r.Class = *cfg.Class
	}
	if cfg.Pool != nil {
		if err := r.Subnets.balancers(*cfg.Pool); err != nil {
			return r, 0, err
		}
		r.Pool = *cfg.Pool
	}
	if cfg.Isolated != nil {
		r.Isolated = *cfg.Isolated
	}
	if cfg.Mirror != nil {
		r.Mirror = *cfg.Mirror
	}
	if err := r.seal(cfg, found); err != nil {
		return r, 0, err
	}
	if err := r.checkMirror(ctx, cfg.AllowHostAccess); err != nil {
		return r, 0, err
	}
	return r, before, r.save(cfg.dir())
}
