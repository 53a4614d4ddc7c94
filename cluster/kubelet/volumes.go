package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
)

// volumes prepares the volumes of one pod below its folder.
type volumes struct {
	k       *Kubelet
	objects objects.Getter // how the present task looks things up
	dir     string         // of the pod
	tokens  map[string]token
	paths   map[string]volume // what is prepared, by the volume's name
}

type volume struct {
	path     string
	readOnly bool
	file     bool // the path is a file or device rather than a folder
	device   bool // the path is a device that containers get as one
	sealed   bool // the file system itself is read-only, and must not be mounted with other flags
}

type token struct {
	value  string
	renew  time.Time
	expire time.Time
}

// ensure prepares all volumes; what is prepared is brought up to date.
func (v *volumes) ensure(ctx context.Context, pod *v1.Pod, podIP string) error {
	var errs []error
	for i := range pod.Spec.Volumes {
		spec := &pod.Spec.Volumes[i]
		if spec.Image != nil {
			continue // imageVolumes does it, when a container needs it
		}
		got, err := v.one(ctx, pod, spec, podIP)
		if err != nil {
			errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", spec.Name, err))
			continue
		}
		v.paths[spec.Name] = got
	}
	return errors.Join(errs...)
}

// changes tells whether the content of a pod's volumes can change while it runs.
func changes(pod *v1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil || v.ConfigMap != nil || v.Projected != nil || v.DownwardAPI != nil {
			return true
		}
	}
	return false
}

func (v *volumes) path(kind, name string) string {
	return filepath.Join(v.dir, "volumes", "kubernetes.io~"+kind, name)
}

func (v *volumes) one(ctx context.Context, pod *v1.Pod, spec *v1.Volume, podIP string) (volume, error) {
	switch {
	case spec.EmptyDir != nil:
		return v.emptyDir(pod, spec)
	case spec.HostPath != nil:
		return v.hostPath(spec.Name, spec.HostPath)
	case spec.PersistentVolumeClaim != nil:
		return v.claim(ctx, pod, spec.Name, spec.PersistentVolumeClaim)
	case spec.Ephemeral != nil:
		return v.ephemeral(ctx, pod, spec.Name)
	case spec.NFS != nil:
		return v.nfs(ctx, spec.Name, spec.NFS, nil)
	case spec.GitRepo != nil:
		return v.gitRepo(ctx, pod, spec.Name, spec.GitRepo)
	}
	p := &payloadContext{
		pod: pod, objects: v.objects, hostIP: v.k.config.NodeIP.String(), podIP: podIP, capacity: v.k.capacity,
		token: func(ctx context.Context, p *v1.ServiceAccountTokenProjection) (string, error) {
			return v.token(ctx, pod, p)
		},
	}
	files, ok, err := volumePayload(ctx, p, spec)
	if err != nil {
		return volume{}, err
	}
	if !ok {
		return volume{}, unsupported(spec.VolumeSource)
	}
	return v.write(pod, spec, files)
}

// write puts a payload into memory, as it may be secret.
func (v *volumes) write(pod *v1.Pod, spec *v1.Volume, files payload) (volume, error) {
	kind := "configmap"
	switch {
	case spec.Secret != nil:
		kind = "secret"
	case spec.Projected != nil:
		kind = "projected"
	case spec.DownwardAPI != nil:
		kind = "downward-api"
	}
	dir := v.path(kind, spec.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return volume{}, err
	}
	if kind == "secret" || kind == "projected" {
		if err := nodefs.MountTmpfs(dir, 0); err != nil {
			return volume{}, err
		}
	}
	// The root of a tmpfs is writable for all.
	if err := os.Chmod(dir, 0o755); err != nil {
		return volume{}, err
	}
	_, err := writeVolume(dir, files, fsGroup(pod), time.Now().UTC().Format("2006_01_02_15_04_05"))
	return volume{path: dir, readOnly: true}, err
}

// fsGroup is the group that owns the pod's volumes, or -1.
func fsGroup(pod *v1.Pod) int {
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		return int(*sc.FSGroup)
	}
	return -1
}

func (v *volumes) emptyDir(pod *v1.Pod, spec *v1.Volume) (volume, error) {
	dir := v.path("empty-dir", spec.Name)
	_, known := v.paths[spec.Name]
	if known {
		return volume{path: dir}, nil
	}
	_, err := os.Lstat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return volume{}, err
	}
	switch spec.EmptyDir.Medium {
	case v1.StorageMediumDefault:
	case v1.StorageMediumMemory:
		size := int64(0)
		if spec.EmptyDir.SizeLimit != nil {
			size = spec.EmptyDir.SizeLimit.Value()
		}
		if err := nodefs.MountTmpfs(dir, size); err != nil {
			return volume{}, err
		}
	default:
		return volume{}, fmt.Errorf("emptyDir medium %q is not supported; leave it out, or use Memory", spec.EmptyDir.Medium)
	}
	if fresh {
		mode := fs.FileMode(0o777)
		if spec.EmptyDir.Medium == v1.StorageMediumMemory {
			mode |= fs.ModeSticky // as the kernel makes a tmpfs
		}
		if group := fsGroup(pod); group >= 0 {
			if err := os.Chown(dir, -1, group); err != nil {
				return volume{}, err
			}
			mode |= fs.ModeSetgid
		}
		if err := os.Chmod(dir, mode); err != nil {
			return volume{}, err
		}
	}
	return volume{path: dir}, nil
}

// claim follows a claim to its volume.
func (v *volumes) claim(ctx context.Context, pod *v1.Pod, name string, ref *v1.PersistentVolumeClaimVolumeSource) (volume, error) {
	core := v.k.config.Client.CoreV1()
	pvc, err := core.PersistentVolumeClaims(pod.Namespace).Get(ctx, ref.ClaimName, metav1.GetOptions{})
	if err != nil {
		return volume{}, objects.Missing("persistentvolumeclaim", ref.ClaimName, err)
	}
	if pvc.Spec.VolumeName == "" || pvc.Status.Phase != v1.ClaimBound {
		return volume{}, fmt.Errorf("persistentvolumeclaim %q is not bound to a volume yet", ref.ClaimName)
	}
	pv, err := core.PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return volume{}, objects.Missing("persistentvolume", pvc.Spec.VolumeName, err)
	}
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != pvc.UID {
		return volume{}, fmt.Errorf("persistentvolume %q is bound to another claim than %q", pv.Name, ref.ClaimName)
	}
	if err := modeFits(pod, name, inBlocks(pv)); err != nil {
		return volume{}, err
	}
	out, err := v.persistent(ctx, name, pv)
	out.readOnly = out.readOnly || ref.ReadOnly
	_, known := v.paths[name]
	if err == nil && !known && !out.readOnly && !out.file && (pv.Spec.Local != nil || provisioned(pv)) {
		err = v.own(pod, pv.Name, out.path)
	}
	return out, err
}

// persistent prepares what a persistent volume stands for, under the name that the pod has
// for it: another volume of the pod may have the name of the persistent volume.
func (v *volumes) persistent(ctx context.Context, name string, pv *v1.PersistentVolume) (volume, error) {
	switch {
	case pv.Spec.Local != nil:
		return v.local(ctx, name, pv)
	case inBlocks(pv):
		return volume{}, fmt.Errorf("persistentvolume %q has volumeMode Block, which on this node only volumes of kind local have", pv.Name)
	case pv.Spec.HostPath != nil:
		if provisioned(pv) {
			if err := v.k.makeProvisioned(pv); err != nil {
				return volume{}, err
			}
		}
		return v.hostPath(name, pv.Spec.HostPath)
	case pv.Spec.NFS != nil:
		return v.nfs(ctx, name, pv.Spec.NFS, pv.Spec.MountOptions)
	}
	return volume{}, fmt.Errorf("persistentvolume %q: %w", pv.Name, unsupported(pv.Spec.PersistentVolumeSource))
}

// ephemeral is a volume whose claim is made with the pod, and for it alone.
func (v *volumes) ephemeral(ctx context.Context, pod *v1.Pod, name string) (volume, error) {
	claim := pod.Name + "-" + name
	pvc, err := v.k.config.Client.CoreV1().PersistentVolumeClaims(pod.Namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil {
		return volume{}, objects.Missing("persistentvolumeclaim", claim, err)
	}
	if !metav1.IsControlledBy(pvc, pod) {
		return volume{}, fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", pod.Namespace, claim, pod.Namespace, pod.Name)
	}
	return v.claim(ctx, pod, name, &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim})
}

// unsupported names the kind of a volume that cannot be mounted, and the way out.
func unsupported(source any) error {
	kind := "unknown"
	fields := reflect.ValueOf(source)
	for i := range fields.NumField() {
		if !fields.Field(i).IsNil() {
			kind, _, _ = strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		}
	}
	const files = "emptyDir, configMap, secret, projected or downwardAPI for files"
	return fmt.Errorf("volumes of kind %s are not supported on this node: it has no disks of a cloud or a storage system; "+
		"use persistentVolumeClaim, hostPath or nfs for data that is kept, %s", kind, files)
}

// token is the pod's token, renewed when four fifths of its time are over.
func (v *volumes) token(ctx context.Context, pod *v1.Pod, p *v1.ServiceAccountTokenProjection) (string, error) {
	key := p.Audience + "\x00" + p.Path
	now := time.Now()
	have, ok := v.tokens[key]
	if ok && now.Before(have.renew) {
		return have.value, nil
	}
	account := cmp.Or(pod.Spec.ServiceAccountName, "default")
	res, err := v.k.config.Client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, account, tokenRequest(pod, p), metav1.CreateOptions{})
	if err != nil {
		if ok && now.Before(have.expire) { // the old one serves until the server is back
			return have.value, nil
		}
		return "", err
	}
	expire := res.Status.ExpirationTimestamp.Time
	v.tokens[key] = token{res.Status.Token, now.Add(expire.Sub(now) * 4 / 5), expire}
	return res.Status.Token, nil
}
