//go:build !quick

package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/nodefs"
)

func localPV(path string, mode v1.PersistentVolumeMode) *v1.PersistentVolume {
	return &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: v1.PersistentVolumeSpec{
		VolumeMode: &mode, PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
	}}
}

// A local volume is there, and is of its mode, or the pod waits with a reason.
func TestLocalVolume(t *testing.T) {
	disk := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(disk, "directory"), 0o755), os.WriteFile(filepath.Join(disk, "file"), nil, 0o600),
		unix.Mknod(filepath.Join(disk, "device"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 255))), os.Symlink("/device", filepath.Join(disk, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := NewManager(Config{HostRoot: disk}, t.TempDir())
	t.Cleanup(func() { _ = nodefs.UnmountBelow(m.dir) })
	for _, c := range []struct {
		path string
		mode v1.PersistentVolumeMode
		want string // what is mounted, or why nothing is
	}{
		{"/directory", v1.PersistentVolumeFilesystem, "directory"},
		{"/device", v1.PersistentVolumeBlock, "device"},
		{"/link", v1.PersistentVolumeBlock, "device"},
		{"/none", v1.PersistentVolumeFilesystem, `path "/none" does not exist`},
		{"/file", v1.PersistentVolumeFilesystem, `path "/file" is neither a directory nor a block device`},
		{"/directory", v1.PersistentVolumeBlock, `path "/directory" is not a block device, as volumeMode Block asks for`},
	} {
		got, err := m.persistent(t.Context(), "v", localPV(c.path, c.mode))
		said := ""
		if err != nil {
			said = err.Error()
		} else if same, err := sameFiles(got.Path, filepath.Join(disk, c.want)); err == nil && same {
			said = c.want
		}
		if said != c.want || got.Device != (c.want == "device") {
			t.Errorf("%s as %s: %+v, %v", c.path, c.mode, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(disk, "none")); err == nil {
		t.Error("a local volume was made")
	}
}

// Mount options of a local directory hold for its mount; a host path refuses them.
func TestMountOptions(t *testing.T) {
	disk := t.TempDir()
	if err := os.Mkdir(filepath.Join(disk, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := NewManager(Config{HostRoot: disk}, t.TempDir())
	t.Cleanup(func() { _ = nodefs.UnmountBelow(m.dir) })
	pv := localPV("/directory", v1.PersistentVolumeFilesystem)
	pv.Spec.MountOptions = []string{"noexec", "ro"}
	for range 2 { // the second time it is there
		got, err := m.persistent(t.Context(), "v", pv)
		if err != nil {
			t.Fatal(err)
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(got.Path, &fs); err != nil || fs.Flags&unix.ST_NOEXEC == 0 || fs.Flags&unix.ST_RDONLY == 0 {
			t.Errorf("%s: flags %x, %v", got.Path, fs.Flags, err)
		}
	}
	host := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "host", Annotations: map[string]string{v1.MountOptionAnnotation: "hard,nolock"}}}
	host.Spec.HostPath = &v1.HostPathVolumeSource{Path: "/directory"}
	if _, err := m.persistent(t.Context(), "h", host); err == nil || err.Error() != "mount options are not supported for this volume type" {
		t.Errorf("mount options of a host path: %v", err)
	}
	if got := mountOptions(host); !slices.Equal(got, []string{"hard", "nolock"}) {
		t.Errorf("the annotation: %q", got)
	}
}

// A pod that names its node itself gets no volume of another node.
func TestVolumeNodeAffinity(t *testing.T) {
	pv := localPV("/directory", v1.PersistentVolumeFilesystem)
	pv.Spec.NodeAffinity = &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
		MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{"other"}}},
	}}}}
	pv.Spec.ClaimRef = &v1.ObjectReference{UID: "claim"}
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "claim", UID: "claim"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "pv"}, Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
	}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{v1.LabelHostname: "n"}}}
	m := NewManager(Config{Client: fake.NewClientset(pv, claim, node), HostRoot: t.TempDir()}, t.TempDir())
	t.Cleanup(func() { _ = nodefs.UnmountBelow(m.dir) })
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: v1.PodSpec{NodeName: "n", Volumes: []v1.Volume{{
		Name: "v", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}},
	}}}}
	const want = `MountVolume.NodeAffinity check failed for volume "v" : no matching NodeSelectorTerms`
	if err := m.SetUp(t.Context(), pod, "", nil); err == nil || err.Error() != want {
		t.Errorf("a volume of another node: %v", err)
	}
}

func sameFiles(a, b string) (bool, error) {
	f, err := os.OpenFile(a, unix.O_PATH, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return sameAs(f, b)
}

func TestVolumeModes(t *testing.T) {
	p := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{VolumeDevices: []v1.VolumeDevice{{Name: "raw"}}}},
		Containers:     []v1.Container{{VolumeMounts: []v1.VolumeMount{{Name: "files"}}}},
	}}
	for _, c := range []struct {
		name  string
		block bool
		want  string
	}{
		{"raw", true, "<nil>"},
		{"files", false, "<nil>"},
		{"unused", true, "<nil>"},
		{"raw", false, "volume raw has volumeMode Filesystem, but is specified in volumeDevices"},
		{"files", true, "volume files has volumeMode Block, but is specified in volumeMounts"},
	} {
		if got := fmt.Sprint(modeFits(p, c.name, c.block)); got != c.want {
			t.Errorf("%s, block %v: %s", c.name, c.block, got)
		}
	}
}

// A volume belongs to the group of the pod that comes first; when that is over, to the
// next one's.
func TestVolumeGroup(t *testing.T) {
	pods, disk := t.TempDir(), t.TempDir()
	outside := filepath.Join(pods, "outside")
	for _, err := range []error{
		os.Mkdir(filepath.Join(disk, "sub"), 0o700), os.WriteFile(filepath.Join(disk, "sub/file"), nil, 0o600),
		os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(disk, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	events := record.NewFakeRecorder(10)
	use := func(name string, group int64, policy v1.PodFSGroupChangePolicy) *Manager {
		t.Helper()
		m := NewManager(Config{Recorder: events}, filepath.Join(pods, name))
		p := &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{FSGroup: &group, FSGroupChangePolicy: &policy}}}
		if err := m.own(p, "pv", disk); err != nil {
			t.Fatal(err)
		}
		return m
	}
	check := func(name string, group int, mode fs.FileMode) {
		t.Helper()
		info, err := os.Lstat(filepath.Join(disk, name))
		if err != nil {
			t.Fatal(err)
		}
		if gid := int(info.Sys().(*syscall.Stat_t).Gid); gid != group || info.Mode() != mode {
			t.Errorf("%s: group %d, %s", name, gid, info.Mode())
		}
	}
	first := use("first", 1234, v1.FSGroupChangeAlways)
	check("sub", 1234, fs.ModeDir|fs.ModeSetgid|0o770)
	check("sub/file", 1234, 0o660)
	if info, err := os.Stat(outside); err != nil || info.Mode() != 0o600 || groupOf(outside) != 0 {
		t.Errorf("what a link leads to: %v, group %d, %v", info, groupOf(outside), err)
	}
	second := use("second", 77, v1.FSGroupChangeAlways)
	check("sub/file", 1234, 0o660)
	want := "Warning AlreadyMountedVolume The requested fsGroup is 77, but the volume pv has GID 1234. The volume may not be shareable."
	if got := <-events.Events; got != want {
		t.Errorf("the event: %s", got)
	}
	for _, v := range []*Manager{first, second} {
		if err := os.RemoveAll(v.dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(disk, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third := use("third", 1234, v1.FSGroupChangeOnRootMismatch)
	check("new", 1234, 0o600) // the directory was the group's already
	if err := os.RemoveAll(third.dir); err != nil {
		t.Fatal(err)
	}
	use("fourth", 77, v1.FSGroupChangeOnRootMismatch)
	check("new", 77, 0o660)
	check("sub/file", 77, 0o660)
}

func TestFileSystemNames(t *testing.T) {
	m := NewManager(Config{}, t.TempDir())
	pv := localPV("/x", v1.PersistentVolumeFilesystem)
	for _, kind := range []string{"../../tmp/x", "ext4 -o x", "-x"} {
		pv.Spec.Local.FSType = &kind
		if _, err := m.mountDevice(t.Context(), "v", pv, "/dev/null"); err == nil || !strings.Contains(err.Error(), "is not a file system") {
			t.Errorf("%q: %v", kind, err)
		}
	}
}
