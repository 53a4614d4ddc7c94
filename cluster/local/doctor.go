package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	humanize "github.com/dustin/go-humanize"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/netfilter"
	"wheelhouse/cluster/osthread"
)

// Verdicts of a check.
const (
	OK   = "ok"
	Warn = "warn" // the cluster works, with a restriction
	Fail = "fail" // the cluster will not work
)

// Check is one requirement of a cluster on the machine.
type Check struct {
	Name   string `json:"name"`
	Result string `json:"result"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Doctor checks the machine and changes nothing on it.
func Doctor(ctx context.Context, cfg Config) ([]Check, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	var list []Check
	for _, f := range []func() Check{
		checkRoot,
		func() Check { return checkDocker(ctx) },
		checkCgroups,
		checkIPTables,
		func() Check { return checkForward(cfg) },
		checkBackends,
		checkFirewalls,
		checkPacketFeatures,
		checkSets,
		checkLinks,
		checkOverlay,
		func() Check { return checkDisk(cfg.StateDir) },
		func() Check { return checkFsync(cfg.StateDir) },
		checkInotify,
		func() Check { return checkClock(cfg.Binary) },
		func() Check { return checkAddresses(cfg) },
		func() Check { return checkOverlaps(cfg) },
		func() Check { return checkStorage(ctx, cfg) },
	} {
		list = append(list, f())
	}
	return list, nil
}

// Healthy reports whether nothing has failed.
func Healthy(list []Check) bool {
	return !slices.ContainsFunc(list, func(c Check) bool { return c.Result == Fail })
}

// PrintChecks writes a line for each check and one for each remedy.
func PrintChecks(out io.Writer, list []Check) {
	for _, c := range list {
		fmt.Fprintf(out, "%-5s %-16s %s\n", c.Result, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(out, "      %-16s -> %s\n", "", c.Remedy)
		}
	}
}

func check(name string, good bool, otherwise, found, remedy string) Check {
	if good {
		return Check{Name: name, Result: OK, Found: found}
	}
	return Check{Name: name, Result: otherwise, Found: found, Remedy: remedy}
}

func checkRoot() Check {
	return check("root", os.Geteuid() == 0, Fail, fmt.Sprintf("user id %d", os.Geteuid()), "run it with sudo")
}

// dockerTimeout is how long the Docker Engine may take to answer.
const dockerTimeout = 20 * time.Second

func checkDocker(ctx context.Context) Check {
	ctx, cancel := context.WithTimeout(ctx, dockerTimeout)
	defer cancel()
	version, err := dockerVersion(ctx)
	if err != nil {
		return Check{"docker", Fail, err.Error(), "apt-get install docker.io && systemctl start docker"}
	}
	return check("docker", versionAtLeast(version, 20, 10), Fail, "version "+version, "install Docker 20.10 or later (apt-get install docker.io)")
}

func versionAtLeast(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

func checkCgroups() Check {
	const remedy = "boot with cgroup_enable=memory cgroup_memory=1 (on a Raspberry Pi: in cmdline.txt)"
	need := []string{"cpu", "memory", "pids"}
	var have []string
	version := "2"
	if data, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		have = strings.Fields(string(data))
	} else {
		version = "1"
		data, err := os.ReadFile("/proc/cgroups")
		if err != nil {
			return Check{"cgroups", Fail, err.Error(), remedy}
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 4 && f[3] == "1" {
				have = append(have, f[0])
			}
		}
	}
	missing := slices.DeleteFunc(need, func(c string) bool { return slices.Contains(have, c) })
	found := "version " + version + ", with cpu, memory and pids"
	if len(missing) > 0 {
		found = fmt.Sprintf("version %s, without %s", version, strings.Join(missing, ", "))
	}
	return check("cgroups", len(missing) == 0, Fail, found, remedy)
}

func checkIPTables() Check {
	out, err := exec.Command("iptables", "--version").CombinedOutput()
	if err == nil {
		_, err = exec.LookPath("iptables-restore")
	}
	if err != nil {
		return Check{"iptables", Fail, strings.TrimSpace(string(out) + " " + err.Error()), "apt-get install iptables"}
	}
	return Check{"iptables", OK, strings.TrimSpace(string(out)), ""}
}

// checkPacketFeatures loads rules of each kind that the proxy uses, in a temporary namespace:
// that is more reliable than the list of kernel modules.
func checkPacketFeatures() Check {
	const rules = `*nat
:WH-TEST - [0:0]
-A WH-TEST -m comment --comment "test" -m statistic --mode random --probability 0.5 -j RETURN
-A WH-TEST -p tcp -m recent --name WH-TEST --set -m tcp -j DNAT --to-destination 127.0.0.1:1
-A WH-TEST -m addrtype --dst-type LOCAL -m mark ! --mark 0x4000/0x4000 -j MARK --set-xmark 0x4000/0x4000
-A POSTROUTING -j MASQUERADE
COMMIT
*filter
-A FORWARD -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable
COMMIT
`
	err := inScratch(func() error { return restoreRules(rules) })
	if err != nil {
		return Check{"packet rules", Fail, err.Error(), "modprobe -a nf_conntrack nf_nat xt_statistic xt_recent xt_addrtype xt_comment xt_MASQUERADE xt_REDIRECT ipt_REJECT"}
	}
	return Check{"packet rules", OK, "nat, conntrack, statistic, recent, addrtype, comment, REJECT, MASQUERADE work", ""}
}

// checkSets makes sets and rules of the kinds that network policies use, in a temporary namespace.
func checkSets() Check {
	const rules = `*mangle
-A FORWARD -p tcp -m multiport --dports 80,81:82 -m set --match-set WH-0 src -m set --match-set WH-1 dst -m set --match-set WH-2 dst,dst -j DROP
COMMIT
`
	err := inScratch(func() error {
		for i, kind := range []string{netfilter.Addresses, netfilter.Networks, netfilter.AddressPorts} {
			if err := netlink.IpsetCreate(fmt.Sprintf("WH-%d", i), kind, netlink.IpsetCreateOptions{}); err != nil {
				return fmt.Errorf("set of the type %s: %w", kind, err)
			}
		}
		return restoreRules(rules)
	})
	if err != nil {
		return Check{"packet sets", Warn, err.Error(), "modprobe -a ip_set ip_set_hash_ip ip_set_hash_net ip_set_hash_ipport xt_set xt_multiport (without, no network policy is enforced)"}
	}
	return Check{"packet sets", OK, "rules with sets of addresses, networks and ports work", ""}
}

// restoreRules writes rules in the namespace of the thread.
func restoreRules(rules string) error {
	cmd := exec.Command("iptables-restore")
	cmd.Stdin = strings.NewReader(rules)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

func checkLinks() Check {
	err := inScratch(func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}); err != nil {
			return fmt.Errorf("veth: %w", err)
		}
		_, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables")
		return err
	})
	if err != nil {
		return Check{"links", Fail, err.Error(), "modprobe -a bridge veth br_netfilter"}
	}
	return Check{"links", OK, "network namespaces, bridge, br_netfilter and veth work", ""}
}

// inScratch runs f on a thread in a temporary network namespace.
func inScratch(f func() error) (err error) {
	osthread.Apart(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("network namespace: %w", err)
			return
		}
		err = f()
	})
	return err
}

func checkOverlay() Check {
	data, err := os.ReadFile("/proc/filesystems")
	return check("overlay", err == nil && strings.Contains(string(data), "\toverlay\n"), Warn,
		"overlay file system in the kernel", "modprobe overlay (Docker would copy whole images instead)")
}

// nearestExisting returns the nearest directory that exists.
func nearestExisting(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func checkDisk(dir string) Check {
	const need = 2 << 30
	var fs unix.Statfs_t
	if err := unix.Statfs(nearestExisting(dir), &fs); err != nil {
		return Check{"disk", Fail, err.Error(), "choose another --state-dir"}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	return check("disk", free > need, Warn, fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), nearestExisting(dir)), "free at least 2 GiB (docker system prune)")
}

// checkFsync measures fsync, which every acknowledged write of etcd waits for.
func checkFsync(dir string) Check {
	f, err := os.CreateTemp(nearestExisting(dir), ".wheelhouse-doctor-*")
	if err != nil {
		return Check{"fsync", Fail, err.Error(), "run it with sudo, or choose another --state-dir"}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()
	times := make([]time.Duration, 0, 50)
	for range cap(times) {
		began := time.Now()
		_, err := f.Write(make([]byte, 4096))
		if err == nil {
			err = unix.Fdatasync(int(f.Fd()))
		}
		if err != nil {
			return Check{"fsync", Fail, err.Error(), "choose another --state-dir"}
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	median, worst := times[len(times)/2], times[len(times)-1]
	return check("fsync", median < 10*time.Millisecond, Warn,
		fmt.Sprintf("median %.1f ms, worst %.1f ms of %d", ms(median), ms(worst), len(times)), "use an SSD or another --state-dir: etcd waits for the disk at each write")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func checkInotify() Check {
	read := func(name string) int {
		data, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		return n
	}
	instances, watches := read("max_user_instances"), read("max_user_watches")
	return check("inotify", instances >= 128 && watches >= 8192, Warn, fmt.Sprintf("%d instances, %d watches", instances, watches),
		"sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536")
}

// checkClock compares the clock with the program's modification time: the clock of a Pi
// without a battery starts in 1970, when no certificate is valid.
func checkClock(binary string) Check {
	now := time.Now()
	st, err := os.Stat(binary)
	behind := err == nil && now.Before(st.ModTime().Add(-time.Hour))
	return check("clock", !behind, Fail, now.Format(time.RFC3339), "set the clock (timedatectl set-ntp true): it is behind this program's own date")
}

func checkAddresses(cfg Config) Check {
	rec, err := load(cfg.dir())
	if err != nil { // not started yet: check those that it would get
		rec.Subnets, err = choose(cfg)
		if err != nil {
			return Check{"addresses", Fail, err.Error(), "remove the route, or choose other networks: wheelhouse up --networks NODES,PODS,SERVICES"}
		}
		return Check{"addresses", OK, fmt.Sprintf("free: nodes %s, pods %s, services %s", rec.Subnets.LAN, rec.Subnets.Pods, rec.Subnets.Services), ""}
	}
	routes, err := routed(hostLink(cfg.Name), outsideLink(cfg.Name))
	if err != nil {
		return Check{"addresses", Fail, err.Error(), "run doctor as root"}
	}
	if ours, other := clash(rec.Subnets, routes); other.IsValid() {
		return Check{"addresses", Fail, fmt.Sprintf("%s of the cluster clashes with %s, which the machine has or needs elsewhere", ours, other), "wheelhouse down, then up, which chooses other networks (or --networks NODES,PODS,SERVICES)"}
	}
	return Check{"addresses", OK, fmt.Sprintf("no clash: nodes %s, pods %s, services %s", rec.Subnets.LAN, rec.Subnets.Pods, rec.Subnets.Services), ""}
}

// checkStorage checks a cluster that runs; without one there is nothing to check.
func checkStorage(ctx context.Context, cfg Config) Check {
	s, err := storage(ctx, KubeconfigPath(cfg.Name, cfg.StateDir))
	if err != nil {
		return Check{Name: "database", Result: OK, Found: "no cluster runs"}
	}
	found := fmt.Sprintf("%s of %s in use, %s free on the disk", humanize.IBytes(uint64(s.InUse)), humanize.IBytes(uint64(s.Quota)), humanize.IBytes(uint64(s.DiskFree)))
	if s.Refusing != "" {
		return Check{"database", Fail, found, s.Refusing}
	}
	return check("database", s.Warning == "", Warn, found, s.Warning)
}
