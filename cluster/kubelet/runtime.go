package kubelet

import (
	"context"
	"io"
	"net/netip"
	"time"

	"wheelhouse/cluster/kubelet/cri"
)

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
	Watch(ctx context.Context, f func(cri.Event)) error
}

// Containers is a runtime's life cycle of containers.
type Containers interface {
	// List shows the containers of one pod, or of all pods if uid is empty,
	// running or not, in order of creation.
	List(ctx context.Context, uid string) ([]cri.Container, error)
	// Glance shows all containers, in no order, and of each only its id, names, labels,
	// state and when it was made: it costs the runtime little.
	Glance(ctx context.Context) ([]cri.Container, error)
	Inspect(ctx context.Context, id string) (cri.Container, error)
	Create(ctx context.Context, spec *cri.Spec) (id string, err error)
	Start(ctx context.Context, id string) error
	// Stop sends SIGTERM, and SIGKILL after grace; it returns once the container
	// has ended.
	Stop(ctx context.Context, id string, grace time.Duration) error
	Remove(ctx context.Context, id string) error
	// Update gives a running container other resources, all but the number of processes.
	// A limit can change or be added, but not be taken away.
	Update(ctx context.Context, id string, r cri.Resources) error
}

// Images is a runtime's store of images.
type Images interface {
	Image(ctx context.Context, ref string) (cri.Image, error)
	Images(ctx context.Context) ([]cri.Image, error)
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
	Logs(ctx context.Context, id string, o cri.LogOptions, stdout, stderr io.Writer) error
	// Exec runs a command in the container and returns its exit code.
	Exec(ctx context.Context, id string, cmd []string, s cri.IO) (int, error)
	Attach(ctx context.Context, id string, s cri.IO) error
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
