package cgroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// Where the container runtime's driver is systemd, the groups above containers are slices. Their
// limits are properties of units: what is written into files alone is gone with the next
// `systemctl daemon-reload`, which the installation of a package does. systemd stops no slice
// that nothing is in.

// systemdTimeout is how long systemd may take for a call.
const systemdTimeout = 30 * time.Second

// Units are the units of systemd, as *dbus.Conn has them.
type Units interface {
	StartTransientUnitContext(ctx context.Context, name, mode string, properties []dbus.Property, done chan<- string) (int, error)
	SetUnitPropertiesContext(ctx context.Context, name string, runtime bool, properties ...dbus.Property) error
	StopUnitContext(ctx context.Context, name, mode string, done chan<- string) (int, error)
	ListUnitsByPatternsContext(ctx context.Context, states, patterns []string) ([]dbus.UnitStatus, error)
	Connected() bool
	Close()
}

// Systemd makes, limits and stops slices. It connects when it is first used, and again when the
// connection has broken. Its methods may be called concurrently.
type Systemd struct {
	unified bool
	dial    func(context.Context) (*dbus.Conn, error)

	mu   sync.Mutex
	conn Units
}

// NewSystemd is the machine's systemd. unified is for control groups of version 2.
func NewSystemd(unified bool) *Systemd {
	return &Systemd{unified: unified, dial: func(ctx context.Context) (*dbus.Conn, error) {
		return dbus.NewWithContext(context.WithoutCancel(ctx)) // the connection outlasts the call
	}}
}

// IsSlice reports whether a group is one of systemd's slices, by its path or name.
func IsSlice(path string) bool { return strings.HasSuffix(path, ".slice") }

// SystemdRuns reports whether systemd manages this machine, as sd_booted does.
func SystemdRuns() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// call runs f with a connection. A restart of systemd or of the bus breaks that, which shows at
// the next use only: then f runs once more, with another. What f asks for may be done twice.
func (s *Systemd) call(ctx context.Context, doing string, f func(context.Context, Units) error) error {
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	conn, err := s.connection(ctx, nil)
	if err == nil {
		err = f(ctx, conn)
	}
	if answered := new(godbus.Error); err != nil && conn != nil && ctx.Err() == nil && !errors.As(err, answered) {
		if conn, err = s.connection(ctx, conn); err == nil {
			err = f(ctx, conn)
		}
	}
	if err != nil {
		return fmt.Errorf("systemd: %s: %w", doing, err)
	}
	return nil
}

// connection returns one that is not broken, which is another than that one.
func (s *Systemd) connection(ctx context.Context, broken Units) (Units, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && (s.conn == broken || !s.conn.Connected()) {
		s.conn.Close()
		s.conn = nil
	}
	if s.conn == nil {
		conn, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	return s.conn, nil
}

// Start makes a slice that is gone when it is stopped, and those above it; one that exists stays.
func (s *Systemd) Start(ctx context.Context, slice string) error {
	return s.call(ctx, "start "+slice, func(ctx context.Context, units Units) error {
		properties := []dbus.Property{
			dbus.PropDescription("pods of wheelhouse"), property("DefaultDependencies", false),
			property("CPUAccounting", true), property("MemoryAccounting", true), property("TasksAccounting", true),
		}
		err := finished(ctx, func(done chan<- string) (int, error) {
			return units.StartTransientUnitContext(ctx, slice, "replace", properties, done)
		})
		if isError(err, "org.freedesktop.systemd1.UnitExists") {
			return nil
		}
		return err
	})
}

// Limit makes limits properties of a slice, until the machine reboots.
func (s *Systemd) Limit(ctx context.Context, slice string, l Limits) error {
	return s.call(ctx, "limit "+slice, func(ctx context.Context, units Units) error {
		return units.SetUnitPropertiesContext(ctx, slice, true, s.properties(l)...)
	})
}

// Stop stops a slice; one that is not there is no error.
func (s *Systemd) Stop(ctx context.Context, slice string) error {
	return s.call(ctx, "stop "+slice, func(ctx context.Context, units Units) error {
		err := finished(ctx, func(done chan<- string) (int, error) { return units.StopUnitContext(ctx, slice, "replace", done) })
		if isError(err, "org.freedesktop.systemd1.NoSuchUnit") {
			return nil
		}
		return err
	})
}

// StopAll stops the slices of a group in cgroupfs and of all below it, such as
// /wheelhouse/CLUSTER/NODE, those below others first, and each above it with the last below.
func (s *Systemd) StopAll(ctx context.Context, group string) error {
	own := SliceOf(group)
	names, err := s.list(ctx, own, strings.TrimSuffix(own, ".slice")+"-*.slice")
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, s.Stop(ctx, name))
	}
	for above := path.Dir(group); len(names) > 0 && above != "/"; above = path.Dir(above) {
		slice := SliceOf(above)
		if left, err := s.list(ctx, strings.TrimSuffix(slice, ".slice")+"-*.slice"); err != nil || len(left) > 0 {
			break
		}
		errs = append(errs, s.Stop(ctx, slice))
	}
	return errors.Join(errs...)
}

// list lists the slices of patterns, as systemctl has them.
func (s *Systemd) list(ctx context.Context, patterns ...string) (names []string, err error) {
	err = s.call(ctx, "list units", func(ctx context.Context, units Units) error {
		list, err := units.ListUnitsByPatternsContext(ctx, nil, patterns)
		for _, u := range list {
			if IsSlice(u.Name) {
				names = append(names, u.Name)
			}
		}
		return err
	})
	return names, err
}

// finished starts a job and waits for its end.
func finished(ctx context.Context, start func(done chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := start(done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("the job is %s", result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isError(err error, name string) bool {
	var failed godbus.Error
	return errors.As(err, &failed) && failed.Name == name
}

func property(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// properties are limits as properties of a unit.
func (s *Systemd) properties(l Limits) []dbus.Property {
	orNone := func(n int64) uint64 {
		if n <= 0 {
			return math.MaxUint64
		}
		return uint64(n)
	}
	period := max(l.CPUPeriod, defaultPeriod)
	perSecond := int64(0)
	if l.CPUQuota > 0 {
		perSecond = l.CPUQuota * 1_000_000 / period
	}
	out := []dbus.Property{
		property("CPUQuotaPerSecUSec", orNone(perSecond)), property("CPUQuotaPeriodUSec", uint64(period)), property("TasksMax", orNone(l.Pids)),
	}
	if s.unified {
		if l.NoSwap {
			out = append(out, property("MemorySwapMax", uint64(0)))
		}
		return append(out, property("CPUWeight", uint64(weight(l.CPUShares))), property("MemoryMax", orNone(l.Memory)))
	}
	return append(out, property("CPUShares", uint64(max(l.CPUShares, 2))), property("MemoryLimit", orNone(l.Memory)))
}

// wholePercent rounds the quota of CPU up to what systemd can have, a hundredth of a processor.
func wholePercent(l Limits) Limits {
	if l.CPUQuota <= 0 {
		return l
	}
	period := max(l.CPUPeriod, defaultPeriod)
	percent := (l.CPUQuota*100 + period - 1) / period
	l.CPUQuota = (percent*period + 99) / 100
	return l
}

// SliceOf is the slice that stands for a group in cgroupfs: its name spells the path with
// dashes, so dashes inside a part are underscores.
func SliceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "-", "_")
	}
	return strings.Join(parts, "-") + ".slice"
}

// slicePath is the path of a slice: it lies in those whose names are the beginnings of its own.
func slicePath(slice string) string {
	parts, path := strings.Split(strings.TrimSuffix(slice, ".slice"), "-"), "/"
	for i := range parts {
		path += strings.Join(parts[:i+1], "-") + ".slice/"
	}
	return strings.TrimSuffix(path, "/")
}
