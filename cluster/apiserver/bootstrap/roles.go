package bootstrap

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

const (
	read      = "get list watch"
	write     = "create update patch delete deletecollection"
	readWrite = read + " " + write
)

// allow returns a rule; each argument is a list of words, "core" the group without a name.
func allow(verbs, groups, resources string, names ...string) rbacv1.PolicyRule {
	r := rbacv1.PolicyRule{
		Verbs: strings.Fields(verbs), APIGroups: strings.Fields(groups), Resources: strings.Fields(resources), ResourceNames: names,
	}
	for i, g := range r.APIGroups {
		if g == "core" {
			r.APIGroups[i] = ""
		}
	}
	return r
}

func allowPaths(verbs, paths string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), NonResourceURLs: strings.Fields(paths)}
}

var (
	// useControlPlane and useGitRepo are for those who bind or create pods for others: the
	// right is checked when the pod or its template is written. See the README of admission.
	useControlPlane = allow("use", "core", "nodes/controlplane")
	useGitRepo      = allow("use", "core", "pods/gitrepo")

	events  = allow("create update patch", "core events.k8s.io", "events")
	reviews = []rbacv1.PolicyRule{
		allow("create", "authentication.k8s.io", "tokenreviews"),
		allow("create", "authorization.k8s.io", "subjectaccessreviews"),
	}
)

// defaults marks an object as a default one, which the reconciler may complete.
func defaults(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:        name,
		Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: defaults(name), Rules: rules}
}

const aggregateTo = "rbac.authorization.k8s.io/aggregate-to-"

// aggregatedRole returns a role that another role aggregates.
func aggregatedRole(of, name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	r := clusterRole(name, rules...)
	r.Labels[aggregateTo+of] = "true"
	return r
}

// sum returns a role that aggregates others, and is aggregated itself.
func sum(name, of string) *rbacv1.ClusterRole {
	r := clusterRole(name)
	if of != "" {
		r.Labels[aggregateTo+of] = "true"
	}
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{
		MatchLabels: map[string]string{aggregateTo + name: "true"},
	}}}
	return r
}

// clusterRoles returns the default ones, with upstream's names and rights.
func clusterRoles() []*rbacv1.ClusterRole {
	roles := []*rbacv1.ClusterRole{
		clusterRole("cluster-admin", allow("*", "*", "*"), allowPaths("*", "*")),
		sum("admin", ""),
		sum("edit", "admin"),
		sum("view", "edit"),
		aggregatedRole("admin", "system:aggregate-to-admin",
			allow("create", "authorization.k8s.io", "localsubjectaccessreviews"),
			allow(readWrite, "rbac.authorization.k8s.io", "roles rolebindings")),
		aggregatedRole("edit", "system:aggregate-to-edit",
			allow(read, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
			allow("impersonate", "core", "serviceaccounts"),
			allow(write, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
			allow("create", "core", "pods/eviction"),
			allow(write, "core", "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy "+
				"persistentvolumeclaims configmaps secrets events"),
			allow(write, "events.k8s.io", "events"),
			allow("create", "core", "serviceaccounts/token"),
			allow(write, "apps", "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets replicasets/scale"),
			allow(write, "autoscaling", "horizontalpodautoscalers"),
			allow(write, "batch", "jobs cronjobs"),
			allow(write, "extensions", "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets "+
				"replicasets/scale replicationcontrollers/scale networkpolicies"),
			allow(write, "policy", "poddisruptionbudgets"),
			allow(write, "networking.k8s.io", "networkpolicies ingresses"),
			allow(readWrite, "coordination.k8s.io", "leases")),
		aggregatedRole("view", "system:aggregate-to-view",
			allow(read, "core", "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "+
				"endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps"),
			allow(read, "core", "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status "+
				"replicationcontrollers/status pods/log namespaces"),
			allow(read, "events.k8s.io", "events"),
			allow(read, "discovery.k8s.io", "endpointslices"),
			allow(read, "apps", "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status "+
				"deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale"),
			allow(read, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
			allow(read, "batch", "jobs cronjobs cronjobs/status jobs/status"),
			allow(read, "extensions", "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "+
				"replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies"),
			allow(read, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
			allow(read, "networking.k8s.io", "networkpolicies ingresses ingresses/status")),
		metricsReader(),

		clusterRole("system:basic-user",
			allow("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
			allow("create", "authentication.k8s.io", "selfsubjectreviews")),
		clusterRole("system:discovery",
			allowPaths("get", "/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*")),
		clusterRole("system:master-joiner", allowPaths("post", "/wheelhouse/masters/join")), // answered to who has a master token alone
		clusterRole("system:public-info-viewer", allowPaths("get", "/livez /readyz /healthz /version /version/")),
		clusterRole("system:monitoring",
			allow("get", "core", "nodes/metrics"),
			allowPaths("get", "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/* /statusz /flagz")),
		clusterRole("system:service-account-issuer-discovery",
			allowPaths("get", "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/")),
		clusterRole("system:auth-delegator", reviews...),
		clusterRole("system:kubelet-api-admin",
			allow(read, "core", "nodes"), allow("proxy", "core", "nodes"),
			allow("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log nodes/pods nodes/healthz nodes/configz")),
		clusterRole("system:heapster",
			allow(read, "core", "events pods nodes namespaces"), allow(read, "extensions", "deployments")),

		clusterRole("system:node", append(authz.NodeRules(),
			allow(read, "core", "secrets configmaps"),
			allow("get", "core", "persistentvolumeclaims persistentvolumes serviceaccounts"),
			allow("get update patch", "core", "persistentvolumeclaims/status"),
			allow("create", "core", "serviceaccounts/token"),
			allow("get create update patch delete", "coordination.k8s.io", "leases"))...),
		clusterRole("system:node-proxier",
			allow("list watch", "core", "services endpoints"), allow(read, "core", "nodes"),
			allow("list watch", "discovery.k8s.io", "endpointslices"), events),
		// No more of pods than policies depend on: addresses is their reduced form.
		clusterRole("wheelhouse:network-policies",
			allow("list watch", "core", "namespaces pods/addresses"), allow("list watch", "networking.k8s.io", "networkpolicies")),
		clusterRole("system:node-bootstrapper", allow("create get list watch", "certificates.k8s.io", "certificatesigningrequests")),
		clusterRole("system:node-problem-detector",
			allow("get", "core", "nodes"), allow("patch", "core", "nodes/status"), events),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:nodeclient",
			allow("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
			allow("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")),

		approver("kube-apiserver-client"), approver("kube-apiserver-client-kubelet"), approver("kubelet-serving"), approver("legacy-unknown"),

		clusterRole("system:kube-scheduler", append([]rbacv1.PolicyRule{
			events,
			allow("create list watch", "coordination.k8s.io", "leases"),
			allow("get update patch", "coordination.k8s.io", "leases", "kube-scheduler"),
			allow(read, "core", "nodes namespaces services replicationcontrollers persistentvolumeclaims persistentvolumes"),
			allow(read+" delete", "core", "pods"),
			allow("create", "core", "pods/binding bindings"),
			useControlPlane,
			allow("patch update", "core", "pods/status"),
			allow(read, "apps extensions", "replicasets"), allow(read, "apps", "statefulsets"),
			allow(read, "policy", "poddisruptionbudgets"),
			allow(read, "scheduling.k8s.io", "priorityclasses"),
			allow(read, "storage.k8s.io", "csinodes csidrivers csistoragecapacities storageclasses"),
		}, reviews...)...),
		clusterRole("system:volume-scheduler",
			allow(read+" update patch", "core", "persistentvolumes persistentvolumeclaims"),
			allow(read, "storage.k8s.io", "storageclasses")),
		clusterRole("system:kube-controller-manager", append([]rbacv1.PolicyRule{
			events,
			allow("create", "coordination.k8s.io", "leases"),
			allow("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
			allow("create update", "core", "secrets serviceaccounts"), allow("delete", "core", "secrets"),
			allow("get", "core", "configmaps namespaces secrets serviceaccounts"),
			allow("list watch", "*", "*"),
			allow("create", "core", "serviceaccounts/token"),
		}, reviews...)...),
		clusterRole("system:kube-dns",
			allow("list watch", "core", "services endpoints namespaces pods"), allow("list watch", "discovery.k8s.io", "endpointslices")),
		clusterRole(client.IngressUser, events, // upstream has no Ingress controller
			allow("list watch", "core", "services secrets"), allow("list watch", "discovery.k8s.io", "endpointslices"),
			allow("list watch", "networking.k8s.io", "ingresses ingressclasses"), allow("update", "networking.k8s.io", "ingresses/status")),
		clusterRole("system:persistent-volume-provisioner",
			allow(read+" create delete", "core", "persistentvolumes"), allow(read+" update", "core", "persistentvolumeclaims"),
			allow(read, "storage.k8s.io", "storageclasses"), allow("watch", "core", "events"), events),
	}
	for _, c := range controllers() {
		rules := slices.Clip(c.rules)
		if !c.quiet {
			rules = append(rules, events)
		}
		if slices.ContainsFunc(c.rules, makesPods) {
			rules = append(rules, useControlPlane, useGitRepo)
		}
		roles = append(roles, clusterRole(controllerPrefix+c.name, rules...))
	}
	return roles
}

// approver returns the role of those who approve requests to a signer.
func approver(signer string) *rbacv1.ClusterRole {
	return clusterRole("system:certificates.k8s.io:"+signer+"-approver",
		allow("approve", "certificates.k8s.io", "signers", "kubernetes.io/"+signer))
}

// makesPods reports whether a controller creates pods, or objects with a pod template.
func makesPods(r rbacv1.PolicyRule) bool {
	return slices.Contains(r.Verbs, "create") && slices.ContainsFunc(r.Resources, func(resource string) bool {
		return slices.Contains([]string{"pods", "replicasets", "jobs", "controllerrevisions"}, resource)
	})
}

// metricsReader is for all who may read pods.
func metricsReader() *rbacv1.ClusterRole {
	r := aggregatedRole("view", "system:aggregated-metrics-reader", allow(read, "metrics.k8s.io", "pods nodes"))
	r.Labels[aggregateTo+"edit"], r.Labels[aggregateTo+"admin"] = "true", "true"
	return r
}

const controllerPrefix = "system:controller:"

type controllerRole struct {
	name  string
	rules []rbacv1.PolicyRule
	quiet bool // it records no events
}

// controllers returns the rules of each controller.
func controllers() []controllerRole {
	return []controllerRole{
		{name: "replication-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update patch", "core", "replicationcontrollers"),
			allow("update patch", "core", "replicationcontrollers/status replicationcontrollers/finalizers"),
			allow(read+" create patch delete", "core", "pods"),
		}},
		{name: "replicaset-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update patch", "apps extensions", "replicasets"),
			allow("update patch", "apps extensions", "replicasets/status replicasets/finalizers"),
			allow(read+" create patch delete", "core", "pods"),
		}},
		{name: "deployment-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update", "apps extensions", "deployments"),
			allow("update patch", "apps extensions", "deployments/status deployments/finalizers"),
			allow(read+" create update patch delete", "apps extensions", "replicasets"),
			allow(read+" update patch", "core", "pods"),
		}},
		{name: "disruption-controller", rules: []rbacv1.PolicyRule{
			allow(read, "apps extensions", "deployments replicasets"),
			allow(read, "apps", "statefulsets"), allow(read, "core", "replicationcontrollers pods"),
			allow(read, "policy", "poddisruptionbudgets"), allow("update", "policy", "poddisruptionbudgets/status"),
			allow("get", "*", "*/scale"),
		}},
		{name: "daemon-set-controller", rules: []rbacv1.PolicyRule{
			allow(read, "apps extensions", "daemonsets"),
			allow("update", "apps extensions", "daemonsets/status daemonsets/finalizers"),
			allow(read, "core", "nodes"), allow(read+" create patch delete", "core", "pods"),
			allow(read+" create update patch delete", "apps", "controllerrevisions"),
		}},
		{name: "statefulset-controller", rules: []rbacv1.PolicyRule{
			allow(read, "apps", "statefulsets"),
			allow("update", "apps", "statefulsets/status statefulsets/finalizers"),
			allow(read+" create update patch delete", "core", "pods"),
			allow(read+" create update", "core", "persistentvolumeclaims"),
			allow(read+" create update patch delete", "apps", "controllerrevisions"),
		}},
		{name: "job-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update patch", "batch", "jobs"),
			allow("update", "batch", "jobs/status jobs/finalizers"),
			allow(read+" create patch delete", "core", "pods"),
		}},
		{name: "cronjob-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update", "batch", "cronjobs"),
			allow("update", "batch", "cronjobs/status cronjobs/finalizers"),
			allow(read+" create update patch delete", "batch", "jobs"),
		}},
		{name: "ttl-controller", rules: []rbacv1.PolicyRule{allow("update patch list watch", "core", "nodes")}},
		{name: "ttl-after-finished-controller", rules: []rbacv1.PolicyRule{allow(read+" delete", "batch", "jobs")}},
		{name: "ephemeral-volume-controller", rules: []rbacv1.PolicyRule{
			allow(read, "core", "pods"), allow("update", "core", "pods/finalizers"),
			allow(read+" create", "core", "persistentvolumeclaims"),
		}},
		{name: "endpoint-controller", rules: []rbacv1.PolicyRule{
			allow(read, "core", "services pods"),
			allow(read+" create update patch delete", "core", "endpoints"),
			allow("create", "core", "endpoints/restricted"),
		}},
		{name: "endpointslice-controller", rules: []rbacv1.PolicyRule{
			allow(read, "core", "services pods nodes"),
			allow("update", "core", "services/finalizers"),
			allow(read+" create update patch delete", "discovery.k8s.io", "endpointslices"),
		}},
		{name: "endpointslicemirroring-controller", rules: []rbacv1.PolicyRule{
			allow(read, "core", "services endpoints"),
			allow("update", "core", "services/finalizers endpoints/finalizers"),
			allow(read+" create update patch delete", "discovery.k8s.io", "endpointslices"),
		}},
		{name: "node-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update delete patch", "core", "nodes"),
			allow("patch update", "core", "nodes/status"),
			allow("patch update", "core", "pods/status"),
			allow(read+" delete", "core", "pods"),
			allow(read, "coordination.k8s.io", "leases"),
		}},
		{name: "namespace-controller", rules: []rbacv1.PolicyRule{
			allow(read+" delete", "core", "namespaces"),
			allow("update patch", "core", "namespaces/finalize namespaces/status"),
			allow("get list delete deletecollection", "*", "*"),
		}},
		{name: "persistent-volume-binder", rules: []rbacv1.PolicyRule{
			allow(read+" update patch create delete", "core", "persistentvolumes"),
			allow("update patch", "core", "persistentvolumes/status persistentvolumeclaims/status"),
			allow(read+" update patch", "core", "persistentvolumeclaims"),
			allow(read, "core", "pods nodes"),
			allow(read, "storage.k8s.io", "storageclasses"),
			allow("delete", "core", "nodes/proxy"), // the kubelet removes a volume's data
		}},
		{name: "pv-protection-controller", rules: []rbacv1.PolicyRule{allow(read+" update", "core", "persistentvolumes")}},
		{name: "pvc-protection-controller", rules: []rbacv1.PolicyRule{
			allow(read+" update", "core", "persistentvolumeclaims"), allow(read, "core", "pods"),
		}},
		{name: "service-account-controller", rules: []rbacv1.PolicyRule{allow(read+" create", "core", "serviceaccounts"), allow(read, "core", "namespaces")}},
		{name: "legacy-service-account-token-cleaner", rules: []rbacv1.PolicyRule{
			allow("get", "core", "configmaps", client.LegacyTokenTracking), allow("patch delete", "core", "secrets"),
		}, quiet: true},
		{name: "root-ca-cert-publisher", rules: []rbacv1.PolicyRule{allow("create update", "core", "configmaps"), allow(read, "core", "namespaces")}},
		{name: "generic-garbage-collector", rules: []rbacv1.PolicyRule{allow(read+" patch update delete", "*", "*"), events}},
		{name: "pod-garbage-collector", rules: []rbacv1.PolicyRule{
			allow(read+" delete", "core", "pods"), allow(read, "core", "nodes"), allow("patch update", "core", "pods/status"),
		}},
		{name: "resourcequota-controller", rules: []rbacv1.PolicyRule{allow("list watch", "*", "*"), allow("update", "core", "resourcequotas/status")}},
		{name: "service-controller", rules: []rbacv1.PolicyRule{
			allow(read, "core", "services"), allow("patch update", "core", "services/status"), allow("list watch", "core", "nodes"),
		}},
		{name: "horizontal-pod-autoscaler", rules: []rbacv1.PolicyRule{
			allow(read, "autoscaling", "horizontalpodautoscalers"), allow("update patch", "autoscaling", "horizontalpodautoscalers/status"),
			allow("get update", "*", "*/scale"), allow("list", "core", "pods"), allow("list", "metrics.k8s.io", "pods"),
		}},
		{name: "clusterrole-aggregation-controller", rules: []rbacv1.PolicyRule{
			allow("escalate get list watch update patch", "rbac.authorization.k8s.io", "clusterroles"),
		}},
	}
}
