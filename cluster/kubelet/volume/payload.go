package volume

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podspec"
)

// file is a file of a volume that the kubelet writes.
type file struct {
	data  []byte
	mode  int32
	owner *int64 // nil is root
}

// payload is the content of such a volume by relative path.
type payload map[string]file

// payloadContext is what payloads are computed from.
type payloadContext struct {
	pod           *v1.Pod
	objects       objects.Getter
	hostIP, podIP string
	capacity      v1.ResourceList
	token         func(ctx context.Context, p *v1.ServiceAccountTokenProjection) (string, error)
}

const defaultMode int32 = 0o644

// payloadPlugin writes ConfigMaps, Secrets, the downward API and projections of them.
type payloadPlugin struct{}

// Supports implements Plugin.
func (payloadPlugin) Supports(v *v1.Volume) bool {
	return v.Secret != nil || v.ConfigMap != nil || v.DownwardAPI != nil || v.Projected != nil
}

// SetUp implements Plugin. Secrets and tokens are kept in memory.
func (payloadPlugin) SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	files, err := volumePayload(ctx, &payloadContext{m.pod, m.objects, m.NodeIP, m.podIP, m.Capacity, m.token}, v)
	if err != nil {
		return Volume{}, err
	}
	kind := "configmap"
	switch {
	case v.Secret != nil:
		kind = "secret"
	case v.Projected != nil:
		kind = "projected"
	case v.DownwardAPI != nil:
		kind = "downward-api"
	}
	dir := m.path(kind, v.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Volume{}, err
	}
	if kind == "secret" || kind == "projected" {
		if err := nodefs.MountTmpfs(dir, 0); err != nil {
			return Volume{}, err
		}
	}
	// The root of a tmpfs is writable for all.
	if err := os.Chmod(dir, 0o755); err != nil {
		return Volume{}, err
	}
	_, err = writeVolume(dir, files, fsGroup(m.pod), time.Now().UTC().Format("2006_01_02_15_04_05"))
	return Volume{Path: dir, ReadOnly: true}, err
}

// volumePayload returns the content of a volume.
func volumePayload(ctx context.Context, p *payloadContext, v *v1.Volume) (payload, error) {
	var err error
	out := payload{}
	switch {
	case v.Secret != nil:
		s := v.Secret
		err = p.secret(ctx, out, s.SecretName, s.Items, ptr.Deref(s.DefaultMode, defaultMode), ptr.Deref(s.Optional, false))
	case v.ConfigMap != nil:
		c := v.ConfigMap
		err = p.configMap(ctx, out, c.Name, c.Items, ptr.Deref(c.DefaultMode, defaultMode), ptr.Deref(c.Optional, false))
	case v.DownwardAPI != nil:
		err = p.downward(out, v.DownwardAPI.Items, ptr.Deref(v.DownwardAPI.DefaultMode, defaultMode))
	case v.Projected != nil:
		for i := range v.Projected.Sources {
			if err = p.projected(ctx, out, &v.Projected.Sources[i], ptr.Deref(v.Projected.DefaultMode, defaultMode)); err == nil {
				err = out.check()
			}
			if err != nil {
				break
			}
		}
	}
	if err == nil {
		err = out.check()
	}
	return out, err
}

// maxPayload bounds what is written for one volume: each of a megabyte's many names is a
// file of its own.
const maxPayload = 64 << 20

func (out payload) check() error {
	size := 0
	for _, f := range out {
		size += len(f.data)
	}
	if size > maxPayload {
		return fmt.Errorf("the files of the volume would have %d bytes, more than %d", size, maxPayload)
	}
	return nil
}

func (p *payloadContext) projected(ctx context.Context, out payload, s *v1.VolumeProjection, mode int32) error {
	switch {
	case s.Secret != nil:
		return p.secret(ctx, out, s.Secret.Name, s.Secret.Items, mode, ptr.Deref(s.Secret.Optional, false))
	case s.ConfigMap != nil:
		return p.configMap(ctx, out, s.ConfigMap.Name, s.ConfigMap.Items, mode, ptr.Deref(s.ConfigMap.Optional, false))
	case s.DownwardAPI != nil:
		return p.downward(out, s.DownwardAPI.Items, mode)
	case s.ServiceAccountToken != nil:
		token, err := p.token(ctx, s.ServiceAccountToken)
		if err != nil {
			return fmt.Errorf("failed to fetch token: %w", err)
		}
		return out.add(s.ServiceAccountToken.Path, file{[]byte(token), tokenMode(p.pod, mode), userOf(p.pod)})
	}
	return fmt.Errorf("a source of the projected volume is of a kind that is not supported; secret, configMap, downwardAPI and serviceAccountToken are")
}

// tokenMode is the mode of token files: closed to other users where the pod names its
// users, as upstream.
func tokenMode(pod *v1.Pod, mode int32) int32 {
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil || userOf(pod) != nil {
		return 0o600
	}
	return mode
}

// userOf is the one user of all of a pod's containers, who owns the tokens; nil if there
// are several, or the image sets it.
func userOf(pod *v1.Pod) *int64 {
	var all *int64
	for i, list := 0, slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers); i < len(list); i++ {
		var user *int64
		if sc := pod.Spec.SecurityContext; sc != nil {
			user = sc.RunAsUser
		}
		if sc := list[i].SecurityContext; sc != nil && sc.RunAsUser != nil {
			user = sc.RunAsUser
		}
		if user == nil || all != nil && *all != *user {
			return nil
		}
		all = user
	}
	return all
}

func (p *payloadContext) secret(ctx context.Context, out payload, name string, items []v1.KeyToPath, mode int32, optional bool) error {
	s, err := p.objects.Secret(ctx, p.pod.Namespace, name)
	if apierrors.IsNotFound(err) && optional {
		return nil
	}
	if err != nil {
		return objects.Missing("secret", name, err)
	}
	return out.keys(s.Data, items, mode, optional, "secret "+name)
}

func (p *payloadContext) configMap(ctx context.Context, out payload, name string, items []v1.KeyToPath, mode int32, optional bool) error {
	c, err := p.objects.ConfigMap(ctx, p.pod.Namespace, name)
	if apierrors.IsNotFound(err) && optional {
		return nil
	}
	if err != nil {
		return objects.Missing("configmap", name, err)
	}
	data := make(map[string][]byte, len(c.Data)+len(c.BinaryData))
	for k, v := range c.Data {
		data[k] = []byte(v)
	}
	for k, v := range c.BinaryData {
		data[k] = v
	}
	return out.keys(data, items, mode, optional, "configmap "+name)
}

// keys adds all keys, or those that items name.
func (out payload) keys(data map[string][]byte, items []v1.KeyToPath, mode int32, optional bool, of string) error {
	if len(items) == 0 {
		for k, v := range data {
			if err := out.add(k, file{data: v, mode: mode}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if optional {
				continue
			}
			return fmt.Errorf("%s references non-existent key: %s", of, item.Key)
		}
		m := mode
		if item.Mode != nil {
			m = *item.Mode
		}
		if err := out.add(item.Path, file{data: v, mode: m}); err != nil {
			return err
		}
	}
	return nil
}

func (p *payloadContext) downward(out payload, items []v1.DownwardAPIVolumeFile, mode int32) error {
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = podspec.FieldValue(p.pod, item.FieldRef.FieldPath, p.hostIP, p.podIP)
		case item.ResourceFieldRef != nil:
			value, err = podspec.ResourceValue(p.pod, item.ResourceFieldRef, nil, p.capacity)
		}
		if err != nil {
			return err
		}
		m := mode
		if item.Mode != nil {
			m = *item.Mode
		}
		if err := out.add(item.Path, file{data: []byte(value), mode: m}); err != nil {
			return err
		}
	}
	return nil
}

// add accepts only paths that stay inside the volume and do not look like the
// writer's own files.
func (out payload) add(name string, f file) error {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "..") {
		return fmt.Errorf("invalid path %q in the volume", name)
	}
	out[clean] = f
	return nil
}
