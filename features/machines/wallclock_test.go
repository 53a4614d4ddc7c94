//go:build machines

package machines

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// wallClocks sets the wall clock of processes: their timers are by the monotonic clock, as on a machine whose clock is set. A
// process asks the code that the kernel maps into it (vDSO); that is replaced, in this process alone.
type wallClocks struct {
	mu        sync.Mutex
	seconds   int64         // by which they are ahead
	on        bool          // set was called
	processes map[int]int64 // where each has that number
}

// clockCode is clock_gettime as a system call, which adds the number behind it to CLOCK_REALTIME: mov eax, 228; syscall; test
// edi, edi; jne 1f; mov rcx, [rip+6]; add [rsi], rcx; 1: ret; twice nop.
var clockCode = []byte{0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x0a, 0x48, 0x8b, 0x0d, 0x06, 0, 0, 0, 0x48, 0x01, 0x0e, 0xc3, 0x90, 0x90, 0, 0, 0, 0, 0, 0, 0, 0}

const clockNumber = 24 // its offset in clockCode

// start starts a command whose program is called name in the end, with the clock.
func (w *wallClocks) start(c *exec.Cmd, name string) error {
	runtime.LockOSThread() // that traces
	defer runtime.UnlockOSThread()
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return err
	}
	pid := c.Process.Pid
	for { // it stops at each program that replaces it
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
		if !status.Stopped() {
			return fmt.Errorf("%s ended before it began: %v", name, status)
		}
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			return err
		}
		if strings.HasSuffix(exe, "/"+name) {
			break
		}
		if err := syscall.PtraceCont(pid, 0); err != nil {
			return err
		}
	}
	err := w.replace(pid)
	return errors.Join(err, syscall.PtraceDetach(pid))
}

// used reports whether the clock was ever set.
func (w *wallClocks) used() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.on
}

// replace puts clockCode into a process that is stopped.
func (w *wallClocks) replace(pid int) error {
	start, size, err := vdso(pid)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	image := make([]byte, size)
	if _, err := mem.ReadAt(image, start); err != nil {
		return fmt.Errorf("reading the vDSO: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		at := start + int64(s.Value)
		w.mu.Lock()
		defer w.mu.Unlock()
		code := bytes.Clone(clockCode)
		binary.LittleEndian.PutUint64(code[clockNumber:], uint64(w.seconds))
		if w.processes == nil {
			w.processes = map[int]int64{}
		}
		w.processes[pid] = at + clockNumber
		_, err := mem.WriteAt(code, at)
		return err
	}
	return errors.New("the vDSO has no clock_gettime")
}

// vdso is where a process has it.
func vdso(pid int) (start, size int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			var end int64
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end - start, err
		}
	}
	return 0, 0, errors.New("the process has no vDSO")
}

// set sets the clocks of the processes that run and of those to come.
func (w *wallClocks) set(t testing.TB, seconds int64) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the code that sets a process's clock is that of amd64")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seconds, w.on = seconds, true
	for pid, at := range w.processes {
		mem, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/mem", os.O_RDWR, 0)
		if err != nil { // it has ended
			delete(w.processes, pid)
			continue
		}
		_, err = mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(seconds)), at)
		_ = mem.Close() // all is written
		if err != nil {
			delete(w.processes, pid) // likewise
		}
	}
}
