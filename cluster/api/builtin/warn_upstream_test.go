package builtin

import (
	"strings"
	"testing"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/discovery"
	"wheelhouse/cluster/api/storage"
)

// What is accepted, but not wise.
func TestWarningsOfFields(t *testing.T) {
	volume := func(source string) string { return `{spec: {volumes: [{name: v, ` + source + `}]}}` }
	for _, c := range []struct {
		kind          *api.Kind
		changes, want string
	}{
		{core.Services, `{spec: {externalIPs: [1.2.3.4]}}`, "spec.externalIPs is deprecated and may no longer be implemented in some clusters"},
		{core.Services, `{spec: {trafficDistribution: PreferClose}}`, `spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"`},
		{core.Services, `{spec: {externalName: a.b}}`, `spec.externalName is ignored when spec.type is not "ExternalName"`},
		{core.Services, `{spec: {clusterIP: None, externalIPs: [1.2.3.4]}}`, "spec.externalIPs is ignored for headless services"},
		{core.Secrets, `{type: kubernetes.io/tls, data: {tls.crt: "", tls.key: ""}}`, "tls: failed to find any PEM data in certificate input"},
		{core.Nodes, `{spec: {externalID: a}}`, "spec.externalID: this field is deprecated, and is unused by Kubernetes"},
		{core.PersistentVolumeClaims, `{spec: {resources: {requests: {storage: 100m}}}}`, `spec.resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer`},
		{core.PersistentVolumes, `{spec: {persistentVolumeReclaimPolicy: Recycle}}`, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."},
		{core.ServiceAccounts, `{metadata: {annotations: {kubernetes.io/enforce-mountable-secrets: "true"}}}`, "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"},
		{storage.StorageClasses, `{allowedTopologies: [{matchLabelExpressions: [{key: beta.kubernetes.io/os, values: [a]}]}]}`, `allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use "kubernetes.io/os" instead`},
		{discovery.EndpointSlices, `{addressType: FQDN, endpoints: [{addresses: [a.b]}]}`, "spec.addressType: FQDN endpoints are deprecated"},
		{core.Pods, `{spec: {imagePullSecrets: [{name: ""}]}}`, `spec.imagePullSecrets[0].name: invalid empty name ""`},
		{apps.Deployments, `{spec: {template: {spec: {imagePullSecrets: [{}]}}}}`, `spec.template.spec.imagePullSecrets[0].name: invalid empty name ""`},
		{core.PodTemplates, `{template: {spec: {imagePullSecrets: [{}]}}}`, `template.spec.imagePullSecrets[0].name: invalid empty name ""`},
		{core.Pods, volume(`projected: {sources: [{}]}`), `volume "v" (Projected) has no sources provided`},
		{core.Pods, volume(`configMap: {name: m, items: [{key: a, path: d}, {key: b, path: d/f}]}`), `volume "v" (ConfigMap "m"): overlapping paths: "d/f" with "d"`},
		{core.Pods, inContainer(`ports: [{containerPort: 80, hostIP: 1.2.3.4}]`), "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"},
		{core.Pods, inContainer(`resources: {limits: {memory: 1m}}`), `spec.containers[0].resources.limits[memory]: fractional byte value "1m" is invalid, must be an integer`},
		{core.Pods, `{spec: {affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a}]}}}}`, "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod"},
	} {
		obj := read(t, c.kind, c.changes)
		if errs := create(c.kind, obj); len(errs) > 0 {
			t.Errorf("%s %s: %v", c.kind.Kind, c.changes, lines(errs))
			continue
		}
		if got := strings.Join(c.kind.Warn(obj), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s %s\n  got  %s\n  want %s", c.kind.Kind, c.changes, got, c.want)
		}
	}
}
