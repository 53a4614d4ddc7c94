package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
)

// Config is the node of a pod's volumes.
type Config struct {
	Client   kubernetes.Interface // for claims, persistent volumes and tokens
	Recorder record.EventRecorder
	Images   Images
	HostRoot string // the node's disk; empty for the machine's
	NodeIP   string
	Capacity v1.ResourceList
	// Provisioned says that persistent volumes are those of the cluster's own provisioner alone: whoever may create others
	// chooses a path of the node, a device or a file server.
	Provisioned bool
}

// Images mounts the files of images.
type Images interface {
	// MountImage mounts the files of an image, which is on the machine, read-only at dir.
	MountImage(ctx context.Context, ref, dir string) error
}

// Manager has the volumes of one pod.
type Manager struct {
	Config
	dir     string // of the pod
	tokens  map[string]token
	volumes map[string]Volume // those that are set up, by name

	pod     *v1.Pod // of the present SetUp, as the rest
	podIP   string
	objects objects.Getter
}

// Volume is a volume that is set up.
type Volume struct {
	Path     string
	ReadOnly bool
	Device   bool // the path is a device that containers get as one
	Sealed   bool // the file system itself is read-only, and must not be mounted with other flags
	mounted  bool // the path is a mount point
	missing  bool // another program has removed it
	file     bool // the path is a file or device rather than a directory
	remote   bool // a look at its file system may block indefinitely
}

// NewManager returns the manager of a pod's volumes below the pod's directory.
func NewManager(c Config, dir string) *Manager {
	return &Manager{Config: c, dir: dir, tokens: map[string]token{}, volumes: map[string]Volume{}}
}

// SetUp sets up all volumes of the pod but images, or brings them up to date. Its error
// joins one for each volume that failed.
func (m *Manager) SetUp(ctx context.Context, pod *v1.Pod, podIP string, getter objects.Getter) error {
	m.pod, m.podIP, m.objects = pod, podIP, getter
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Image != nil {
			continue // SetUpImage does it, when a container needs it
		}
		got, err := m.setUp(ctx, v)
		if err != nil {
			step := "SetUp"
			if failed := (checkError{}); errors.As(err, &failed) {
				step = failed.check + " check"
			}
			errs = append(errs, fmt.Errorf("MountVolume.%s failed for volume %q : %w", step, v.Name, err))
			continue
		}
		got.mounted = m.volumes[v.Name].mounted
		m.volumes[v.Name] = got
	}
	mounted, err := nodefs.MountsBelow(m.dir)
	for name, v := range m.volumes {
		v.mounted = v.mounted || slices.Contains(mounted, v.Path)
		m.volumes[name] = v
	}
	return errors.Join(append(errs, err)...)
}

// Missing returns the volumes whose mount or directory another program has removed since they
// were set up, by name: those that it has not returned before, and the others. Get does not return
// them until they are there again. What a mount leads to is not looked at: it may not answer.
func (m *Manager) Missing() (found, known []string, err error) {
	mounted, err := nodefs.MountsBelow(m.dir)
	if err != nil {
		return nil, nil, err
	}
	for name, v := range m.volumes {
		gone := v.mounted && !slices.Contains(mounted, v.Path)
		if !v.mounted {
			_, err := os.Lstat(v.Path)
			gone = errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
		}
		switch {
		case gone && v.missing:
			known = append(known, name)
		case gone:
			found = append(found, name)
		}
		v.missing = gone
		m.volumes[name] = v
	}
	slices.Sort(found)
	slices.Sort(known)
	return found, known, nil
}

// SetUpAgain is SetUp of the named volumes alone, with images, which are on the machine.
func (m *Manager) SetUpAgain(ctx context.Context, pod *v1.Pod, podIP string, getter objects.Getter, names []string) error {
	some := *pod
	some.Spec.Volumes = slices.DeleteFunc(slices.Clone(pod.Spec.Volumes), func(v v1.Volume) bool { return !slices.Contains(names, v.Name) })
	var errs []error
	for i := range some.Spec.Volumes {
		if v := &some.Spec.Volumes[i]; v.Image != nil {
			errs = append(errs, m.SetUpImage(ctx, v))
		}
	}
	return errors.Join(append(errs, m.SetUp(ctx, &some, podIP, getter))...)
}

// Get returns a volume that is set up.
func (m *Manager) Get(name string) (Volume, bool) {
	v, ok := m.volumes[name]
	return v, ok && !v.missing
}

// Complete reports whether all volumes of the pod but images are set up.
func (m *Manager) Complete(pod *v1.Pod) bool {
	return !slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		_, ok := m.volumes[v.Name]
		return !ok && v.Image == nil
	})
}

// maxEnvFile is how much of variables a file may have, as a ConfigMap. A pod can write anything.
const maxEnvFile = 1 << 20

// EnvFile reads a file with variables. Links mean what they mean to a process whose / is the
// volume.
func (m *Manager) EnvFile(name, path string) ([]byte, error) {
	v, ok := m.Get(name)
	if !ok {
		return nil, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", name)
	}
	f, mode, err := nodefs.OpenPath(v.Path, path)
	if err != nil {
		return nil, fmt.Errorf("couldn't parse env file: %s of volume %q: %w", path, name, reason(err))
	}
	defer f.Close()
	text, err := nodefs.ReadRegular(f, mode, maxEnvFile)
	if err != nil {
		return nil, fmt.Errorf("couldn't parse env file: %s of volume %q: %w", path, name, reason(err))
	}
	return text, nil
}

// reason is an error without the path on the node's disk.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Claims returns the paths of the claims' volumes that are set up, by the claims' names, without
// devices and without those that another machine serves.
func (m *Manager) Claims() map[string]string {
	out := map[string]string{}
	for i := range m.pod.Spec.Volumes {
		ref := m.pod.Spec.Volumes[i].PersistentVolumeClaim
		if v, ok := m.volumes[m.pod.Spec.Volumes[i].Name]; ok && ref != nil && !v.Device && !v.remote {
			out[ref.ClaimName] = v.Path
		}
	}
	return out
}

// Plugins counts the volumes that are set up, by upstream's names of the plugins.
func (m *Manager) Plugins() map[string]int {
	out := map[string]int{}
	for i := range m.pod.Spec.Volumes {
		if v := &m.pod.Spec.Volumes[i]; m.volumes[v.Name].Path != "" {
			out[PluginName(v)]++
		}
	}
	return out
}

// TearDown unmounts all volumes of a pod that has terminated, and removes its emptyDirs.
func (m *Manager) TearDown() error {
	if err := nodefs.UnmountBelow(m.dir); err != nil {
		return err
	}
	return nodefs.UnmountAndRemove(filepath.Dir(m.path("empty-dir", "x")))
}

// NeedsRefresh reports whether the content of a pod's volumes can change while it runs.
func NeedsRefresh(pod *v1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if (payloadPlugin{}).Supports(&v) {
			return true
		}
	}
	return false
}

// Usage returns the usage of each of the pod's volumes that are on the node's disk.
func (m *Manager) Usage(pod *v1.Pod, cache *nodefs.UsageCache, now time.Time) map[string]nodefs.Usage {
	out := map[string]nodefs.Usage{}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumDefault:
			out[v.Name] = cache.Of(m.path("empty-dir", v.Name), now)
		case v.GitRepo != nil:
			out[v.Name] = cache.Of(m.path("git-repo", v.Name), now)
		}
	}
	return out
}

// path is where a volume of a kind lies.
func (m *Manager) path(kind, name string) string {
	return filepath.Join(m.dir, "volumes", "kubernetes.io~"+kind, name)
}
