package kubelet

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// PodRef names one incarnation of a pod.
type PodRef struct {
	Namespace, Name, UID string
}

func (p PodRef) String() string { return p.Namespace + "/" + p.Name }

// SandboxName is the container name of a pod's sandbox, as the field knows it.
const SandboxName = "POD"

// Runtime runs containers. It sees only containers that carry the labels of its
// cluster and node. A missing container or image is an error for which
// IsNotFound is true; removing or stopping what is gone is no error.
type Runtime interface {
	Containers
	Images
	Streams
	// Version is what a node reports, such as "docker://20.10.24". It fails when
	// the runtime cannot be reached.
	Version(ctx context.Context) (string, error)
	// Watch calls f for every container that starts, dies or is removed, and once
	// with a zero Event when the stream is up, as anything may have happened
	// before. It returns when the stream breaks.
	Watch(ctx context.Context, f func(Event)) error
}

// Containers is a runtime's life cycle of containers.
type Containers interface {
	// List shows the containers of one pod, or of all pods if uid is empty,
	// running or not, in order of creation.
	List(ctx context.Context, uid string) ([]Container, error)
	// Glance shows all containers, in no order, and of each only its id, names, labels,
	// state and when it was made: it costs the runtime little.
	Glance(ctx context.Context) ([]Container, error)
	Inspect(ctx context.Context, id string) (Container, error)
	Create(ctx context.Context, spec *Spec) (id string, err error)
	Start(ctx context.Context, id string) error
	// Stop sends SIGTERM, and SIGKILL after grace; it returns once the container
	// has ended.
	Stop(ctx context.Context, id string, grace time.Duration) error
	Remove(ctx context.Context, id string) error
	// Update gives a running container other resources, all but the number of processes.
	// A limit can change or be added, but not be taken away.
	Update(ctx context.Context, id string, r Resources) error
}

// Images is a runtime's store of images.
type Images interface {
	Image(ctx context.Context, ref string) (Image, error)
	Images(ctx context.Context) ([]Image, error)
	// RemoveImage removes a name, and the image if that was its last. One that is gone
	// is no error, one that a container is made of is ErrInUse.
	RemoveImage(ctx context.Context, ref string) error
	// ImageDir is the folder that images and containers lie in.
	ImageDir(ctx context.Context) (string, error)
	// Reach asks the registry for ref without fetching anything.
	Reach(ctx context.Context, ref, auth string) error
	// MountImage shows the files of an image, which is on the machine, at dir, where nobody
	// can write or run them. To unmount and remove dir is the caller's.
	MountImage(ctx context.Context, ref, dir string) error
	// Pull fetches ref. auth is empty, or base64url JSON as registries take it.
	Pull(ctx context.Context, ref, auth string) error
}

// Streams connects callers with containers.
type Streams interface {
	Logs(ctx context.Context, id string, o LogOptions, stdout, stderr io.Writer) error
	// Exec runs a command in the container and returns its exit code.
	Exec(ctx context.Context, id string, cmd []string, s IO) (int, error)
	Attach(ctx context.Context, id string, s IO) error
}

// IO is one end of a stream; nil parts are not connected. With TTY all output
// goes to Stdout. Resize may be nil.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan Size
}

// Size is a terminal's, in characters.
type Size struct{ Width, Height uint16 }

// LogOptions are those of the pods/log subresource that the runtime answers.
type LogOptions struct {
	Follow, Timestamps bool
	Since              time.Time
	Tail               int64 // lines from the end; negative means all
}

// Event says that something happened to a container of a pod.
type Event struct {
	PodUID, ContainerID string
	Started             bool // rather than died or was removed
}

// State of a container.
type State string

// The states of a container.
const (
	Created State = "created"
	Running State = "running"
	Exited  State = "exited"
)

// Container is what the runtime shows of one container.
type Container struct {
	ID      string
	Name    string // of the container in the pod; SandboxName for the sandbox
	Pod     PodRef
	Attempt int // restarts before this one
	Labels  map[string]string

	State               State
	Pid                 int
	CreatedAt           time.Time
	StartedAt, Finished time.Time
	ExitCode            int
	OOMKilled           bool
	Error               string // why it could not be started
	LogPath, Layer      string // the file of its log, and the folder that it writes into
	Image, ImageID      string
	TTY, OpenStdin      bool
	Resources           Resources // as it has them now; of the processes nothing is known
}

// Spec is all that a runtime needs to create a container or, with an empty
// Sandbox, a pod's sandbox.
type Spec struct {
	Pod     PodRef
	Name    string
	Attempt int
	Labels  map[string]string
	Image   string // empty for the runtime's own sandbox image, made if missing

	Entrypoint, Cmd  []string // nil: the image's
	Env              []string
	WorkingDir       string
	User             string // "uid[:gid]", empty: the image's
	Groups           []string
	TTY, Stdin       bool
	StdinOnce        bool
	Hostname         string // sandboxes only
	Mounts           []Mount
	Devices          []Device
	CgroupParent     string
	Resources        Resources
	OOMScoreAdj      int
	Privileged       bool
	ReadOnlyRoot     bool
	NoNewPrivileges  bool
	CapAdd, CapDrop  []string
	Seccomp          string // "", "unconfined" or a profile's JSON
	AppArmor         string // "", "unconfined" or a profile's name
	UnmaskedProc     bool
	Sysctls          map[string]string
	Sandbox          string // id of the sandbox whose namespaces are joined
	SharePID         bool   // join the sandbox's process namespace
	HostNetwork      bool   // the machine's
	NetNS            string // sandboxes only: a file that stands for the network namespace to join
	HostPID, HostIPC bool
	PIDOf            string // id of a container whose process namespace is joined
}

// Resources limits a container; zero is no limit.
type Resources struct {
	CPUShares, CPUQuota, CPUPeriod int64 // microseconds, as in CFS
	Memory, Pids                   int64 // bytes, processes
}

// Mount puts a path of the machine into a container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	Propagation    string // "", rprivate, rslave, rshared
}

// Device puts a device of the machine into a container.
type Device struct {
	Source, Target string
	ReadOnly       bool
}

// Image is one image of the machine.
type Image struct {
	ID      string
	Names   []string // tags and digests
	Digests []string
	Size    int64
	User    string
	// Entrypoint, Cmd and WorkingDir of the image's config.
	Entrypoint, Cmd []string
	WorkingDir      string
}

// Network gives pods their addresses. pod is the pod's uid. It must be set up
// before the kubelet runs.
type Network interface {
	// Attach connects the network namespace of process pid. A zero ip asks for a
	// free address; an ip is taken as it is, for a sandbox that is adopted.
	// Attaching what is attached changes nothing.
	Attach(ctx context.Context, pod string, pid int, ip netip.Addr) (netip.Addr, error)
	// Detach gives the pod's address back; a pod that is not known is no error.
	Detach(ctx context.Context, pod string) error
}

// ErrNotFound is wrapped by a runtime's errors about what does not exist.
var ErrNotFound = errors.New("not found")

// ErrInUse is wrapped by a runtime's error about an image that a container is made of.
var ErrInUse = errors.New("in use")

// IsNotFound tells whether a runtime's error says that something does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
