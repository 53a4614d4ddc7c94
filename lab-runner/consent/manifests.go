package consent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// What a lab creates is limited by the cluster: by the account of its commands, and by the level that its namespace enforces.
// The manifests are read beforehand, so that a learner sees what there is in them, and what a cluster would refuse.

// clusterKinds are those of built-in objects that no namespace has.
var clusterKinds = []string{
	"APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "ClusterTrustBundle", "ComponentStatus", "CSIDriver", "CSINode",
	"CustomResourceDefinition", "DeviceClass", "FlowSchema", "IngressClass", "IPAddress", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
	"MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass", "PriorityLevelConfiguration", "ResourceSlice",
	"RuntimeClass", "ServiceCIDR", "StorageClass", "StorageVersionMigration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"ValidatingWebhookConfiguration", "VolumeAttachment", "VolumeAttributesClass",
}

// readManifests reads the objects of all files that kubectl takes for manifests.
func (s *Summary) readManifests(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s.Files = append(s.Files, filepath.ToSlash(name))
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var object map[string]any
			switch err := decoder.Decode(&object); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				s.Objects["file that is no manifest ("+name+")"]++ // a lab may be about that
				return nil                                         //nolint:nilerr // it is counted
			}
			s.readObject(name, object)
		}
	})
}

// readObject counts an object, and notes what it asks for beyond its namespace.
func (s *Summary) readObject(file string, object map[string]any) {
	if items, ok := object["items"].([]any); ok {
		for _, item := range items {
			if o, ok := item.(map[string]any); ok {
				s.readObject(file, o)
			}
		}
		return
	}
	kind, _ := object["kind"].(string)
	if kind == "" {
		return
	}
	s.Objects[kind]++
	beyond := func(what, requirement string) {
		s.Beyond = append(s.Beyond, fmt.Sprintf("%s in %s %s, and lab.yaml does not require %s", kind, file, what, requirement))
	}
	if s.Lab.Has("cluster-admin") {
		return
	}
	if slices.Contains(clusterKinds, kind) {
		beyond("belongs to the whole cluster", "cluster-admin")
	}
	meta, _ := object["metadata"].(map[string]any)
	if ns, _ := meta["namespace"].(string); ns != "" && ns != s.Lab.Namespace {
		beyond("names namespace "+ns, "cluster-admin")
	}
	if s.Lab.Has("privileged-pods") {
		return
	}
	found := map[string]bool{}
	hostParts(object["spec"], found)
	hostParts(object["template"], found) // of a PodTemplate
	for _, what := range []string{"hostNetwork", "hostPID", "hostIPC", "hostPath", "hostPort", "privileged"} {
		if found[what] {
			beyond("has "+what, "privileged-pods")
		}
	}
}

// hostParts finds what gives a pod rights on its node, wherever it is in an object: that of a pod, or of what makes pods.
func hostParts(value any, found map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			switch key {
			case "hostNetwork", "hostPID", "hostIPC", "privileged":
				set, isBool := inner.(bool)
				found[key] = found[key] || set || !isBool && strings.EqualFold(fmt.Sprint(inner), "true")
			case "hostPath", "hostPort":
				found[key] = found[key] || inner != nil && fmt.Sprint(inner) != "0"
			}
			hostParts(inner, found)
		}
	case []any:
		for _, inner := range v {
			hostParts(inner, found)
		}
	}
}
