//go:build !quick

package kubelet_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/wait"
)

// succeeds runs a pod's script to its end and expects success.
func (n *testNode) succeeds(p *v1.Pod) *v1.Pod {
	n.t.Helper()
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(p)
	p = n.wait(p.Name, "its end", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed })
	if p.Status.Phase != v1.PodSucceeded {
		n.t.Errorf("%s: %+v\n%s", p.Name, p.Status.ContainerStatuses, n.logs(p, containerID(p)))
	}
	return p
}

func mounted(p *v1.Pod, name string, source v1.VolumeSource, mount v1.VolumeMount) {
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: name, VolumeSource: source})
	mount.Name = name
	p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, mount)
}

// A variable comes from a file that an init container has written.
func TestVariablesFromAFile(t *testing.T) {
	n := newNode(t)
	from := func(key string) []v1.EnvVar {
		return []v1.EnvVar{{Name: "GREETING", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "env", Path: "made/env", Key: key}}}}
	}
	make := func(name, key string) *v1.Pod {
		p := pod(name, `test "$GREETING" = "$(printf 'hello\n$HOME')"`)
		p.Spec.InitContainers = []v1.Container{*p.Spec.Containers[0].DeepCopy()}
		p.Spec.InitContainers[0].Name = "make"
		p.Spec.InitContainers[0].Command = []string{"sh", "-c", `mkdir /env/made && printf "# made\nGREETING='hello\n\$HOME'\n" > /env/made/env`}
		p.Spec.InitContainers[0].VolumeMounts = []v1.VolumeMount{{Name: "env", MountPath: "/env"}}
		p.Spec.Containers[0].Env = from(key)
		p.Spec.Volumes = []v1.Volume{{Name: "env", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		return p
	}
	n.succeeds(make("file", "GREETING"))
	n.create(make("missing", "OTHER"))
	n.saysAll(`Warning Failed Error: environment variable key "OTHER" not found in file "made/env"`)
	n.wait("missing", "waiting", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	n.delete2("file", "missing")
}

// serveGit serves a repository of two commits by git's own daemon, and returns the first.
func serveGit(t *testing.T) (url, first string) {
	t.Helper()
	root := t.TempDir()
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+root, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	work := filepath.Join(root, "hello")
	run(root, "init", "-q", work)
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(work, "file"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(work, "add", "file")
		run(work, "commit", "-q", "-m", text)
		if first == "" {
			first = run(work, "rev-parse", "HEAD")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	daemon := exec.Command("git", "daemon", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--export-all", "--base-path="+root, root)
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // git starts the daemon proper
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL); _ = daemon.Wait() })
	wait.Within(t, patience, "git's daemon", func() error {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err
	})
	return "git://127.0.0.1:" + port + "/hello", first
}

// A git repository is there before the container starts: the newest or the revision that
// is set, in a directory of its name or the one that is set.
func TestGitRepo(t *testing.T) {
	url, first := serveGit(t)
	n := newNode(t)
	p := pod("git", `set -e; test "$(cat /a/hello/file)" = two; test "$(cat /b/file)" = one; test "$(cat /c/sub/file)" = one; touch /a/mine`)
	mounted(p, "a", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url}}, v1.VolumeMount{MountPath: "/a"})
	mounted(p, "b", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url, Revision: first, Directory: "."}}, v1.VolumeMount{MountPath: "/b"})
	mounted(p, "c", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url, Revision: first, Directory: "sub"}}, v1.VolumeMount{MountPath: "/c"})
	n.succeeds(p)

	bad := pod("nogit", "true")
	mounted(bad, "local", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: "file:///etc"}}, v1.VolumeMount{MountPath: "/a"})
	mounted(bad, "gone", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url + "x"}}, v1.VolumeMount{MountPath: "/b"})
	mounted(bad, "out", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url, Directory: "../../x"}}, v1.VolumeMount{MountPath: "/c"})
	n.create(bad)
	n.saysAll(
		`FailedMount MountVolume.SetUp failed for volume "local" : failed to exec 'git clone -- file:///etc': `, "transport 'file' not allowed",
		`Warning FailedMount MountVolume.SetUp failed for volume "gone" : failed to exec 'git clone -- `+url+`x': `,
		`Warning FailedMount MountVolume.SetUp failed for volume "out" : the directory "../../x" of a git repository must lie in the volume`)
	n.delete2("git", "nogit")
}

// saysAll waits for events with these texts.
func (n *testNode) saysAll(texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		wait.Within(n.t, patience, "an event with "+text, func() error {
			all := n.events.String()
			return wait.Seen(strings.Contains(all, text), all)
		})
	}
}

// A node starts whatever its pods have made of its disk.
func TestDiskThatAPodHasSpoiled(t *testing.T) {
	n := newNodeWith(t, func(c *kubelet.Config) {
		for _, err := range []error{os.MkdirAll(c.HostRoot, 0o755), syscall.Mkfifo(c.HostRoot+"/etc", 0o644), os.Symlink("/nowhere", c.HostRoot+"/var")} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	n.succeeds(pod("starts", "true"))
	n.delete2("starts")
}

// What a node cannot mount is reported, with what to use instead.
func TestRefusedVolumes(t *testing.T) {
	n := newNode(t)
	want := []string{}
	refuse := func(kind string, source v1.VolumeSource) {
		p := pod("no-"+strings.ToLower(kind), "true")
		mounted(p, "v", source, v1.VolumeMount{MountPath: "/v"})
		n.create(p)
		want = append(want, "Warning FailedMount MountVolume.SetUp failed for volume \"v\" : volumes of kind "+kind+" are not supported on this node: ")
	}
	refuse("awsElasticBlockStore", v1.VolumeSource{AWSElasticBlockStore: &v1.AWSElasticBlockStoreVolumeSource{VolumeID: "x"}})
	refuse("gcePersistentDisk", v1.VolumeSource{GCEPersistentDisk: &v1.GCEPersistentDiskVolumeSource{PDName: "x"}})
	refuse("glusterfs", v1.VolumeSource{Glusterfs: &v1.GlusterfsVolumeSource{EndpointsName: "x", Path: "y"}})
	refuse("iscsi", v1.VolumeSource{ISCSI: &v1.ISCSIVolumeSource{IQN: "x"}})
	refuse("rbd", v1.VolumeSource{RBD: &v1.RBDVolumeSource{RBDImage: "x"}})
	refuse("csi", v1.VolumeSource{CSI: &v1.CSIVolumeSource{Driver: "x"}})
	n.saysAll(want...)
	for i, kind := range []v1.HostPathType{v1.HostPathDirectory, v1.HostPathFile, v1.HostPathSocket, v1.HostPathCharDev, v1.HostPathBlockDev} {
		p := pod(fmt.Sprint("type", i), "true")
		mounted(p, "h", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/none" + string(kind), Type: &kind}}, v1.VolumeMount{MountPath: "/v"})
		n.create(p)
	}
	n.saysAll("hostPath type check failed: /noneDirectory is not a directory", "/noneFile is not a file", "/noneSocket is not a socket",
		"/noneCharDevice is not a character device", "/noneBlockDevice is not a block device")
	all, err := n.client.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range all.Items {
		names = append(names, p.Name)
		if p.Status.Phase != v1.PodPending {
			t.Errorf("%s is %s", p.Name, p.Status.Phase)
		}
	}
	n.delete2(names...)
}

// On a disk of the node's own a pod makes no devices, which a local volume could have the
// kubelet mount, unless it requests the capability. No container begins in what the runtime has
// open.
func TestWhatContainersMayNot(t *testing.T) {
	n := newNode(t)
	kind := v1.HostPathDirectoryOrCreate
	disk := v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/devices", Type: &kind}}
	p := pod("plain", "! mknod /v/plain b 7 0 && touch /v/file && mknod /v/pipe p")
	mounted(p, "v", disk, v1.VolumeMount{MountPath: "/v"})
	n.succeeds(p)
	asked := pod("asked", "mknod /v/asked b 7 0")
	mounted(asked, "v", disk, v1.VolumeMount{MountPath: "/v"})
	asked.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"MKNOD"}}}
	n.succeeds(asked)
	n.succeeds(pod("nodisk", "mknod /dev/mine b 7 0"))
	out := pod("out", "pwd; ls /proc/self/cwd/")
	out.Spec.Containers[0].WorkingDir = "/proc/self/fd/8/../../.."
	n.create(out)
	n.wait("out", "a refusal", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CreateContainerConfigError" && strings.Contains(s[0].State.Waiting.Message, "is an open file of a process")
	})
	n.delete2("plain", "asked", "nodisk", "out")
}

// An NFS export that cannot be mounted is reported; where the kernel has NFS at all, the
// server's silence is the reason.
func TestNFS(t *testing.T) {
	n := newNode(t)
	p := pod("nfs", "true")
	mounted(p, "remote", v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "127.0.0.1", Path: "/exports"}}, v1.VolumeMount{MountPath: "/v"})
	n.create(p)
	text := "the kernel of this node has no NFS (no nfs in /proc/filesystems): load the module nfs, or use"
	if known, err := os.ReadFile("/proc/filesystems"); err == nil && strings.Contains(string(known), "nfs") {
		text = "mount failed: "
	}
	n.saysAll(`Warning FailedMount MountVolume.SetUp failed for volume "remote" : ` + text)
	n.delete("nfs")
}

// Paths in volumes: made, expanded, and never outside, whatever links a container makes.
func TestSubPaths(t *testing.T) {
	n := newNode(t)
	kind := v1.HostPathDirectoryOrCreate
	disk := v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/sub", Type: &kind}}
	p := pod("sub", `set -e; echo here > /own/f; test "$(cat /all/logs/sub/f)" = here; test "$(cat /one)" = text; echo more > /one; ln -s /etc /all/evil; ln -s ../.. /all/up; ln -s logs /all/inside`)
	p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "POD", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	mounted(p, "disk", disk, v1.VolumeMount{MountPath: "/all"})
	p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts,
		v1.VolumeMount{Name: "disk", MountPath: "/own", SubPathExpr: "logs/$(POD)"}, v1.VolumeMount{Name: "disk", MountPath: "/one", SubPath: "file"})
	if err := os.MkdirAll(n.root+"/disk/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.root+"/disk/sub/file", []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.succeeds(p)
	if data, err := os.ReadFile(n.root + "/disk/sub/file"); err != nil || string(data) != "more\n" {
		t.Errorf("the file: %q %v", data, err)
	}
	n.delete("sub")

	for name, c := range map[string]struct{ path, expr, want string }{
		"evil":   {path: "evil", want: `failed to prepare subPath for volumeMount "disk" of container "main"`},
		"up":     {path: "up", want: `failed to prepare subPath for volumeMount "disk" of container "main"`},
		"nowhat": {expr: "$(NOBODY)", want: `missing value for "NOBODY"`},
	} {
		q := pod(name, "true")
		mounted(q, "disk", disk, v1.VolumeMount{MountPath: "/v", SubPath: c.path, SubPathExpr: c.expr})
		n.create(q)
		n.wait(name, "a refusal", func(p *v1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CreateContainerConfigError" && strings.Contains(s[0].State.Waiting.Message, c.want)
		})
		n.delete(name)
	}
	inside := pod("inside", "test -e /v/sub/f")
	mounted(inside, "disk", disk, v1.VolumeMount{MountPath: "/v", SubPath: "inside"})
	n.succeeds(inside)
	n.delete("inside")
}

// Memory with a limit, everything in one projected directory, modes and groups.
func TestMemoryAndProjected(t *testing.T) {
	n := newNode(
		t, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cm"}, Data: map[string]string{"a": "from cm"}, BinaryData: map[string][]byte{"b": {0, 1}}},
		&v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sec"}, Data: map[string][]byte{"s": []byte("from sec")}})
	p := pod("parts", `set -e
test "$(cat /all/cm/a)" = "from cm"; test "$(cat /all/s)" = "from sec"; test "$(cat /all/cpu)" = 250; test "$(cat /all/name)" = parts
test "$(stat -Lc %a /all/cm/a)" = 640; test "$(stat -Lc %a /all/s)" = 440; test "$(stat -Lc %g /all/s)" = 2000
test ! -e /all/absent; test -z "$(ls /opt-none)"
test "$(stat -c %g:%a /data)" = 2000:2777; test "$(stat -c %g:%a /memory)" = 2000:3777
df -k /memory | grep -q " 1024 "; ! dd if=/dev/zero of=/memory/f bs=1M count=2 2>/dev/null; id -G | grep -qw 2000; id -G | grep -qw 3000`)
	p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: new(int64(2000)), SupplementalGroups: []int64{3000}}
	p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m")}
	size := resource.MustParse("1Mi")
	mounted(p, "memory", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: &size}}, v1.VolumeMount{MountPath: "/memory"})
	mounted(p, "data", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, v1.VolumeMount{MountPath: "/data"})
	mounted(p, "none", v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "none"}, Optional: new(true)}}, v1.VolumeMount{MountPath: "/opt-none"})
	mounted(p, "all", v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{DefaultMode: new(int32(0o600)), Sources: []v1.VolumeProjection{
		{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Items: []v1.KeyToPath{{Key: "a", Path: "cm/a"}, {Key: "b", Path: "cm/b"}}}},
		{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "sec"}, Items: []v1.KeyToPath{{Key: "s", Path: "s", Mode: new(int32(0o400))}}}},
		{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "absent"}, Optional: new(true)}},
		{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{
			{Path: "name", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			{Path: "cpu", ResourceFieldRef: &v1.ResourceFieldSelector{ContainerName: "main", Resource: "requests.cpu", Divisor: resource.MustParse("1m")}},
		}}},
	}}}, v1.VolumeMount{MountPath: "/all"})
	n.succeeds(p)
	n.delete("parts")
}

// A pod renames a directory and a link that leads out of the node's disk in a loop; others
// that have the directory as a volume get it, or wait.
func TestHostPathRaceOfPods(t *testing.T) {
	n := newNode(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	directory := func(path string, kind v1.HostPathType) v1.VolumeSource {
		return v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}
	}
	racer := pod("racer", fmt.Sprintf(`cd /all; mkdir data; touch data/inside; ln -s %s link
while :; do mv data real; mv link data; mv data link; mv real data; sleep 0.03; done`, outside))
	mounted(racer, "all", directory("/race", v1.HostPathDirectoryOrCreate), v1.VolumeMount{MountPath: "/all"})
	n.create(racer)
	n.wait("racer", "it to run", isReady)
	var names []string
	for i := range 8 {
		p := pod(fmt.Sprint("victim", i), "test -e /v/inside && test ! -e /v/secret")
		mounted(p, "v", directory("/race/data", v1.HostPathDirectory), v1.VolumeMount{MountPath: "/v"})
		names = append(names, p.Name)
		n.succeeds(p)
	}
	n.delete2(append(names, "racer")...)
}
