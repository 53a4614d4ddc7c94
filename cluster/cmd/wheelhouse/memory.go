package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/store/etcd"
)

// settleAfter is when a process has done what its start needs.
const settleAfter = 30 * time.Second

// settle returns to the machine, once, the memory that only the start of a server or node needs: the heap, which
// the runtime would keep for the next time, and the pages of the program.
func settle(ctx context.Context, log *slog.Logger) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(settleAfter):
	}
	debug.FreeOSMemory()
	if err := releaseProgram(); err != nil {
		log.Warn("the memory of the start is kept", "err", err)
	}
	return nil
}

// releaseProgram unmaps the pages of the program's file; what runs maps its own again, from the page cache. A start
// touches two thirds of them, and then most of the resident memory of a node is code that it does not run.
func releaseProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	var from, to uintptr
	var clean bool // nothing of the mapping differs from the file, as does what a dynamic linker has relocated
	for line := range strings.Lines(string(maps)) {
		switch fields := strings.Fields(line); {
		case !strings.HasSuffix(fields[0], ":"): // range, access, offset, device, inode, path
			clean = len(fields) == 6 && fields[5] == program && !strings.Contains(fields[1], "w")
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
				return fmt.Errorf("reading a mapping: %w", err)
			}
		case fields[0] == "Anonymous:" || fields[0] == "Swap:":
			clean = clean && fields[1] == "0"
		case fields[0] == "VmFlags:" && clean: // the last line of a mapping
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("unmapping the program: %w", errno)
			}
		}
	}
	return nil
}

// nodeGCPercent is a node's GOGC: it has little to do, on machines with little memory.
const nodeGCPercent = 50

// collectEarly sets the garbage collector of a node, unless the user has set it.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(nodeGCPercent)
	}
}

// smallLimit is the limit of memory (GOMEMLIMIT) below which a machine is small; kube-config sets one there.
const smallLimit = 512 << 20

// etcdTick returns the tick of the embedded etcd: on a small machine its wake-ups cost more than a longer start.
func etcdTick() time.Duration {
	if debug.SetMemoryLimit(-1) < smallLimit {
		return 10 * etcd.DefaultTick
	}
	return etcd.DefaultTick
}
