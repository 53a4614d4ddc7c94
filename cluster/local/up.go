package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Up starts the processes of the cluster that are missing, replaces those whose program
// or arguments have changed, and adds or removes nodes. Pods keep running. It returns
// when all nodes are Ready and DNS answers, and prints to out each step and its time, and what a
// step waits for that takes longer than cfg.Progress.
func Up(ctx context.Context, cfg Config, out io.Writer) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	if err := requireRoot("up"); err != nil {
		return err
	}
	unlock, err := lock(ctx, cfg.dir(), out)
	if err != nil {
		return err
	}
	defer unlock()
	// It has keys, and disks on which pods may create setuid programs.
	if err := os.Chmod(cfg.dir(), 0o700); err != nil {
		return err
	}
	if err := settle(ctx, cfg, out); err != nil {
		return err
	}
	program, err := stamp(cfg.Binary)
	if err != nil {
		return err
	}
	u := &up{cfg: cfg, progress: &progress{out: out, every: cfg.Progress}, program: program}
	began := time.Now()
	if err := u.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Cluster %s is up, in %.1f s. Next:\n%s", cfg.Name, time.Since(began).Seconds(), u.next())
	return nil
}

// evictionHard of the nodes is lower than the default: the disk is the machine's, and that of
// a laptop is often nearly full, which is no reason to evict a learner's pods.
const evictionHard = "memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%,imagefs.available<1%,imagefs.inodesFree<1%"

// classPodPids is how many processes and threads a pod of a class may have: a workbench with a few programs has 60, and a fork bomb ends there.
const classPodPids = "512"

type up struct {
	*progress
	cfg    Config
	rec    record
	before int // minions before

	program string // the stamp of cfg.Binary
}

func (u *up) run(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"machine", u.machine},
		{"network", u.network},
		{"server", u.server},
		{"nodes", u.nodes},
		{"dns", u.dns},
	}
	for _, s := range steps {
		began := time.Now()
		done, err := u.step(ctx, s.name, u.cfg.Timeout, s.do)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		// At most 80 columns, with three subnets.
		fmt.Fprintf(u.out, "  %-7s %-64s %.1f s\n", s.name, done, time.Since(began).Seconds())
	}
	return nil
}

// machine checks requirements that would fail later with a less clear error.
func (u *up) machine(ctx context.Context) (string, error) {
	if u.cfg.Nodes == 0 {
		return "control plane alone, Docker is not needed", nil
	}
	u.saw("the Docker Engine has not answered yet")
	version, err := dockerVersion(ctx)
	if err != nil {
		return "", err
	}
	return "Docker " + version, nil
}

func (u *up) network(ctx context.Context) (string, error) {
	var err error
	if u.rec, u.before, err = claim(ctx, u.cfg, u.out); err != nil {
		return "", err
	}
	if err := buildNetwork(ctx, u.rec, u.cfg.AllowHostAccess); err != nil {
		return "", err
	}
	if err := keepReachable(u.rec); err != nil {
		return "", err
	}
	if !u.rec.Isolated && u.rec.Nodes > 0 && !forwards() {
		fmt.Fprintf(u.out, "  note: %s\n", notForwarding)
	}
	s := u.rec.Subnets
	return fmt.Sprintf("nodes %s, pods %s, services %s", s.LAN, s.Pods, s.Services), nil
}

func (u *up) server(ctx context.Context) (string, error) {
	u.saw("the end of the process that is replaced")
	p, ended, err := ensure(ctx, u.cfg, u.serverDaemon())
	if err != nil {
		return "", err
	}
	if err := u.waitServer(ctx, p, ended); err != nil {
		return "", err
	}
	return u.rec.api() + " is ready", nil
}

func (u *up) nodes(ctx context.Context) (string, error) {
	if err := u.dropSurplus(ctx); err != nil {
		return "", err
	}
	if u.rec.Nodes == 0 {
		return "none", nil
	}
	u.saw("the end of processes that are replaced")
	var starts errgroup.Group
	watch := make([]startedProcess, len(u.rec.nodes()))
	for i, n := range u.rec.nodes() {
		starts.Go(func() error {
			began := time.Now()
			p, ended, err := ensure(ctx, u.cfg, u.nodeDaemon(n))
			watch[i] = startedProcess{running: p, ended: ended, since: began}
			return err
		})
	}
	if err := starts.Wait(); err != nil {
		return "", err
	}
	names, err := u.waitNodes(ctx, watch)
	return strings.Join(names, ", ") + " are Ready", err
}

func (u *up) dns(ctx context.Context) (string, error) {
	at, from := u.rec.Subnets.dns(), ""
	if u.rec.Nodes == 0 { // no proxy serves the service's address
		at = u.rec.Subnets.node(0).IP
	} else {
		from = u.rec.nodeNS(u.rec.Subnets.node(u.rec.Nodes))
	}
	if err := u.waitDNS(ctx, at, from, u.rec.Subnets.kubernetes()); err != nil {
		return "", err
	}
	return "kubernetes.default.svc.cluster.local is answered by " + at.String(), nil
}

func (u *up) serverDaemon() daemon {
	s := u.rec.Subnets
	master := s.node(0)
	args := []string{
		"server", "--state-dir", u.cfg.dir(), "--address", master.IP.String(), "--port", fmt.Sprint(apiPort),
		"--service-cidr", s.Services.String(), "--pod-cidr", s.Pods.String(), "--dns-address", s.dns().String(),
		"--node-cidr", s.LAN.String(), "--ingress-address", s.ingress().String(), "--ingress-access-log", filepath.Join(u.cfg.dir(), "log", "ingress-access.log"),
	}
	if u.rec.Class {
		args = append(args, "--class")
	}
	if len(u.rec.Pool) > 0 {
		args = append(args, "--load-balancer-pool", strings.Join(u.rec.Pool, ","))
	}
	if u.rec.Isolated {
		args = append(args, "--resolv-conf=")
	} else {
		args = append(args, machineNSArg)
	}
	for _, n := range u.rec.nodes() {
		args = append(args, "--node", n.Name+"="+n.IP.String())
	}
	if u.rec.Sealed {
		args = append(args, sealedServer...)
	}
	args = append(args, u.cfg.ServerArgs...)
	return daemon{ID: "server", Role: "server", Node: master.Name, Address: fmt.Sprintf("%s:%d", master.IP, apiPort), Args: args, ns: u.rec.nodeNS(master), program: u.program, sealed: u.rec.Sealed}
}

func (u *up) nodeDaemon(n Node) daemon {
	s := u.rec.Subnets
	args := []string{
		"node", "--kubeconfig", filepath.Join(u.cfg.dir(), n.Name+".kubeconfig"), "--name", n.Name, "--address", n.IP.String(),
		"--pod-cidr", n.PodCIDR.String(), "--cluster-cidr", s.Pods.String(), "--service-cidr", s.Services.String(), "--state-dir", filepath.Join(u.cfg.dir(), "nodes", n.Name),
		"--cluster", u.cfg.Name, "--cluster-dns", s.dns().String(), "--eviction-hard", evictionHard,
	}
	if u.rec.Sealed { // also the master, which an administrator of the API can uncordon
		args = append(args, sealedNode...)
	}
	if n.Master {
		args = append(args, "--unschedulable")
	} else {
		if u.rec.Class {
			args = append(args, "--pod-max-pids", classPodPids)
		}
		args = append(args, u.rec.Mirror.args()...)
		args = append(args, u.cfg.NodeArgs...)
	}
	return daemon{ID: "node/" + n.Name, Role: "node", Node: n.Name, Address: n.IP.String(), Args: args, ns: u.rec.nodeNS(n), program: u.program, sealed: u.rec.Sealed}
}

// dropSurplus removes the nodes beyond the requested number.
func (u *up) dropSurplus(ctx context.Context) error {
	first := u.rec.Nodes + 1
	if u.rec.Nodes == 0 {
		first = 0 // without minions there is no node process on the master
	}
	for n := first; u.before > u.rec.Nodes && n <= u.before; n++ {
		node := u.rec.Subnets.node(n)
		file := pidFile(u.cfg.dir(), u.nodeDaemon(node))
		u.saw("the end of node " + node.Name + " and of its containers")
		if p, err := readRunning(file); err == nil {
			if err := stop(ctx, []running{p}); err != nil {
				return err
			}
		}
		errs := []error{deleteNode(ctx, u.cfg, node.Name), removeContainers(ctx, u.cfg, node.Name), os.RemoveAll(file)}
		if !node.Master {
			errs = append(errs, dropNode(u.rec, node))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("removing node %s: %w", node.Name, err)
		}
	}
	return nil
}

func (u *up) next() string {
	name := ""
	if u.cfg.Name != DefaultName {
		name = " --name " + u.cfg.Name
	}
	where := "wheelhouse ssh" + name + " minion-1"
	if u.rec.Nodes == 0 {
		where = "wheelhouse ssh" + name + " master"
	}
	return fmt.Sprintf("  export KUBECONFIG=%s\n  wheelhouse lab                  # learn with this cluster, step by step\n  wheelhouse kubectl get nodes\n  %s\n",
		KubeconfigPath(u.cfg.Name, u.cfg.StateDir), where)
}
