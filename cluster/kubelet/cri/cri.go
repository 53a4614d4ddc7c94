// Package cri holds the values that cross the border between a kubelet and a container
// runtime: what a container is made of, what is observed of one, and the ends of streams.
// It holds no interface: each user of a runtime declares the methods that it calls.
// An error about what does not exist wraps ErrNotFound; an error about an image that a
// container is made of wraps ErrInUse.
package cri

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// PodRef names one incarnation of a pod.
type PodRef struct {
	Namespace, Name, UID string
}

func (p PodRef) String() string { return p.Namespace + "/" + p.Name }

// SandboxName is the container name of a pod's sandbox, as in upstream.
const SandboxName = "POD"

// LabelSandbox is the label of a container with the id of the sandbox that it lives in.
const LabelSandbox = "wheelhouse.sandbox"

// IO is one end of a stream; nil parts are not connected. With TTY all output
// goes to Stdout. Resize may be nil.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan Size
}

// LimitedBuffer keeps the first Limit bytes of what is written to it.
type LimitedBuffer struct {
	bytes.Buffer
	Limit int
}

// Write implements io.Writer; what is over the limit is dropped.
func (b *LimitedBuffer) Write(p []byte) (int, error) {
	if room := b.Limit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// Size is a terminal's, in characters.
type Size struct{ Width, Height uint16 }

// LogOptions are those of the pods/log subresource that the runtime answers.
type LogOptions struct {
	Follow, Timestamps bool
	Since              time.Time
	Tail               int64 // lines from the end; negative means all
}

// Event is a change of a container of a pod.
type Event struct {
	PodUID, ContainerID string
	Started             bool // rather than terminated or was removed
}

// State of a container.
type State string

// The states of a container.
const (
	Created State = "created"
	Running State = "running"
	Exited  State = "exited"
)

// Container is what the runtime reports of one container. Each field is one property, which is why there are
// more than 20.
type Container struct {
	ID      string
	Name    string // of the container in the pod; SandboxName for the sandbox
	Pod     PodRef
	Attempt int // restarts before this one
	Labels  map[string]string
	Runtime string // which has it, as statuses name it, such as "docker"

	State               State
	Pid                 int
	CreatedAt           time.Time
	StartedAt, Finished time.Time
	ExitCode            int
	OOMKilled           bool
	Error               string // why it could not be started
	LogPath, Layer      string // the file of its log, and the directory that it writes into
	Image, ImageID      string
	TTY, OpenStdin      bool
	Resources           Resources // as it has them now, without the number of processes
}

// StatusID is the container's id as statuses show it.
func (c *Container) StatusID() string { return c.Runtime + "://" + c.ID }

// StatusImageID is the id of the container's image as statuses show it.
func (c *Container) StatusImageID() string { return c.Runtime + "://" + c.ImageID }

// Spec is all that a runtime needs to create a container or, with an empty
// Sandbox, a pod's sandbox.
// Each field is an option of a container, which is why there are more than 20.
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
	SELinux          []string // parts of the label, such as "level:s0"; the machine's where it has none
	StopSignal       string   // such as "SIGUSR1", empty: the image's
	Seccomp          string   // "", "unconfined" or a profile's JSON
	AppArmor         string   // "", "unconfined" or a profile's name
	NeedsSeccomp     bool     // an engine without a default profile of seccomp must not create it
	NeedsAppArmor    bool     // likewise one without AppArmor
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

// ErrNotFound is wrapped by a runtime's errors about what does not exist.
var ErrNotFound = errors.New("not found")

// ErrInUse is wrapped by a runtime's error about an image that a container is made of.
var ErrInUse = errors.New("in use")

// IsNotFound reports whether a runtime's error is about what does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
