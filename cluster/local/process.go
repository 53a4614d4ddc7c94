package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"wheelhouse/cluster/kubelet/network"
)

const (
	// Between SIGTERM and SIGKILL: a server writes its database, a shell often ignores SIGTERM.
	daemonGrace = 30 * time.Second
	otherGrace  = 5 * time.Second
)

// daemon is a process that should run.
type daemon struct {
	ID      string // "server", or the node's name with "node/" before it
	Role    string // "server" or "node"
	Node    string // in whose namespace it runs
	Address string
	Args    []string
	ns      string
	program string // from stamp
	sealed  bool
}

// running is the content of run/<id>.json about a started process. A pid alone is not
// enough: after a crash or a reboot it may be that of another process.
type running struct {
	ID      string   `json:"id"`
	Role    string   `json:"role"`
	Node    string   `json:"node"`
	Address string   `json:"address"`
	PID     int      `json:"pid"`
	Start   uint64   `json:"startTicks"` // since boot, as in /proc/PID/stat
	Boot    string   `json:"boot"`
	Args    []string `json:"args"`
	Program string   `json:"program"` // path, size and time of change
	Log     string   `json:"log"`
}

func (d daemon) file() string { return strings.ReplaceAll(d.ID, "/", "-") }

func pidFile(dir string, d daemon) string { return filepath.Join(dir, "run", d.file()+".json") }

// ensure starts the daemon, unless it runs already from the same program with the
// same arguments in the current namespace. The channel is closed when a process
// that was started here exits.
func ensure(ctx context.Context, cfg Config, d daemon) (r running, ended <-chan struct{}, err error) {
	r, err = readRunning(pidFile(cfg.dir(), d))
	old := []running{r}
	if err != nil { // its starter may have been killed before it wrote the record
		if old, err = d.strays(); err != nil {
			return r, nil, err
		}
	} else if r.state() != stateDead && r.Program == d.program && slices.Equal(r.Args, d.Args) && r.inNS(d.ns) {
		if d.sealed {
			err = bound(cgroupRoot, cfg.Name, r.PID)
		}
		return r, nil, err
	}
	if err := stop(ctx, old); err != nil {
		return r, nil, err
	}
	return launch(cfg, d)
}

// strays returns processes of the daemon that have no record.
func (d daemon) strays() ([]running, error) {
	list, err := unrecorded([]string{d.ns})
	list = slices.DeleteFunc(list, func(r running) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.PID))
		return err != nil || !sameDaemon(strings.Split(string(line), "\x00"), d.Args)
	})
	for i := range list {
		list[i].ID, list[i].Role = d.ID, d.Role // it has a daemon's time to exit
	}
	return list, err
}

// sameDaemon reports whether a command line is one of the daemon with these arguments, whatever its other flags are.
func sameDaemon(line, args []string) bool {
	const flag = "--state-dir"
	at, want := slices.Index(line, flag), slices.Index(args, flag)
	return at > 1 && want > 0 && len(line) > at+1 && line[1] == args[0] && line[at+1] == args[want+1]
}

// launch starts the program detached from this terminal and session, in the namespace,
// with its output redirected to its log.
func launch(cfg Config, d daemon) (r running, _ <-chan struct{}, err error) {
	for _, sub := range []string{"run", "log"} {
		if err := os.MkdirAll(filepath.Join(cfg.dir(), sub), 0o755); err != nil {
			return r, nil, err
		}
	}
	logPath := filepath.Join(cfg.dir(), "log", d.file()+".log")
	if st, err := os.Stat(logPath); err == nil && st.Size() > logLimit {
		if err := os.Rename(logPath, logPath+".1"); err != nil {
			return r, nil, err
		}
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return r, nil, err
	}
	defer log.Close()
	ns, err := netns.GetFromPath(filepath.Join(netnsDir, d.ns))
	if err != nil {
		return r, nil, fmt.Errorf("network namespace %s: %w", d.ns, err)
	}
	defer func() { _ = ns.Close() }()
	cmd := exec.Command(cfg.Binary, d.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.sealed {
		cmd.Env = append(os.Environ(), sealedEnv...)
	}
	if slices.Contains(d.Args, machineNSArg) {
		machine, err := machineNS()
		if err != nil {
			return r, nil, fmt.Errorf("the machine's network namespace: %w", err)
		}
		defer machine.Close()
		cmd.ExtraFiles = []*os.File{machine}
	}
	// Inherited file descriptors (a lock or pipe of a script) must not stay open as long as
	// the daemon runs. Files of this process are close-on-exec anyway.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		return r, nil, fmt.Errorf("marking inherited files: %w", err)
	}
	if err := network.Do(ns, cmd.Start); err != nil { // a new process is where its parent's thread is
		return r, nil, fmt.Errorf("starting %s: %w", d.ID, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the reason is in its log
		close(ended)
	}()
	r = running{ID: d.ID, Role: d.Role, Node: d.Node, Address: d.Address, PID: cmd.Process.Pid, Args: d.Args, Program: d.program, Log: logPath, Boot: bootID()}
	if d.sealed { // before its record: what has one is bounded
		err = bound(cgroupRoot, cfg.Name, r.PID)
	}
	if err == nil {
		_, r.Start, err = procStat(r.PID)
	}
	if err == nil {
		err = writeJSON(pidFile(cfg.dir(), d), r)
	}
	if err != nil {
		_ = cmd.Process.Kill() // without its record it could not be found
		return r, nil, fmt.Errorf("recording %s: %w", d.ID, err)
	}
	return r, ended, nil
}

func readRunning(path string) (r running, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// allRunning reads the records of a cluster's processes.
func allRunning(dir string) (list []running, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.json"))
	var errs []error
	for _, f := range files {
		r, err := readRunning(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f, err))
			continue
		}
		list = append(list, r)
	}
	return list, errors.Join(append(errs, err)...)
}

// States of a recorded process.
const (
	stateRunning = "running"
	stateStopped = "stopped" // by SIGSTOP, or not started
	stateDead    = "dead"
)

func (r running) state() string {
	state, start, err := procStat(r.PID)
	switch {
	case err != nil, start != r.Start, r.Boot != bootID(), state == 'Z', state == 'X':
		return stateDead
	case state == 'T', state == 't':
		return stateStopped
	}
	return stateRunning
}

// held returns an error if a signal or a debugger holds the process, which then does nothing.
func (r running) held() error {
	if r.state() != stateStopped {
		return nil
	}
	return fmt.Errorf("%s (pid %d) is stopped by a signal or a debugger: `kill -CONT %d` continues it", r.ID, r.PID, r.PID)
}

func (r running) inNS(name string) bool {
	own, err1 := nsInode(fmt.Sprintf("/proc/%d/ns/net", r.PID))
	want, err2 := nsInode(filepath.Join(netnsDir, name))
	return err1 == nil && err2 == nil && own == want
}

// procStat reads a process's state and start time (in ticks since boot). One whose first thread
// alone has exited runs: the others have its files and ports until they exit.
func procStat(pid int) (state byte, start uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the name in parentheses and may contain any character.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	state = fields[0][0]
	if threads, err := strconv.Atoi(fields[17]); err == nil && state == 'Z' && threads > 1 {
		state = 'R'
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return state, start, err
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// stop sends SIGTERM to all processes, and SIGKILL to those that do not exit.
func stop(ctx context.Context, list []running) error {
	alive := slices.DeleteFunc(slices.Clone(list), func(r running) bool { return r.state() == stateDead })
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		for _, r := range alive {
			if err := unix.Kill(r.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("stopping %s (pid %d): %w", r.ID, r.PID, err)
			}
			_ = unix.Kill(r.PID, unix.SIGCONT) // a stopped process does not get SIGTERM
		}
		sent := time.Now()
		err := wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, daemonGrace, true, func(context.Context) (bool, error) {
			alive = slices.DeleteFunc(alive, func(r running) bool { return r.state() == stateDead })
			daemons := slices.ContainsFunc(alive, func(r running) bool { return r.Role != "" })
			return !daemons && (len(alive) == 0 || time.Since(sent) > otherGrace), nil
		})
		if len(alive) == 0 || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%s (pid %d) does not exit after SIGKILL", alive[0].ID, alive[0].PID)
}

// unrecorded returns the processes in the named namespaces without a record: shells of `ssh`,
// or a daemon whose starter crashed. It omits this process and its parents, since down may
// run in a shell there.
func unrecorded(names []string) (list []running, err error) {
	inodes := map[uint64]string{}
	for _, name := range names {
		if path := filepath.Join(netnsDir, name); isNetNS(path) {
			ino, err := nsInode(path)
			if err != nil {
				return nil, err
			}
			inodes[ino] = name
		}
	}
	spare := map[int]bool{}
	for pid := os.Getpid(); pid > 0; pid = parent(pid) {
		spare[pid] = true
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		ino, err := nsInode(p + "/ns/net")
		if err != nil {
			continue // it has exited
		}
		pid, _ := strconv.Atoi(filepath.Base(p))
		if name, ok := inodes[ino]; ok && !spare[pid] {
			if _, start, err := procStat(pid); err == nil {
				list = append(list, running{ID: "process in " + name, PID: pid, Start: start, Boot: bootID()})
			}
		}
	}
	return list, err
}

func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}
