// Package docker implements kubelet.Runtime on the Docker Engine API (1.41 and later). It
// is the only package of the kubelet that depends on Docker.
//
// It owns the containers that carry the labels of its cluster and node and the
// control groups above them, and makes the sandbox image if that is missing. It
// changes no other container, image, network or setting of the daemon. Docker's
// own restart policies are never used: when to start again is the kubelet's.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"wheelhouse/cluster/kubelet/cri"
)

// The labels of every container.
const (
	labelCluster   = "wheelhouse.cluster"
	labelNode      = "wheelhouse.node"
	labelAttempt   = "wheelhouse.attempt"
	labelPod       = "io.kubernetes.pod.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"
)

// Config is the address of the daemon, and whose containers the runtime has.
type Config struct {
	Cluster, Node string
	// Host is the daemon's address; empty means the environment's DOCKER_HOST or
	// unix:///var/run/docker.sock.
	Host string
	// LogMaxBytes and LogMaxFiles bound a container's log: so large is a file before it
	// is rotated, and so many are kept. Default 10 MiB and 5.
	LogMaxBytes int64
	LogMaxFiles int
	Log         *slog.Logger
}

// Runtime implements kubelet.Runtime. Its methods may be called concurrently.
// It has more than 30 methods because it implements each small interface that a user of the runtime declares.
type Runtime struct {
	config Config
	docker *client.Client
	turns  *turns

	mu      sync.Mutex
	info    *daemon
	version string
	// ooms are the containers for which the daemon has sent an OOM event. It may come
	// after they have terminated, and then their state misses it.
	ooms    map[string]bool
	limited map[string]string // containers with a limit of memory that were not started yet, and their groups' parents
	watches map[string]lackOfMemory
}

// daemon is what does not change while the daemon runs.
type daemon struct {
	systemd  bool     // cgroup driver
	dir      string   // of images and containers
	oomFloor int      // the least oom_score_adj that root may set here
	caps     []string // those that containers can have, nil: all
	seccomp  bool     // it has a default profile
	appArmor bool
}

// New returns a runtime, without a connection to the daemon yet.
func New(config Config) (*Runtime, error) {
	if config.Cluster == "" || config.Node == "" {
		return nil, fmt.Errorf("docker: cluster and node must be named")
	}
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if config.Host != "" {
		opts = append(opts, client.WithHost(config.Host))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if config.LogMaxBytes == 0 {
		config.LogMaxBytes = 10 << 20
	}
	if config.LogMaxFiles == 0 {
		config.LogMaxFiles = 5
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	return &Runtime{config: config, docker: c, turns: newTurns(), ooms: map[string]bool{}, limited: map[string]string{}, watches: map[string]lackOfMemory{}}, nil
}

// Close releases the connections to the daemon.
func (r *Runtime) Close() error { return r.docker.Close() }

// Version is "docker://" and the engine's version. While that is cached a ping shows
// that the engine runs, which costs it less.
func (r *Runtime) Version(ctx context.Context) (string, error) {
	r.mu.Lock()
	known := r.version
	r.mu.Unlock()
	var err error
	if known != "" {
		_, err = r.docker.Ping(ctx)
	} else {
		var v types.Version
		v, err = r.docker.ServerVersion(ctx)
		known = "docker://" + v.Version
	}
	if err != nil {
		known, err = "", fmt.Errorf("get the version of docker: %w", err)
	}
	r.mu.Lock()
	r.version = known // it may be another one when the engine is back
	r.mu.Unlock()
	return known, err
}

// daemonInfo reads the settings once.
func (r *Runtime) daemonInfo(ctx context.Context) (*daemon, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.info != nil {
		return r.info, nil
	}
	info, err := r.docker.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the settings of docker: %w", err)
	}
	r.info = &daemon{systemd: info.CgroupDriver == "systemd", dir: info.DockerRootDir, oomFloor: oomFloor(), caps: reducedCapabilities()}
	r.info.seccomp, r.info.appArmor = confinements(info.SecurityOptions)
	return r.info, nil
}

// confinements reads from the daemon's settings whether containers have a profile of seccomp and of AppArmor by default.
func confinements(options []string) (seccomp, appArmor bool) {
	for _, o := range options {
		fields := strings.Split(o, ",") // such as name=seccomp,profile=builtin
		switch fields[0] {
		case "name=seccomp":
			seccomp = !slices.Contains(fields, "profile=unconfined")
		case "name=apparmor":
			appArmor = true
		}
	}
	return seccomp, appArmor
}

// lacks is an error for a container that would run without the confinement that it asks for. Privileged ones have none.
func (d *daemon) lacks(s *cri.Spec) error {
	switch {
	case s.Privileged:
		return nil
	case s.NeedsSeccomp && !d.seccomp:
		return errors.New("cannot enforce seccomp RuntimeDefault: the engine has no default profile")
	case s.NeedsAppArmor && !d.appArmor:
		return errors.New("cannot enforce AppArmor: it is not enabled in the engine")
	}
	return nil
}

// Watch follows the daemon's event stream.
func (r *Runtime) Watch(ctx context.Context, f func(cri.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The client settles its version with the first request; Events reads it
	// without the client's lock, so it must be settled by then.
	if _, err := r.Version(ctx); err != nil {
		return err
	}
	args := r.mine()
	args.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionDestroy, events.ActionOOM} {
		args.Add("event", string(action))
	}
	messages, errs := r.docker.Events(ctx, events.ListOptions{Filters: args})
	// Another round trip gives the daemon time to subscribe before f(Event{}) has
	// everything listed; what slips through is found by the next relist.
	if _, err := r.docker.Ping(ctx); err != nil {
		return fmt.Errorf("watch docker: %w", err)
	}
	f(cri.Event{})
	for {
		select {
		case m := <-messages:
			r.noteOOM(m)
			f(cri.Event{
				PodUID: m.Actor.Attributes[labelUID], ContainerID: m.Actor.ID, Started: m.Action == events.ActionStart,
			})
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("watch docker: %w", err)
		}
	}
}

func (r *Runtime) noteOOM(m events.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.Action {
	case events.ActionOOM:
		r.ooms[m.Actor.ID] = true
	case events.ActionDestroy:
		delete(r.ooms, m.Actor.ID)
	}
}

// mine selects the containers of this cluster and node.
func (r *Runtime) mine() filters.Args {
	return filters.NewArgs(
		filters.Arg("label", labelCluster+"="+r.config.Cluster),
		filters.Arg("label", labelNode+"="+r.config.Node))
}

// explain wraps a daemon's error so that kubelet.IsNotFound works.
func explain(doing string, err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w: %w", doing, cri.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
