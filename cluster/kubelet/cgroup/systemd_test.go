package cgroup

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// manager is systemd as its clients on D-Bus see it: slices with properties, jobs that end at
// once. It speaks the protocol over pipes.
type manager struct {
	t *testing.T

	mu     sync.Mutex
	slices map[string]map[string]any
	conns  []net.Conn
	jobs   uint32
	dials  int
}

// dial connects a client.
func (m *manager) dial(context.Context) (*dbus.Conn, error) {
	m.mu.Lock()
	m.dials++
	m.mu.Unlock()
	return dbus.NewConnection(func() (*godbus.Conn, error) {
		client, server := net.Pipe()
		m.mu.Lock()
		m.conns = append(m.conns, server)
		m.mu.Unlock()
		go m.serve(server)
		conn, err := godbus.NewConn(client)
		if err != nil {
			return nil, err
		}
		return conn, conn.Auth([]godbus.Auth{godbus.AuthExternal("root")})
	})
}

func (m *manager) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for { // the handshake is in lines
		line, err := r.ReadString('\n')
		switch line = strings.Trim(line, "\x00\r\n"); {
		case err != nil:
			return
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			fmt.Fprint(conn, "OK 0123456789abcdef0123456789abcdef\r\n")
		case line == "BEGIN":
			m.serveCalls(conn, r)
			return
		case strings.HasPrefix(line, "AUTH"):
			fmt.Fprint(conn, "REJECTED EXTERNAL\r\n")
		default:
			fmt.Fprint(conn, "ERROR\r\n")
		}
	}
}

func (m *manager) serveCalls(conn net.Conn, r *bufio.Reader) {
	for {
		call, err := godbus.DecodeMessage(r)
		if err != nil {
			return
		}
		member, _ := call.Headers[godbus.FieldMember].Value().(string)
		m.mu.Lock()
		body, failed, job := m.call(member, call.Body)
		reply := &godbus.Message{Type: godbus.TypeMethodReply, Body: body, Headers: map[godbus.HeaderField]godbus.Variant{
			godbus.FieldReplySerial: godbus.MakeVariant(call.Serial()),
		}}
		if failed != "" {
			reply.Type = godbus.TypeError
			reply.Headers[godbus.FieldErrorName] = godbus.MakeVariant("org.freedesktop.systemd1." + failed)
		}
		m.send(conn, reply)
		if job != "" {
			signal := &godbus.Message{Type: godbus.TypeSignal, Body: []any{m.jobs, m.job(), job, "done"}, Headers: map[godbus.HeaderField]godbus.Variant{
				godbus.FieldPath:      godbus.MakeVariant(godbus.ObjectPath("/org/freedesktop/systemd1")),
				godbus.FieldInterface: godbus.MakeVariant("org.freedesktop.systemd1.Manager"),
				godbus.FieldMember:    godbus.MakeVariant("JobRemoved"),
			}}
			for _, c := range m.conns {
				m.send(c, signal)
			}
		}
		m.mu.Unlock()
	}
}

func (m *manager) job() godbus.ObjectPath {
	return godbus.ObjectPath(fmt.Sprint("/org/freedesktop/systemd1/job/", m.jobs))
}

func (m *manager) send(conn net.Conn, message *godbus.Message) {
	if len(message.Body) > 0 {
		message.Headers[godbus.FieldSignature] = godbus.MakeVariant(godbus.SignatureOf(message.Body...))
	}
	_ = message.EncodeTo(conn, binary.LittleEndian) // a client may have left
}

// call returns the result of a method, the name of its error, and the unit of the job that it
// has started.
func (m *manager) call(member string, args []any) (body []any, failed, job string) {
	unit := ""
	if len(args) > 0 {
		unit, _ = args[0].(string)
	}
	have, known := m.slices[unit]
	set := func(list any) {
		for _, p := range list.([][]any) {
			have[p[0].(string)] = p[1].(godbus.Variant).Value()
		}
	}
	switch member {
	case "StartTransientUnit":
		if known {
			return nil, "UnitExists", ""
		}
		have = map[string]any{}
		m.slices[unit] = have
		set(args[2])
	case "SetUnitProperties":
		if !known {
			return nil, "NoSuchUnit", ""
		}
		if runtime, _ := args[1].(bool); !runtime {
			m.t.Errorf("the properties of %s outlive a reboot", unit)
		}
		set(args[2])
		return nil, "", ""
	case "StopUnit":
		if !known {
			return nil, "NoSuchUnit", ""
		}
		delete(m.slices, unit)
	case "ListUnitsByPatterns":
		type status struct {
			Name, Description, Load, Active, Sub, Followed string
			Path                                           godbus.ObjectPath
			JobID                                          uint32
			JobType                                        string
			JobPath                                        godbus.ObjectPath
		}
		list := []status{}
		for name := range m.slices {
			for _, pattern := range args[1].([]string) {
				if ok, _ := filepath.Match(pattern, name); ok {
					list = append(list, status{Name: name, Path: "/unit", JobPath: "/"})
				}
			}
		}
		return []any{list}, "", ""
	default: // AddMatch and the like
		return nil, "", ""
	}
	m.jobs++
	return []any{m.job()}, "", unit
}

func (m *manager) get(slice string) map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.slices[slice])
}

func testSystemd(t *testing.T, unified bool) (*manager, *Systemd) {
	t.Helper()
	m := &manager{t: t, slices: map[string]map[string]any{}}
	s := &Systemd{unified: unified, dial: m.dial}
	t.Cleanup(func() {
		if s.conn != nil {
			s.conn.Close()
		}
	})
	return m, s
}

// The limits of a slice are properties of its unit, which `systemctl daemon-reload` keeps, and
// in its files; a group that is no slice is systemd's in no way.
func TestLimitsAreProperties(t *testing.T) {
	const unit = "wheelhouse-c-n-kubepods-podu.slice"
	limits := Limits{CPUShares: 512, CPUQuota: 12_345, CPUPeriod: 100_000, Memory: 1 << 27, Pids: 9, NoSwap: true}
	const none = uint64(1<<64 - 1)
	for _, c := range []struct {
		files      map[string]string
		quota      string
		quotaValue string
		want, free map[string]any
	}{
		{
			map[string]string{"cgroup.controllers": "cpu memory pids\n", unit + "/cpu.weight": "100\n", unit + "/cpu.max": "max 100000\n", unit + "/memory.max": "max\n", unit + "/pids.max": "max\n"},
			unit + "/cpu.max", "13000 100000",
			map[string]any{"CPUWeight": uint64(20), "CPUQuotaPerSecUSec": uint64(130_000), "CPUQuotaPeriodUSec": uint64(100_000), "MemoryMax": uint64(1 << 27), "MemorySwapMax": uint64(0), "TasksMax": uint64(9)},
			map[string]any{"CPUWeight": uint64(1), "CPUQuotaPerSecUSec": none, "CPUQuotaPeriodUSec": uint64(100_000), "MemoryMax": none, "TasksMax": none},
		},
		{
			map[string]string{
				"cpu/" + unit + "/cpu.shares": "1024\n", "cpu/" + unit + "/cpu.cfs_period_us": "100000\n", "cpu/" + unit + "/cpu.cfs_quota_us": "-1\n",
				"memory/" + unit + "/memory.limit_in_bytes": "9223372036854771712\n", "pids/" + unit + "/pids.max": "max\n",
			},
			"cpu/" + unit + "/cpu.cfs_quota_us", "13000",
			map[string]any{"CPUShares": uint64(512), "CPUQuotaPerSecUSec": uint64(130_000), "CPUQuotaPeriodUSec": uint64(100_000), "MemoryLimit": uint64(1 << 27), "TasksMax": uint64(9)},
			map[string]any{"CPUShares": uint64(2), "CPUQuotaPerSecUSec": none, "CPUQuotaPeriodUSec": uint64(100_000), "MemoryLimit": none, "TasksMax": none},
		},
	} {
		root := tree(t, c.files)
		g := At(root)
		m, s := testSystemd(t, g.Unified())
		g.systemd = s
		if err := s.Start(t.Context(), unit); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context(), unit); err != nil {
			t.Errorf("a slice that exists: %v", err)
		}
		// As at the start of a pod; at a resize; and when there is nothing to do.
		for i, step := range []struct {
			limits  Limits
			want    map[string]any
			changed bool
		}{{limits, c.want, true}, {Limits{}, c.free, true}, {limits, c.want, true}, {limits, c.want, false}} {
			if !step.changed {
				m.mu.Lock()
				m.slices[unit] = map[string]any{} // must not be set again
				m.mu.Unlock()
				step.want = map[string]any{}
			}
			if changed, err := g.Limit(t.Context(), "/"+unit, step.limits); err != nil || changed != step.changed {
				t.Fatalf("step %d: changed: %v; %v", i, changed, err)
			}
			have := m.get(unit)
			for name, want := range step.want {
				if have[name] != want {
					t.Errorf("step %d: %s is %v, want %v", i, name, have[name], want)
				}
			}
			if !step.changed && len(have) > 0 {
				t.Errorf("what is so already is set again: %v", have)
			}
		}
		if got, err := os.ReadFile(filepath.Join(root, c.quota)); err != nil || string(got) != c.quotaValue {
			t.Errorf("%s: %q, want %q, %v", c.quota, got, c.quotaValue, err)
		}
		// systemctl daemon-reload writes what the unit has: nothing differs then.
		if _, err := g.Limit(t.Context(), "/missing.slice", limits); err == nil {
			t.Error("a slice that is not there can be limited")
		}
	}
}

// A slice is stopped by its path or its name alone, as systemd stops none that is empty.
func TestSlicesAreStopped(t *testing.T) {
	m, s := testSystemd(t, true)
	g := Groups{root: t.TempDir(), unified: true, systemd: s}
	names := []string{"wheelhouse.slice", "wheelhouse-a.slice", "wheelhouse-a-n.slice", "wheelhouse-a-n-kubepods-podu.slice", "wheelhouse-a-n-kubepods-podv.slice", "wheelhouse-a-m.slice", "wheelhouse-a_b.slice", "other.slice"}
	for _, name := range names {
		if err := s.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	left := func() []string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.Sorted(maps.Keys(m.slices))
	}
	for _, path := range []string{"wheelhouse-a-n-kubepods-podu.slice", "/wheelhouse.slice/wheelhouse-a.slice/wheelhouse-a-n-kubepods-podv.slice", "gone.slice"} {
		if err := g.Remove(t.Context(), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got := left(); len(got) != len(names)-2 {
		t.Errorf("left: %v", got)
	}
	for _, c := range []struct {
		group string
		want  []string
	}{
		{"/wheelhouse/a/n", []string{"other.slice", "wheelhouse-a-m.slice", "wheelhouse-a.slice", "wheelhouse-a_b.slice", "wheelhouse.slice"}},
		{"/wheelhouse/a/m", []string{"other.slice", "wheelhouse-a_b.slice", "wheelhouse.slice"}},
		{"/wheelhouse/a", []string{"other.slice", "wheelhouse-a_b.slice", "wheelhouse.slice"}},
		{"/wheelhouse/a-b", []string{"other.slice"}},
		{"/wheelhouse/a-b", []string{"other.slice"}},
	} {
		if err := s.StopAll(t.Context(), c.group); err != nil {
			t.Error(err)
		}
		if got := left(); !slices.Equal(got, c.want) {
			t.Errorf("after %s: %v, want %v", c.group, got, c.want)
		}
	}
	// A restarted systemd or bus breaks the connection.
	m.mu.Lock()
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
	m.mu.Unlock()
	if err := s.Stop(t.Context(), "other.slice"); err != nil || slices.Contains(left(), "other.slice") || m.dials < 2 {
		t.Errorf("after a lost connection: %v, %v left, %d connections", err, left(), m.dials)
	}
}
