package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/local"
)

const (
	idlePods  = 200
	idleNodes = 2
	idleTime  = 20 * time.Second
)

// BenchmarkIdle is what a cluster costs that has nothing to do: the CPU time of the
// server's and the nodes' processes, in percent of one core, while 200 real pods run on
// two minions and nobody asks for anything; and their resident memory.
func BenchmarkIdle(b *testing.B) {
	client := startCluster(b, "idle", idleNodes)
	for range b.N {
		began := time.Now()
		spread(b, idlePods, idlePods, func(i int) error { readyAfter(b, client, fmt.Sprintf("idle-%d", i)); return nil })
		b.ReportMetric(time.Since(began).Seconds(), "all-ready-s")
		daemons := clusterProcesses(b, "idle")
		before := map[string]process{}
		for name, pid := range daemons {
			before[name] = look(b, pid)
		}
		// What an idle cluster does it does from time to time: the measure is a span of it.
		span, cancel := context.WithTimeout(b.Context(), idleTime)
		<-span.Done()
		cancel()
		var server, nodes float64
		for name, pid := range daemons {
			now := look(b, pid)
			percent := (now.cpu - before[name].cpu).Seconds() / idleTime.Seconds() * 100
			if name == "server" {
				server = percent
				b.ReportMetric(now.residentMB, "server-MB")
			} else {
				nodes += percent
				if strings.HasSuffix(name, "minion-1") {
					b.ReportMetric(now.residentMB, "node-MB")
				}
			}
		}
		b.ReportMetric(server, "server-cpu-%")
		b.ReportMetric(nodes, "nodes-cpu-%")
		b.ReportMetric(server+nodes, "cluster-cpu-%")
	}
}

// BenchmarkMemoryPerPod is by how much the server's resident memory grows with 1,000
// pods that simulated nodes report as running.
func BenchmarkMemoryPerPod(b *testing.B) {
	const thousands = 5
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	s, err := StartServer(ctx, binary(b), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	if err := SimulateNodes(ctx, s.Client, nodes); err != nil {
		b.Fatal(err)
	}
	empty := s.settledMB(b)
	seen, err := follow(ctx, s.Client, "app=memory")
	if err != nil {
		b.Fatal(err)
	}
	defer seen.stop()
	spread(b, thousands*1000, writers, func(i int) error {
		_, err := s.Client.CoreV1().Pods(space).Create(ctx, podNamed(fmt.Sprintf("memory-%d", i), "memory"), metav1.CreateOptions{})
		return err
	})
	if err := seen.await(func() bool { return seen.bound == thousands*1000 }); err != nil {
		b.Fatal(err)
	}
	full := s.settledMB(b)
	b.ReportMetric(empty, "MB-empty")
	b.ReportMetric(full, "MB-5000-pods")
	b.ReportMetric((full-empty)/thousands, "MB-per-1000-pods")
}

// settledMB is the least of the server's resident memory over some seconds: what the
// work before has left is given back to the machine bit by bit.
func (s *Server) settledMB(b *testing.B) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	least := 0.0
	for ; ctx.Err() == nil; pause(ctx, 500*time.Millisecond) {
		mb, err := s.ResidentMB()
		if err != nil {
			b.Fatal(err)
		}
		if least == 0 || mb < least {
			least = mb
		}
	}
	return least
}

// clusterProcesses are the processes of a local cluster, by name.
func clusterProcesses(b *testing.B, cluster string) map[string]int {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(local.DefaultStateDir, cluster, "run", "*.json"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no processes of cluster %s: %v", cluster, err)
	}
	out := map[string]int{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		var p struct{ PID int }
		if err := json.Unmarshal(data, &p); err != nil {
			b.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = p.PID
	}
	return out
}

type process struct {
	cpu        time.Duration
	residentMB float64
}

// look reads what a process has used so far.
func look(b *testing.B, pid int) process {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The fields after the name, which is in brackets: the 12th and 13th are the ticks in
	// user and kernel mode, the next two those of the programs it has run (iptables), the
	// 22nd is the resident pages.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const ticksPerSecond = 100
	number := func(i int) float64 {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return process{
		cpu:        time.Duration((number(11) + number(12) + number(13) + number(14)) / ticksPerSecond * float64(time.Second)),
		residentMB: number(21) * float64(os.Getpagesize()) / 1e6,
	}
}
