package kubelet

import (
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/openapi"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/volume"
)

// fieldRow is a row of FIELDS.md.
type fieldRow struct{ state, where string }

// fieldTable reads FIELDS.md: rows by type and field.
func fieldTable(t *testing.T) map[string]fieldRow {
	t.Helper()
	data, err := os.ReadFile("FIELDS.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]fieldRow{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "type" {
			continue
		}
		for _, name := range strings.Split(cells[2], ",") {
			field := strings.TrimSpace(cells[1]) + "." + strings.TrimSpace(name)
			if _, twice := out[field]; twice {
				t.Errorf("%s has two rows", field)
			}
			row := fieldRow{strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4])}
			if !slices.Contains([]string{"done", "refused by validation", "refused with an event"}, row.state) || row.where == "" {
				t.Errorf("%s: %+v", field, row)
			}
			out[field] = row
		}
	}
	return out
}

// Each field of PodSpec's OpenAPI schema, at any depth, has a row, and each row a field. Below
// what is refused as a whole, and below a claim, there is nothing to say.
func TestEveryFieldOfPodSpecHasARow(t *testing.T) {
	schemas, err := openapi.Schemas(core.Pods)
	if err != nil {
		t.Fatal(err)
	}
	rows, seen, types := fieldTable(t), map[string]bool{}, map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		short := name[strings.LastIndex(name, ".")+1:]
		if types[short] {
			return
		}
		types[short] = true
		properties := schemas[name].Properties
		for _, p := range slices.Sorted(maps.Keys(properties)) {
			field := short + "." + p
			row, ok := rows[field]
			if !ok {
				t.Errorf("%s has no row", field)
			}
			seen[field] = true
			to := refersTo(properties[p])
			if to != "" && len(schemas[to].Properties) > 0 && row.state == "done" && !strings.HasSuffix(to, ".PersistentVolumeClaimTemplate") {
				walk(to)
			}
		}
	}
	for name := range schemas {
		if strings.HasSuffix(name, ".PodSpec") {
			walk(name)
		}
	}
	if len(seen) < 200 {
		t.Errorf("%d fields were found", len(seen))
	}
	for field := range rows {
		if !seen[field] {
			t.Errorf("%s has a row and is no field", field)
		}
	}
}

// refersTo is the name of the schema that a property, or its items, refer to.
func refersTo(s spec.Schema) string {
	all := append([]spec.Schema{s}, s.AllOf...)
	if s.Items != nil && s.Items.Schema != nil {
		all = append(append(all, *s.Items.Schema), s.Items.Schema.AllOf...)
	}
	for _, one := range all {
		if r := one.Ref.String(); r != "" {
			return r[strings.LastIndex(r, "/")+1:]
		}
	}
	return ""
}

// What the table says to be refused with an event is an error of the step that records one.
func TestRefusedFieldsAreRefused(t *testing.T) {
	secure := func(p *v1.PodSecurityContext, c *v1.SecurityContext) error {
		return containerspec.Secure(&cri.Spec{}, &v1.Pod{Spec: v1.PodSpec{SecurityContext: p}}, &v1.Container{SecurityContext: c}, cri.Image{}, "")
	}
	sandbox := func(s v1.PodSpec) error { return (&worker{}).checkHandler(t.Context(), &v1.Pod{Spec: s}) }
	volumes := func(v v1.VolumeSource) error {
		m := volume.NewManager(volume.Config{}, t.TempDir())
		return m.SetUp(t.Context(), &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "v", VolumeSource: v}}}}, "", nil)
	}
	projected := func(s v1.VolumeProjection) error {
		return volumes(v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{s}}})
	}
	strict, recursive := v1.SupplementalGroupsPolicyStrict, v1.RecursiveReadOnlyEnabled
	refused := map[string]error{
		"PodSpec.hostUsers":                   sandbox(v1.PodSpec{HostUsers: new(false)}),
		"PodSpec.resourceClaims":              sandbox(v1.PodSpec{ResourceClaims: []v1.PodResourceClaim{{}}}),
		"ResourceRequirements.claims":         sandbox(v1.PodSpec{InitContainers: []v1.Container{{Resources: v1.ResourceRequirements{Claims: []v1.ResourceClaim{{}}}}}}),
		"PodSpec.schedulingGroup":             sandbox(v1.PodSpec{SchedulingGroup: &v1.PodSchedulingGroup{}}),
		"PodSecurityContext.windowsOptions":   secure(&v1.PodSecurityContext{WindowsOptions: &v1.WindowsSecurityContextOptions{}}, nil),
		"SecurityContext.windowsOptions":      secure(nil, &v1.SecurityContext{WindowsOptions: &v1.WindowsSecurityContextOptions{}}),
		"VolumeMount.recursiveReadOnly":       nil,
		"VolumeProjection.clusterTrustBundle": projected(v1.VolumeProjection{ClusterTrustBundle: &v1.ClusterTrustBundleProjection{}}),
		"VolumeProjection.podCertificate":     projected(v1.VolumeProjection{PodCertificate: &v1.PodCertificateProjection{}}),
	}
	w := &worker{volumes: volume.NewManager(volume.Config{}, t.TempDir()), dir: t.TempDir()}
	if err := w.volumes.SetUp(t.Context(), &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}}}, "", nil); err != nil {
		t.Fatal(err)
	}
	_, refused["VolumeMount.recursiveReadOnly"] = w.mounts(&v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "v", MountPath: "/v", ReadOnly: true, RecursiveReadOnly: &recursive}}}, 0, nil)
	k := &Kubelet{}
	reason, message := k.admissionFailure(&v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SupplementalGroupsPolicy: &strict}}})
	if refused["PodSecurityContext.supplementalGroupsPolicy"] = nil; reason == "SupplementalGroupsPolicyNotSupported" {
		refused["PodSecurityContext.supplementalGroupsPolicy"] = errors.New(message)
	}
	rows := fieldTable(t)
	kinds := reflect.TypeFor[v1.VolumeSource]()
	for i := range kinds.NumField() {
		name, _, _ := strings.Cut(kinds.Field(i).Tag.Get("json"), ",")
		if rows["Volume."+name].state == "refused with an event" {
			source := reflect.New(kinds)
			source.Elem().Field(i).Set(reflect.New(kinds.Field(i).Type.Elem()))
			refused["Volume."+name] = volumes(source.Elem().Interface().(v1.VolumeSource))
		}
	}
	for field, err := range refused {
		if err == nil {
			t.Errorf("%s is not refused", field)
		}
	}
	for field, row := range rows {
		if _, tried := refused[field]; row.state == "refused with an event" && !tried {
			t.Errorf("%s is not tried", field)
		}
	}
}
