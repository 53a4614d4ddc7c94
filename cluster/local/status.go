package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"wheelhouse/cluster/store/etcd"
)

// State is what Status finds.
type State struct {
	Cluster    string    `json:"cluster"`
	API        string    `json:"api"`
	Kubeconfig string    `json:"kubeconfig"`
	Subnets    Subnets   `json:"subnets"`
	DNS        string    `json:"dns"`
	Processes  []Process `json:"processes"`
	// Storage is the space of the cluster's database, nil if the server does not answer.
	Storage *etcd.Status `json:"storage,omitempty"`
}

// Process is the state of one process of the cluster.
type Process struct {
	ID      string `json:"id"` // "server" or "node/<name>"
	PID     int    `json:"pid,omitempty"`
	Role    string `json:"role"`
	Node    string `json:"node"`
	Address string `json:"address"`
	State   string `json:"state"` // running, stopped (by SIGSTOP, or never started) or dead
	// Detail is why the process is stopped, or what it waits for; "" when it works.
	Detail string `json:"detail,omitempty"`
	Log    string `json:"log,omitempty"`
}

// ErrNoCluster is the error of Status and SSH for a cluster that does not exist.
var ErrNoCluster = errors.New("there is no such cluster; start it with wheelhouse up")

// Status returns the processes that should run, with their state. It does not need root.
func Status(cfg Config) (*State, error) {
	cfg, rec, err := existing(cfg)
	if err != nil {
		return nil, err
	}
	s := &State{
		Cluster: rec.Name, API: rec.api(), Kubeconfig: KubeconfigPath(cfg.Name, cfg.StateDir),
		Subnets: rec.Subnets, DNS: rec.Subnets.dns().String(),
	}
	daemons := (&up{cfg: cfg, rec: rec}).daemons()
	if err := s.look(cfg, daemons); err != nil {
		return nil, err
	}
	if s.Processes[0].State == stateRunning {
		s.Storage, err = storage(context.Background(), s.Kubeconfig) // the processes are reported without it
		if err != nil {                                              // it may have been stopped while it was asked
			return s, s.look(cfg, daemons)
		}
	}
	return s, nil
}

// daemons lists the processes that should run, the server first.
func (u *up) daemons() []daemon {
	list := []daemon{u.serverDaemon()}
	if u.rec.Nodes > 0 {
		for _, n := range u.rec.nodes() {
			list = append(list, u.nodeDaemon(n))
		}
	}
	return list
}

// look sets the processes as they are now.
func (s *State) look(cfg Config, daemons []daemon) error {
	s.Processes = nil
	for _, d := range daemons {
		p := Process{ID: d.ID, Role: d.Role, Node: d.Node, Address: d.Address, State: stateStopped, Detail: "not started"}
		r, err := readRunning(pidFile(cfg.dir(), d))
		switch {
		case err == nil:
			p.set(r)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("reading the record of %s: %w", d.ID, err)
		}
		s.Processes = append(s.Processes, p)
	}
	s.waiting(pidFile(cfg.dir(), daemons[0]))
	return nil
}

// set records the state of a process.
func (p *Process) set(r running) {
	p.PID, p.Log, p.State, p.Detail = r.PID, r.Log, r.state(), ""
	if r.held() != nil {
		p.Detail = fmt.Sprintf("by a signal or a debugger: kill -CONT %d continues it", r.PID)
	}
}

// waiting says of the processes that run what they wait for. record is the server's.
func (s *State) waiting(record string) {
	server := &s.Processes[0]
	if server.State == stateRunning {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		if err := ready(ctx, s.Kubeconfig); err != nil {
			if r, err := readRunning(record); err == nil {
				server.set(r) // it may have been stopped while it was asked
			}
			if server.State == stateRunning {
				server.Detail = "not ready: " + strings.Join(strings.Fields(err.Error()), " ")
			}
		}
	}
	for i := range s.Processes[1:] {
		if p := &s.Processes[i+1]; p.State == stateRunning && (server.State != stateRunning || server.Detail != "") {
			p.Detail = "waits for the server"
		}
	}
}

func existing(cfg Config) (Config, record, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return cfg, record{}, err
	}
	rec, err := load(cfg.dir())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrPermission) && os.Geteuid() == 0 {
		err = fmt.Errorf("cluster %s: %w", cfg.Name, ErrNoCluster)
	}
	return cfg, rec, err
}

// Healthy reports whether all processes run.
func (s *State) Healthy() bool {
	for _, p := range s.Processes {
		if p.State != stateRunning {
			return false
		}
	}
	return true
}

// Runs returns nil if all processes of a cluster run, by their records alone: its API is asked for nothing.
func Runs(cfg Config) error {
	cfg, rec, err := existing(cfg)
	if err != nil {
		return err
	}
	for _, d := range (&up{cfg: cfg, rec: rec}).daemons() {
		r, err := readRunning(pidFile(cfg.dir(), d))
		if err != nil {
			return fmt.Errorf("%s was not started: %w", d.ID, err)
		}
		if state := r.state(); state != stateRunning || !r.inNS(d.ns) {
			return fmt.Errorf("%s does not run: %s", d.ID, state)
		}
	}
	return nil
}

// Sealed reports whether a cluster is there, and whether it is a sealed one.
func Sealed(cfg Config) (exists, sealed bool, err error) {
	_, rec, err := existing(cfg)
	if errors.Is(err, ErrNoCluster) {
		return false, false, nil
	}
	return err == nil, rec.Sealed, err
}

// Print writes the state as text.
func (s *State) Print(out io.Writer) error {
	fmt.Fprintf(out, "Cluster %s at %s\nnodes %s, pods %s, services %s, DNS %s\nkubeconfig %s\n\n",
		s.Cluster, s.API, s.Subnets.LAN, s.Subnets.Pods, s.Subnets.Services, s.DNS, s.Kubeconfig)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tADDRESS\tSTATE\tLOG")
	for _, p := range s.Processes {
		pid := "-"
		if p.PID != 0 {
			pid = fmt.Sprint(p.PID)
		}
		state := p.State
		if p.Detail != "" {
			state += " (" + p.Detail + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, pid, p.Address, state, p.Log)
	}
	if err := w.Flush(); err != nil || s.Storage == nil {
		return err
	}
	if short := s.Storage.Refusing + s.Storage.Warning; short != "" {
		fmt.Fprintf(out, "\nWarning: %s\n", short)
	}
	return nil
}
