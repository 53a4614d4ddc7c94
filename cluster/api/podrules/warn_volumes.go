package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	gone16 = "deprecated in v1.11, non-functional in v1.16+"
	gone22 = "deprecated in v1.16, non-functional in v1.22+"
	gone25 = "deprecated in v1.22, non-functional in v1.25+"
	gone26 = "deprecated in v1.25, non-functional in v1.26+"
	gone31 = "deprecated in v1.28, non-functional in v1.31+"
)

func (w *Warnings) volumes(volumes []corev1.Volume, p *field.Path) {
	for i := range volumes {
		v := &volumes[i]
		for _, old := range []struct {
			name  string
			there bool
			text  string
		}{
			{"photonPersistentDisk", v.PhotonPersistentDisk != nil, gone16},
			{"gitRepo", v.GitRepo != nil, "deprecated in v1.11"},
			{"scaleIO", v.ScaleIO != nil, gone22},
			{"flocker", v.Flocker != nil, gone25},
			{"storageOS", v.StorageOS != nil, gone25},
			{"quobyte", v.Quobyte != nil, gone25},
			{"glusterfs", v.Glusterfs != nil, gone26},
		} {
			if old.there {
				w.Add(p.Index(i).Child(old.name), "%s", old.text)
			}
		}
		if e := v.Ephemeral; e != nil && e.VolumeClaimTemplate != nil {
			w.ClaimSpec(&e.VolumeClaimTemplate.Spec, p.Index(i).Child("ephemeral", "volumeClaimTemplate", "spec"))
		}
		if v.CephFS != nil {
			w.Add(p.Index(i).Child("cephfs"), gone31)
		}
		if v.RBD != nil {
			w.Add(p.Index(i).Child("rbd"), gone31)
		}
	}
}

// PersistentVolume adds the warnings about a volume.
func (w *Warnings) PersistentVolume(v *corev1.PersistentVolume) {
	for _, a := range []struct{ name, text string }{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{"volume.beta.kubernetes.io/mount-options", `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, has := v.Annotations[a.name]; has {
			w.Add(field.NewPath("metadata", "annotations").Key(a.name), "%s", a.text)
		}
	}
	p, s := field.NewPath("spec"), &v.Spec
	if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		w.Add(p.Child("persistentVolumeReclaimPolicy"), "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if s.NodeAffinity != nil {
		w.NodeSelectorTerms(s.NodeAffinity.Required, p.Child("nodeAffinity", "required"))
	}
	for _, old := range []struct {
		name  string
		there bool
		text  string
	}{
		{"cephfs", s.CephFS != nil, gone31},
		{"photonPersistentDisk", s.PhotonPersistentDisk != nil, gone16},
		{"scaleIO", s.ScaleIO != nil, gone22},
		{"storageOS", s.StorageOS != nil, gone25},
		{"glusterfs", s.Glusterfs != nil, gone26},
		{"rbd", s.RBD != nil, gone31},
	} {
		if old.there {
			w.Add(p.Child(old.name), "%s", old.text)
		}
	}
}

// ClaimSpec adds warnings about the sizes of a claim.
func (w *Warnings) ClaimSpec(s *corev1.PersistentVolumeClaimSpec, p *field.Path) {
	for _, list := range []struct {
		name string
		of   corev1.ResourceList
	}{{"requests", s.Resources.Requests}, {"limits", s.Resources.Limits}} {
		if q, has := list.of[corev1.ResourceStorage]; has && q.MilliValue()%1000 != 0 {
			w.Add(p.Child("resources", list.name).Key(string(corev1.ResourceStorage)), "fractional byte value %q is invalid, must be an integer", q.String())
		}
	}
}

// filePath is the path of a file in a volume, and what it comes from.
type filePath struct{ path, source string }

func (f filePath) String() string {
	if f.source == "" {
		return fmt.Sprintf("%q", f.path)
	}
	return fmt.Sprintf("%q (%s)", f.path, f.source)
}

// overlaps reports whether both are one file, or one is in the other.
func (f filePath) overlaps(other filePath) bool {
	return f.path != "" && other.path != "" &&
		(strings.HasPrefix(other.path+"/", f.path+"/") || strings.HasPrefix(f.path+"/", other.path+"/"))
}

// overlappingPaths adds warnings about files of a volume that hide one another.
func (w *Warnings) overlappingPaths(volumes []corev1.Volume) {
	for i := range volumes {
		v := &volumes[i]
		if v.ConfigMap != nil {
			w.overlaps(v.Name, fmt.Sprintf("ConfigMap %q", v.ConfigMap.Name), pathsOfKeys(v.ConfigMap.Items, ""))
		}
		if v.Secret != nil {
			w.overlaps(v.Name, fmt.Sprintf("Secret %q", v.Secret.SecretName), pathsOfKeys(v.Secret.Items, ""))
		}
		if v.DownwardAPI != nil {
			w.overlaps(v.Name, "DownwardAPI", pathsOfFiles(v.DownwardAPI.Items, ""))
		}
		if v.Projected != nil {
			w.overlaps(v.Name, "Projected", w.projectedPaths(v))
		}
	}
}

func (w *Warnings) projectedPaths(v *corev1.Volume) []filePath {
	var all []filePath
	for i := range v.Projected.Sources {
		switch s := &v.Projected.Sources[i]; {
		case *s == (corev1.VolumeProjection{}):
			*w = append(*w, fmt.Sprintf("volume %q (Projected) has no sources provided", v.Name))
		case s.ConfigMap != nil && s.ConfigMap.Items != nil:
			all = append(all, pathsOfKeys(s.ConfigMap.Items, fmt.Sprintf("ConfigMap %q", s.ConfigMap.Name))...)
		case s.Secret != nil && s.Secret.Items != nil:
			all = append(all, pathsOfKeys(s.Secret.Items, fmt.Sprintf("Secret %q", s.Secret.Name))...)
		case s.DownwardAPI != nil && s.DownwardAPI.Items != nil:
			all = append(all, pathsOfFiles(s.DownwardAPI.Items, "DownwardAPI")...)
		case s.ServiceAccountToken != nil:
			all = append(all, filePath{s.ServiceAccountToken.Path, "ServiceAccountToken"})
		}
	}
	return all
}

func pathsOfKeys(items []corev1.KeyToPath, source string) []filePath {
	list := make([]filePath, len(items))
	for i := range items {
		list[i] = filePath{items[i].Path, source}
	}
	return list
}

func pathsOfFiles(items []corev1.DownwardAPIVolumeFile, source string) []filePath {
	list := make([]filePath, len(items))
	for i := range items {
		list[i] = filePath{items[i].Path, source}
	}
	return list
}

// maxOverlaps bounds the comparisons of one volume's files.
const maxOverlaps = 1000

func (w *Warnings) overlaps(volume, what string, files []filePath) {
	files = files[:min(len(files), maxOverlaps)]
	for i := range files {
		files[i].path = strings.TrimRight(files[i].path, "/")
		for _, other := range files[:i] {
			if files[i].overlaps(other) {
				*w = append(*w, fmt.Sprintf("volume %q (%s): overlapping paths: %s with %s", volume, what, files[i], other))
			}
		}
	}
}
