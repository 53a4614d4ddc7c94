package local

import (
	"errors"
	"fmt"
	"os"

	"wheelhouse/cluster/kubelet/cgroup"
)

// A sealed cluster is for an administrator of its API who is not trusted with the machine: a learner with a cluster of their
// own. What the API server admits does not count then. The nodes refuse pods beyond PodSecurity baseline and volumes that
// are not of the cluster's provisioner; no packet leaves the cluster (it is isolated); and what it uses of the machine is
// bounded: all pods of a node by a control group, the server's and the nodes' processes, with what these write to memory for
// pods, by another, the database by its quota. Not bounded is the disk.
var (
	// No other process waits for the Leases of a server, which is the only one and has them again when it starts; renewing them as
	// often as one of several masters does is a quarter of what an idle server computes.
	sealedServer = []string{
		"--quota-backend-bytes", fmt.Sprint(64 << 20),
		"--leader-elect-lease-duration", "60s", "--leader-elect-renew-deadline", "40s", "--leader-elect-retry-period", "15s",
	}
	sealedNode = []string{
		"--pod-security", "baseline", "--image-registries", "docker.io,registry.k8s.io,k8s.gcr.io,gcr.io,quay.io,ghcr.io",
		"--max-pods", "40", "--max-containers", "10", "--pod-max-pids", classPodPids, "--max-pids", "2000", "--capacity", "memory=1536Mi",
		"--container-log-max-size", "2Mi", "--container-log-max-files", "2",
	}
	// The garbage collector's aim; with it the database's wake-ups are those of a small machine.
	sealedEnv = []string{"GOMEMLIMIT=200MiB", "GOGC=50"}
)

// sealedMemory bounds, in bytes, what the processes of a sealed cluster have together, and the volumes in memory that they
// have written (Secrets, tokens). Beyond it the kernel ends one of them; the next up starts it again.
const sealedMemory = 1 << 30

// sealedGroup is the control group of these processes. It is not below that of the cluster's pods, which is frozen for a snapshot.
func sealedGroup(cluster string) string { return "wheelhouse-sealed-" + cluster }

// seal makes the cluster of the record sealed. It stays so, and is for a new cluster alone: an older one may run what a sealed one
// refuses.
func (r *record) seal(cfg Config, found bool) error {
	if cfg.Sealed != nil && *cfg.Sealed != r.Sealed {
		if found {
			return fmt.Errorf("the cluster %s exists, and stays as it was made: remove it (wheelhouse down), or use another --name", r.Name)
		}
		r.Sealed = *cfg.Sealed
	}
	if !r.Sealed {
		return nil
	}
	if cfg.AllowHostAccess || len(cfg.ServerArgs)+len(cfg.NodeArgs) > 0 || cfg.Mirror != nil && *cfg.Mirror != (Mirror{}) || cfg.Pool != nil && len(*cfg.Pool) > 0 {
		return errors.New("a sealed cluster has no access to this machine or its network, and no further flags: " +
			"leave out --allow-host-access, --image-mirror, --load-balancer-pool, --server-arg and --node-arg")
	}
	r.Class, r.Isolated = true, true
	return nil
}

// bound limits a process of a sealed cluster. Where the machine's memory is short the kernel ends it before others.
func bound(root, cluster string, pid int) error {
	return errors.Join(
		cgroup.At(root).ConfineMemory(sealedGroup(cluster), sealedMemory, pid),
		os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("600"), 0o644),
	)
}
