package lint

import "regexp"

// removed is what a command of a text uses and current programs do not have.
type removed struct {
	pattern    *regexp.Regexp
	was, today string
}

// removedCommands are those of kubectl and of the node's programs, from the changelogs up to 1.36.
var removedCommands = []removed{
	{regexp.MustCompile(`\bkubectl rolling-update\b`), "kubectl rolling-update was removed in 1.18", "kubectl set image, then kubectl rollout status"},
	{regexp.MustCompile(`\bkubectl (?:stop|resize|update)\b`), "kubectl stop, resize and update were removed in 1.3 and before", "kubectl delete, scale and replace"},
	{regexp.MustCompile(`\bkubectl convert\b`), "kubectl convert is a plugin since 1.20", "a manifest of the new version"},
	{regexp.MustCompile(`\bkubectl run\b[^|;&]*--(?:replicas|generator|service-generator|schedule)\b`), "kubectl run makes only a pod since 1.18", "kubectl create deployment NAME --image=IMAGE --replicas=N"},
	{regexp.MustCompile(`\bkubectl expose\b[^|;&]*--generator\b`), "--generator was removed", "the command without it"},
	{regexp.MustCompile(`\bkubectl get\b[^|;&]*--export\b`), "--export was removed in 1.18", "-o yaml"},
	{regexp.MustCompile(`\bkubectl get\b[^|;&]* (?:-a|--show-all)(?:\s|$)`), "--show-all was removed in 1.12", "the command without it"},
	{regexp.MustCompile(`\bkubectl get\b[^|;&]* -t(?:\s|=)`), "-t for --template was removed", "--template"},
	{regexp.MustCompile(`\bkubectl\b[^|;&]*--record\b`), "--record was removed", "kubectl annotate KIND/NAME kubernetes.io/change-cause=TEXT"},
	{regexp.MustCompile(`\bkubectl drain\b[^|;&]*--delete-local-data\b`), "--delete-local-data was removed", "--delete-emptydir-data"},
	{regexp.MustCompile(`\bkubectl\b[^|;&]*--dry-run(?:\s|$|=true|=false)`), "--dry-run without a kind was deprecated in 1.18", "--dry-run=client or --dry-run=server"},
	{regexp.MustCompile(`\bkubectl\b[^|;&]*--(?:include-uninitialized|heapster-\w+)\b`), "the flag was removed", "the command without it"},
	{regexp.MustCompile(`\bkubelet\b[^|;&]*--(?:api-servers|allow-privileged|container-runtime=|network-plugin)`), "the kubelet's flag was removed", "--kubeconfig, --container-runtime-endpoint"},
}

// removedVersions are the API versions that no cluster of 1.36 serves, by kind, with today's. An empty kind stands for all.
var removedVersions = map[string]map[string]string{
	"v1beta1":            {"": "v1"},
	"v1beta2":            {"": "v1"},
	"v1beta3":            {"": "v1"},
	"extensions/v1beta1": {"": "apps/v1", "Ingress": "networking.k8s.io/v1", "NetworkPolicy": "networking.k8s.io/v1", "PodSecurityPolicy": "the label pod-security.kubernetes.io/enforce of the namespace", "Job": "batch/v1", "HorizontalPodAutoscaler": "autoscaling/v2"},
	"apps/v1alpha1":      {"": "apps/v1, for a PetSet a StatefulSet"},
	"apps/v1beta1":       {"": "apps/v1"},
	"apps/v1beta2":       {"": "apps/v1"},
	"batch/v2alpha1":     {"": "batch/v1"},
	"batch/v1beta1":      {"": "batch/v1"},
	"policy/v1beta1":     {"": "policy/v1", "PodSecurityPolicy": "the label pod-security.kubernetes.io/enforce of the namespace"},

	"networking.k8s.io/v1beta1":            {"": "networking.k8s.io/v1"},
	"rbac.authorization.k8s.io/v1alpha1":   {"": "rbac.authorization.k8s.io/v1"},
	"rbac.authorization.k8s.io/v1beta1":    {"": "rbac.authorization.k8s.io/v1"},
	"autoscaling/v2alpha1":                 {"": "autoscaling/v2"},
	"autoscaling/v2beta1":                  {"": "autoscaling/v2"},
	"autoscaling/v2beta2":                  {"": "autoscaling/v2"},
	"storage.k8s.io/v1beta1":               {"StorageClass": "storage.k8s.io/v1", "CSIDriver": "storage.k8s.io/v1", "CSINode": "storage.k8s.io/v1", "VolumeAttachment": "storage.k8s.io/v1", "CSIStorageCapacity": "storage.k8s.io/v1"},
	"apiextensions.k8s.io/v1beta1":         {"": "apiextensions.k8s.io/v1"},
	"apiregistration.k8s.io/v1beta1":       {"": "apiregistration.k8s.io/v1"},
	"scheduling.k8s.io/v1beta1":            {"": "scheduling.k8s.io/v1"},
	"coordination.k8s.io/v1beta1":          {"Lease": "coordination.k8s.io/v1"},
	"discovery.k8s.io/v1beta1":             {"": "discovery.k8s.io/v1"},
	"events.k8s.io/v1beta1":                {"": "events.k8s.io/v1"},
	"node.k8s.io/v1beta1":                  {"": "node.k8s.io/v1"},
	"certificates.k8s.io/v1beta1":          {"CertificateSigningRequest": "certificates.k8s.io/v1"},
	"admissionregistration.k8s.io/v1beta1": {"ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1"},
	"flowcontrol.apiserver.k8s.io/v1beta1": {"": "flowcontrol.apiserver.k8s.io/v1"},
	"flowcontrol.apiserver.k8s.io/v1beta2": {"": "flowcontrol.apiserver.k8s.io/v1"},
	"flowcontrol.apiserver.k8s.io/v1beta3": {"": "flowcontrol.apiserver.k8s.io/v1"},
}

// removedVersion returns what stands for the version today, empty if it is served.
func removedVersion(version, kind string) string {
	kinds := removedVersions[version]
	if today, ok := kinds[kind]; ok {
		return today
	}
	return kinds[""]
}
