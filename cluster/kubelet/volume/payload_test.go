package volume

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/fixture"
)

// fixture.Objects are lookups in memory.
// TestPayloadsAreBounded: files that stand for much more than what the pod has are rejected,
// and not made first.
func TestPayloadsAreBounded(t *testing.T) {
	const megabyte = 1 << 20
	large := fixture.Objects{ConfigMaps: map[string]*v1.ConfigMap{"cm": {Data: map[string]string{"k": strings.Repeat("x", megabyte)}}}}
	ref := v1.LocalObjectReference{Name: "cm"}
	var items []v1.KeyToPath
	for i := range 300 {
		items = append(items, v1.KeyToPath{Key: "k", Path: fmt.Sprintf("N%d", i)})
	}
	var projected v1.ProjectedVolumeSource
	for i := range items {
		projected.Sources = append(projected.Sources, v1.VolumeProjection{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: ref, Items: items[i : i+1]}})
	}
	for name, source := range map[string]v1.VolumeSource{
		"a key as many files":       {ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: ref, Items: items}},
		"a map in many projections": {Projected: &projected},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := volumePayload(t.Context(), &payloadContext{pod: &v1.Pod{}, objects: large}, &v1.Volume{VolumeSource: source})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if used := (after.TotalAlloc - before.TotalAlloc) / megabyte; used > 160 {
			t.Errorf("%s: it took %d MB", name, used)
		}
	}
}

func TestPayloads(t *testing.T) {
	mode, yes := int32(0o400), true
	p := &payloadContext{
		pod:     &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"b": "2", "a": "1"}}},
		objects: fixture.SomeObjects,
		token:   func(context.Context, *v1.ServiceAccountTokenProjection) (string, error) { return "jwt", nil },
	}
	for name, c := range map[string]struct {
		source v1.VolumeSource
		want   string // paths and contents, or an error
	}{
		"config map": {v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}}, "k=v/644 log=info/644"},
		"items":      {v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "sec", Items: []v1.KeyToPath{{Key: "pw", Path: "a/b", Mode: &mode}}}}, "a/b=secret/400"},
		"no key":     {v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "sec", Items: []v1.KeyToPath{{Key: "x", Path: "x"}}}}, "secret sec references non-existent key: x"},
		"absent":     {v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "none"}}, `secret "none" not found`},
		"optional":   {v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "none", Optional: &yes}}, ""},
		"escape":     {v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "sec", Items: []v1.KeyToPath{{Key: "pw", Path: "../x"}}}}, `invalid path "../x" in the volume`},
		"downward":   {v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{{Path: "l", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}, "l=a=\"1\"\nb=\"2\"/644"},
		"projected": {v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{
			{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}},
			{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Items: []v1.KeyToPath{{Key: "k", Path: "ca.crt"}}}},
		}}}, "ca.crt=v/644 token=jwt/644"},
	} {
		files, err := volumePayload(context.Background(), p, &v1.Volume{Name: "v", VolumeSource: c.source})
		var got []string
		for _, k := range slices.Sorted(maps.Keys(files)) {
			got = append(got, k+"="+string(files[k].data)+"/"+octal(files[k].mode))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if !(payloadPlugin{}).Supports(&v1.Volume{VolumeSource: c.source}) || text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
	if (payloadPlugin{}).Supports(&v1.Volume{VolumeSource: v1.VolumeSource{NFS: &v1.NFSVolumeSource{}}}) {
		t.Error("nfs is taken for a payload")
	}
	if err := unsupported(v1.VolumeSource{Glusterfs: &v1.GlusterfsVolumeSource{}}); !strings.Contains(err.Error(), "kind glusterfs are not supported") {
		t.Error(err)
	}
}

func octal(m int32) string {
	return string([]byte{'0' + byte(m>>6&7), '0' + byte(m>>3&7), '0' + byte(m&7)})
}
