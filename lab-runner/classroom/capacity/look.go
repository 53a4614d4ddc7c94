package capacity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Place says what is looked at.
type Place struct {
	Data   []string             // directories of containers and of the cluster; those that are missing are left out
	Listen string               // the class's address
	Client kubernetes.Interface // nil: there is no cluster yet
}

// Look gathers the figures of this machine and of the cluster.
func Look(ctx context.Context, p Place) Facts {
	f := OfMachine(p.Data)
	f.Port = p.Listen
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Listen)
	if f.Listen = err; err == nil {
		_ = l.Close()
	}
	if p.Client == nil {
		f.Cluster = errors.New("there is no cluster")
		return f
	}
	if f.Pods, f.Addresses, err = pods(ctx, p.Client); err != nil {
		f.Cluster = fmt.Errorf("the cluster does not answer: %w", err)
	}
	return f
}

// OfMachine returns the figures of this machine alone. Data is as Place has it.
func OfMachine(data []string) Facts {
	f := Facts{Memory: memory(), Disk: Unknown, Processes: processes(), Watches: number("/proc/sys/fs/inotify/max_user_instances"), Pods: Unknown, Addresses: Unknown, Blocks: Unknown}
	for _, dir := range data {
		if free := diskFree(dir); free != Unknown && (f.Disk == Unknown || free < f.Disk) {
			f.Disk = free
		}
	}
	return f
}

func memory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Unknown
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
				return kb << 10
			}
		}
	}
	return Unknown
}

func number(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return Unknown
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return Unknown
	}
	return n
}

// processes returns how many processes or threads may still be started.
func processes() int64 {
	most := min(number("/proc/sys/kernel/pid_max"), number("/proc/sys/kernel/threads-max"))
	text, err := os.ReadFile("/proc/loadavg") // its fourth field is "running/all"
	if err != nil || most == Unknown {
		return Unknown
	}
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return Unknown
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return Unknown
	}
	return most - n
}

// diskFree returns the free space of the nearest directory that exists.
func diskFree(dir string) int64 {
	for ; ; dir = filepath.Dir(dir) {
		var s unix.Statfs_t
		err := unix.Statfs(dir, &s)
		switch {
		case err == nil:
			return int64(s.Bavail) * s.Bsize
		case dir == filepath.Dir(dir):
			return Unknown
		}
	}
}

// pods returns how many pods the nodes still take, and how many addresses are free for them.
func pods(ctx context.Context, client kubernetes.Interface) (room, addresses int64, err error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return Unknown, Unknown, err
	}
	list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return Unknown, Unknown, err
	}
	running := map[string]int64{}
	for i := range list.Items {
		if phase := list.Items[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
			running[list.Items[i].Spec.NodeName]++
		}
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if n.Spec.Unschedulable || len(n.Spec.Taints) > 0 {
			continue
		}
		room += max(0, n.Status.Allocatable.Pods().Value()-running[n.Name])
		if cidr, err := netip.ParsePrefix(n.Spec.PodCIDR); err == nil {
			size := int64(1)<<min(30, cidr.Addr().BitLen()-cidr.Bits()) - 3 // the network, the bridge, the broadcast
			addresses += max(0, size-running[n.Name])
		}
	}
	return room, addresses, nil
}
