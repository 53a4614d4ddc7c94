package builtin

import (
	"testing"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/coordination"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/node"
	"wheelhouse/cluster/api/policy"
)

// An unqualified finalizer is refused for all kinds but those of which upstream does not look at it.
func TestFinalizersAreQualified(t *testing.T) {
	const unqualified = "name is neither a standard finalizer name nor is it fully qualified"
	for k := range bases {
		want := 1
		switch k {
		case core.Events, node.RuntimeClasses, coordination.Leases, policy.PodDisruptionBudgets:
			want = 0
		}
		if k.Virtual || k.Validate == nil {
			continue
		}
		obj := read(t, k, `{}`)
		obj.SetFinalizers([]string{"foregroundDeletion", "a.example/b", "mine"})
		found := 0
		for _, e := range create(k, obj) {
			if e.Detail == unqualified && e.Field == "metadata.finalizers[2]" {
				found++
			}
		}
		if found != want {
			t.Errorf("%s: %d errors about the finalizer", k.Kind, found)
		}
	}
}

// Images of templates: required, but blanks around one are left to the pods.
func TestImagesOfTemplates(t *testing.T) {
	for _, k := range []*api.Kind{
		apps.Deployments, apps.ReplicaSets, apps.StatefulSets, apps.DaemonSets,
		batch.Jobs, core.ReplicationControllers, core.PodTemplates, batch.CronJobs,
	} {
		at, in := "spec.template.spec.containers[0].image", func(container string) string {
			return `{spec: {template: {spec: {containers: [` + container + `]}}}}`
		}
		switch k {
		case core.PodTemplates:
			at, in = "template.spec.containers[0].image", func(container string) string { return `{template: {spec: {containers: [` + container + `]}}}` }
		case batch.CronJobs:
			at, in = "spec.jobTemplate.spec.template.spec.containers[0].image", func(container string) string {
				return `{spec: {jobTemplate: {spec: {template: {spec: {containers: [` + container + `]}}}}}}`
			}
		}
		t.Run(k.Kind, func(t *testing.T) {
			matches(t, create(k, read(t, k, in("{name: c}"))), at+": Required value")
			matches(t, create(k, read(t, k, in(`{name: c, image: " i"}`))), "")
		})
	}
}

func TestInvalidReferencesOfPods(t *testing.T) {
	const c, name = "spec.containers[0].", "a lowercase RFC 1123 subdomain must consist of..."
	env := func(from string) string { return inContainer(`env: [{name: a, valueFrom: {` + from + `}}]`) }
	spread := func(fields string) string {
		return `{spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, ` + fields + `}]}}`
	}
	const spreadPath = "spec.topologySpreadConstraints[0]."
	node := func(kind, expression string) string {
		return `{spec: {affinity: {nodeAffinity: {` + kind + `DuringSchedulingIgnoredDuringExecution: ` + expression + `}}}}`
	}
	runInvalid(t, core.Pods, []invalidCase{
		{"pull secret without a name", `{spec: {imagePullSecrets: [{name: ""}]}}`, ""},
		{"scheduler", `{spec: {schedulerName: "Bad_Name!"}}`, ""},
		{"config map", env(`configMapKeyRef: {name: A_, key: k}`), c + `env[0].valueFrom.configMapKeyRef.name: Invalid value: "A_": ` + name},
		{"secret", env(`secretKeyRef: {name: A_, key: k}`), c + `env[0].valueFrom.secretKeyRef.name: Invalid value: "A_": ` + name},
		{"all of a config map", inContainer(`envFrom: [{configMapRef: {name: A_}}]`), c + `envFrom[0].configMapRef.name: Invalid value: "A_": ` + name},
		{"all of a secret", inContainer(`envFrom: [{secretRef: {name: A_}}]`), c + `envFrom[0].secretRef.name: Invalid value: "A_": ` + name},
		{"version of a field", env(`fieldRef: {apiVersion: v2, fieldPath: metadata.name}`), c + `env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod version: v2`},
		{"subscript of a field", env(`fieldRef: {fieldPath: "spec['a']"}`), c + `env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec['a']": error converting fieldPath: field label does not support subscript: spec['a']`},
		{"node affinity policy", spread(`nodeAffinityPolicy: Maybe`), spreadPath + `nodeAffinityPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"`},
		{"node taints policy", spread(`nodeTaintsPolicy: Maybe`), spreadPath + `nodeTaintsPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"`},
		{"keys without selector", spread(`matchLabelKeys: [a]`), spreadPath + "matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"},
		{"any topology key", `{spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: "a b", whenUnsatisfiable: DoNotSchedule}]}}`, ""},
		{"required node value", node("required", `{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: ["b c"]}]}]}`), `spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "b c": ` + labelMessage},
		{"preferred node value", node("preferred", `[{weight: 1, preference: {matchExpressions: [{key: a, operator: In, values: ["b c"]}]}}]`), ""},
		{"csi driver", `{spec: {volumes: [{name: v, csi: {driver: "a_b"}}]}}`, `spec.volumes[0].csi.driver: Invalid value: "a_b": ` + name},
		{"seccomp outside", `{spec: {securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../x}}}}`, `spec.securityContext.seccompProfile.localhostProfile: Invalid value: "../x": must not contain '..'`},
		{"SELinux change", `{spec: {securityContext: {seLinuxChangePolicy: x}}}`, `spec.securityContext.seLinuxChangePolicy: Unsupported value: "x": supported values: "Recursive"`},
		{"SELinux mount", `{spec: {securityContext: {seLinuxChangePolicy: MountOption}}}`, `spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"`},
		{"claims without a source", `{spec: {resourceClaims: [{name: a}]}}`, "spec.resourceClaims[0]: Invalid value: {\"name\":\"a\"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"},
		{"claim twice", `{spec: {resourceClaims: [{name: a, resourceClaimName: x}, {name: a, resourceClaimName: x}]}}`, `spec.resourceClaims[1].name: Duplicate value: "a"`},
		{"projected from nothing", `{spec: {volumes: [{name: v, projected: {sources: [{}]}}]}}`, ""},
		{"claim's source", `{spec: {volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}, dataSource: {kind: Nope, name: x}}}}}]}}`, `spec.volumes[0].ephemeral.volumeClaimTemplate.spec.dataSource: Invalid value: "Nope": must be 'PersistentVolumeClaim' when referencing the default apiGroup`},
		{"claim's metadata", `{spec: {volumes: [{name: v, ephemeral: {volumeClaimTemplate: {metadata: {name: x}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}}}}}]}}`, "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set"},
		{"deletion cost", `{metadata: {annotations: {controller.kubernetes.io/pod-deletion-cost: "01"}}}`, `metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "01": must be a 32bit integer`},
		{"seccomp annotation", `{metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: x}}}`, `metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "x": must be a valid seccomp profile`},
		{"AppArmor of nothing", `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/x: unconfined}}}`, `metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": container not found`},
	})
}

func TestInvalidClaimsAndVolumes(t *testing.T) {
	runInvalid(t, core.PersistentVolumeClaims, []invalidCase{
		{"source", `{spec: {dataSourceRef: {kind: Nope, name: x}}}`, "spec.dataSource: Invalid value: \"Nope\": must be 'PersistentVolumeClaim' when referencing the default apiGroup\nspec.dataSourceRef: Invalid value: \"Nope\": must be 'PersistentVolumeClaim' when referencing the default apiGroup"},
		{"group of a source", `{spec: {dataSourceRef: {apiGroup: "A_", kind: Nope, name: x}}}`, "spec.dataSource.apiGroup: Invalid value: \"A_\": a lowercase RFC 1123 subdomain must consist of...\nspec.dataSourceRef.apiGroup: Invalid value: \"A_\": a lowercase RFC 1123 subdomain must consist of..."},
		{"attributes class", `{spec: {volumeAttributesClassName: "A_"}}`, `spec.volumeAttributesClassName: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of...`},
	})
	runInvalid(t, core.PersistentVolumes, []invalidCase{
		{"node value", `{spec: {nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: ["b c"]}]}]}}}}`, `spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "b c": ` + labelMessage},
		{"attributes class without driver", `{spec: {volumeAttributesClassName: a}}`, "spec.csi: Required value: has to be specified when using volumeAttributesClassName"},
		{"partition", `{spec: {hostPath: null, gcePersistentDisk: {pdName: a, partition: 300}}}`, "spec.persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"},
		{"driver's secret", `{spec: {hostPath: null, csi: {driver: a.b, volumeHandle: c, nodeStageSecretRef: {}, nodePublishSecretRef: {name: one}}}}`, "spec.csi.nodePublishSecretRef.namespace: Required value"},
	})
}
