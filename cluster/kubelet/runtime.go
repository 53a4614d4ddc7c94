package kubelet

import (
	"context"
	"net/netip"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/images"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/kubelet/server"
)

// Runtime is a container runtime: the sum of what its users declare. It has only the
// containers that carry the labels of its cluster and node. A container or image that does
// not exist is an error for which cri.IsNotFound is true; to remove or stop one is no error.
type Runtime interface {
	node.Runtime      // version, images
	server.Containers // lists of containers
	server.Streams    // logs, exec, attach; exec for probes, too
	starter
	stopper
	updater
	follower
	images.Source
	imageStore
}

// starter starts the containers of a pod.
type starter interface {
	Create(ctx context.Context, spec *cri.Spec) (id string, err error)
	Start(ctx context.Context, id string) error
	Inspect(ctx context.Context, id string) (cri.Container, error)
}

// stopper stops and removes containers.
type stopper interface {
	// Stop sends SIGTERM, and SIGKILL after grace; it returns once the container has
	// terminated.
	Stop(ctx context.Context, id string, grace time.Duration) error
	Remove(ctx context.Context, id string) error
}

// updater resizes containers.
type updater interface {
	// Update replaces the resources of a running container, except for the number of
	// processes. A limit can change or be added, but not be removed.
	Update(ctx context.Context, id string, r cri.Resources) error
}

// follower follows the runtime.
type follower interface {
	// Watch calls f for every container that starts, terminates or is removed, and once with a
	// zero Event when the stream is open, as events may have been missed before. It returns
	// when the stream breaks.
	Watch(ctx context.Context, f func(cri.Event)) error
}

// imageStore is where the images are.
type imageStore interface {
	// RemoveImage removes a name, and the image if that was its last. An image that does not
	// exist is no error; one that a container is made of is cri.ErrInUse.
	RemoveImage(ctx context.Context, ref string) error
	// ImageDir is the directory of images and containers.
	ImageDir(ctx context.Context) (string, error)
	// MountImage mounts the files of an image at dir, without write and execute. The caller
	// unmounts and removes dir.
	MountImage(ctx context.Context, ref, dir string) error
}

// Network allocates the addresses of pods. pod is the pod's uid. It must be set up
// before the kubelet runs.
type Network interface {
	// Attach connects the network namespace of process pid. A zero ip stands for any
	// free address; an ip is taken as it is, for a sandbox that is adopted.
	// Attaching what is attached changes nothing.
	Attach(ctx context.Context, pod string, pid int, ip netip.Addr) (netip.Addr, error)
	// Missing returns what of the connection that Attach made is not there any more, such as
	// "its interface on the node"; empty if nothing is. Attach makes it again.
	Missing(ctx context.Context, pod string, pid int, ip netip.Addr) (string, error)
	// Detach releases the pod's address; an unknown pod is no error.
	Detach(ctx context.Context, pod string) error
}

// Policies isolate pods from each other.
type Policies interface {
	// Starting returns when the policies hold for a pod of this node at an address that it has got, of which no container
	// runs yet; an error if they do not when ctx ends.
	Starting(ctx context.Context, pod *v1.Pod, ip netip.Addr) error
}
