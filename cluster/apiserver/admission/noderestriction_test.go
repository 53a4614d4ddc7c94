package admission_test

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

func TestNodeRestriction(t *testing.T) {
	o := cluster()
	own := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "own", UID: "1"}, Spec: corev1.PodSpec{NodeName: "n1", Volumes: tokenVolumes("", "vault")}}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "other", UID: "2"}, Spec: corev1.PodSpec{NodeName: "n2"}}
	o.Put("", "pods", own, other)
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "kube-node-lease")})
	o.Put("", "nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "node-1"}})
	c := newChain(t, o, serviceallocator.Config{})
	mirror := mirrorPod()
	token := func(pod *corev1.Pod) runtime.Object {
		r := &authenticationv1.TokenRequest{}
		if pod != nil {
			r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
		}
		return r
	}
	node := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
		if change != nil {
			change(n)
		}
		return n
	}
	relabelled := own.DeepCopy()
	relabelled.Labels = map[string]string{"app": "x"}
	label := func(key string) func(*corev1.Node) { return func(n *corev1.Node) { n.Labels[key] = "" } }
	taint := func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: "NoSchedule"}} }

	cases := []struct {
		name, verb, group, plural, sub, object string
		obj, old                               runtime.Object
		want                                   string
	}{
		{"mirror pod", "create", "", "pods", "", "m", mirror.DeepCopy(), nil, ""},
		{"pod", "create", "", "pods", "", "own", own.DeepCopy(), nil, `pods "own" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`},
		{"delete own", "delete", "", "pods", "", "own", nil, own, ""},
		{"delete another's", "delete", "", "pods", "", "other", nil, nil, `pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself`},
		{"status of own", "update", "", "pods", "status", "own", own.DeepCopy(), own, ""},
		{"labels by status", "update", "", "pods", "status", "own", relabelled, own, `pods "own" is forbidden: node "n1" cannot update labels through pod status`},
		{"status of another's", "update", "", "pods", "status", "other", other.DeepCopy(), other, `pods "other" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself`},
		{"evict another's", "create", "", "pods", "eviction", "other", &policyv1.Eviction{}, nil, `pods "other" is forbidden: node n1 can only evict pods with spec.nodeName set to itself`},
		{"change a pod", "update", "", "pods", "", "own", own.DeepCopy(), own, `pods "own" is forbidden: unexpected operation "UPDATE", node "n1" can only create and delete mirror pods`},
		{"register", "create", "", "nodes", "", "n1", node("n1", taint), nil, ""},
		{"register another", "create", "", "nodes", "", "n2", node("n2", nil), nil, `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"register as master", "create", "", "nodes", "", "n1", node("n1", label("node-role.kubernetes.io/master")), nil, `nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-role.kubernetes.io/master`},
		{"own label", "update", "", "nodes", "", "n1", node("n1", label("example.com/disk")), node("n1", nil), ""},
		{"node label", "update", "", "nodes", "", "n1", node("n1", label("node.kubernetes.io/x")), node("n1", nil), ""},
		{"reserved label", "update", "", "nodes", "", "n1", node("n1", label("node-restriction.kubernetes.io/x")), node("n1", nil), `nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x`},
		{"taint", "update", "", "nodes", "", "n1", node("n1", taint), node("n1", nil), `nodes "n1" is forbidden: node "n1" is not allowed to modify taints`},
		{"status of another node", "update", "", "nodes", "status", "n2", node("n2", nil), node("n2", nil), `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"token for own pod", "create", "", "serviceaccounts", "token", "default", token(own), nil, ""},
		{"token for another's pod", "create", "", "serviceaccounts", "token", "default", token(other), nil, `serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different node`},
		{"token for nobody", "create", "", "serviceaccounts", "token", "default", token(nil), nil, `serviceaccounts "default" is forbidden: node requested token not bound to a pod`},
		{"lease", "create", coordinationv1.GroupName, "leases", "", "n1", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n1")}, nil, ""},
		{"another's lease", "create", coordinationv1.GroupName, "leases", "", "n2", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n2")}, nil, `leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting node`},
		{"events", "create", "", "events", "", "e", &corev1.Event{}, nil, ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			ns := "a"
			if x.plural == "leases" {
				ns = "kube-node-lease"
			} else if x.plural == "nodes" {
				ns = ""
			}
			r := &admission.Request{
				User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}, Verb: x.verb,
				Kind: kind(x.group, x.plural), Namespace: ns, Name: x.object, Subresource: x.sub, Object: x.obj, Old: x.old,
			}
			want(t, c.Admit(bg, r), x.want)
			if x.sub == "" && x.plural == "pods" && x.verb == "create" {
				return // as somebody else it would need an account
			}
			r.User = &client.User{Name: "admin"}
			want(t, c.Admit(bg, r), "")
		})
	}
}

// mirrorPod returns what the kubelet of n1 makes for a static pod.
func mirrorPod() *corev1.Pod {
	yes := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "a", Name: "m", Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "node-1", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

// references are the ways of a pod to an API object, and what NodeRestriction calls them. A
// reference to a secret is refused to everybody before it.
var references = []struct {
	name, what string
	change     func(*corev1.PodSpec)
}{
	{"secret in env", "", env(corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: local("s")}})},
	{"secret in envFrom", "", envFrom(corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local("s")}})},
	{"secret in an init container", "", func(s *corev1.PodSpec) {
		s.InitContainers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local("s")}}}}}
	}},
	{"secret in an ephemeral container", "", func(s *corev1.PodSpec) {
		s.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local("s")}}},
		}}}
	}},
	{"pull secret", "", func(s *corev1.PodSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{local("s")} }},
	{"secret volume", "", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}})},
	{"projected secret", "", projected(corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: local("s")}})},
	{"azureFile", "", volume(corev1.VolumeSource{AzureFile: &corev1.AzureFileVolumeSource{SecretName: "s"}})},
	{"cephfs", "", volume(corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{SecretRef: ref("s")}})},
	{"cinder", "", volume(corev1.VolumeSource{Cinder: &corev1.CinderVolumeSource{SecretRef: ref("s")}})},
	{"flexVolume", "", volume(corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{SecretRef: ref("s")}})},
	{"rbd", "", volume(corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{SecretRef: ref("s")}})},
	{"scaleIO", "", volume(corev1.VolumeSource{ScaleIO: &corev1.ScaleIOVolumeSource{SecretRef: ref("s")}})},
	{"iscsi", "", volume(corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{SecretRef: ref("s")}})},
	{"storageos", "", volume(corev1.VolumeSource{StorageOS: &corev1.StorageOSVolumeSource{SecretRef: ref("s")}})},
	{"csi secret", "", volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d", NodePublishSecretRef: ref("s")}})},
	{"config map in env", "configmaps", env(corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: local("m")}})},
	{"config map in envFrom", "configmaps", envFrom(corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: local("m")}})},
	{"config map volume", "configmaps", volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: local("m")}})},
	{"projected config map", "configmaps", projected(corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: local("m")}})},
	{"claim", "persistentvolumeclaims", volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}})},
	{"ephemeral claim", "persistentvolumeclaims (via ephemeral volumes)", volume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}})},
	{"csi driver", "csidrivers (via CSI volumes)", volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d"}})},
	{"resource claim", "resourceclaims", func(s *corev1.PodSpec) { s.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }},
	{"trust bundle", "clustertrustbundles", projected(corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Path: "p"}})},
	{"pod certificate", "podcertificates", projected(corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{}})},
}

func local(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func ref(name string) *corev1.LocalObjectReference { return &corev1.LocalObjectReference{Name: name} }

func env(from corev1.EnvVarSource) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &from}} }
}

func envFrom(from corev1.EnvFromSource) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].EnvFrom = []corev1.EnvFromSource{from} }
}

func volume(v corev1.VolumeSource) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: v}} }
}

func projected(p corev1.VolumeProjection) func(*corev1.PodSpec) {
	return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{p}}})
}

// A kubelet that could name an object in a mirror pod could read it.
func TestMirrorPodsReferToNothing(t *testing.T) {
	o := cluster()
	o.Put("", "nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "node-1"}})
	c := newChain(t, o, serviceallocator.Config{})
	create := func(change func(*corev1.Pod)) error {
		p := mirrorPod()
		change(p)
		r := podRequest(p)
		r.User = &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}
		return c.Admit(bg, r)
	}
	for _, x := range references {
		t.Run(x.name, func(t *testing.T) {
			message := `pods "m" is forbidden: node "n1" can not create pods that reference ` + x.what
			if x.what == "" {
				message = `pods "m" is forbidden: a mirror pod may not reference secrets`
			}
			want(t, create(func(p *corev1.Pod) { x.change(&p.Spec) }), message)
		})
	}
	no, yes := false, true
	cases := []struct {
		name, want string
		change     func(*corev1.Pod)
	}{
		{"as the kubelet makes it", "", func(*corev1.Pod) {}},
		{"account", `a mirror pod may not reference service accounts`, func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" }},
		{"account token", `a mirror pod may not use ServiceAccountToken volume projections`, func(p *corev1.Pod) {
			projected(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}})(&p.Spec)
		}},
		{"another node", `node "n1" can only create pods with spec.nodeName set to itself`, func(p *corev1.Pod) { p.Spec.NodeName = "n2" }},
		{"no owner", `node "n1" can only create pods with an owner reference set to itself`, func(p *corev1.Pod) { p.OwnerReferences = nil }},
		{"two owners", `node "n1" can only create pods with a single owner reference set to itself`, func(p *corev1.Pod) { p.OwnerReferences = append(p.OwnerReferences, p.OwnerReferences[0]) }},
		{"another owner", `node "n1" can only create pods with an owner reference set to itself`, func(p *corev1.Pod) { p.OwnerReferences[0].Name = "n2" }},
		{"another kind", `node "n1" can only create pods with an owner reference set to itself`, func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "Pod" }},
		{"no controller", `node "n1" can only create pods with a controller owner reference set to itself`, func(p *corev1.Pod) { p.OwnerReferences[0].Controller = &no }},
		{"blocking", `node "n1" must not set blockOwnerDeletion on an owner reference`, func(p *corev1.Pod) { p.OwnerReferences[0].BlockOwnerDeletion = &yes }},
		{"another uid", `node n1 UID mismatch: expected other got node-1`, func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			message := x.want
			if message != "" {
				message = `pods "m" is forbidden: ` + message
			}
			want(t, create(x.change), message)
		})
	}
}

// Nor by its own status or that of its pods.
func TestNodesWidenNothing(t *testing.T) {
	o := cluster()
	c := newChain(t, o, serviceallocator.Config{})
	own := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "own"}, Spec: corev1.PodSpec{NodeName: "n1"}}
	claims := own.DeepCopy()
	claims.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "gpu"}}
	extended := own.DeepCopy()
	extended.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: "x"}
	node := &corev1.Node{ObjectMeta: meta("", "n1")}
	configured := node.DeepCopy()
	configured.Spec.ConfigSource = &corev1.NodeConfigSource{ConfigMap: &corev1.ConfigMapNodeConfigSource{Name: "m"}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta("a", "c")}
	cases := []struct {
		name, verb, plural, sub string
		obj, old                api.Object
		want                    string
	}{
		{"resource claims", "update", "pods", "status", claims, own, `pods "own" is forbidden: node "n1" cannot update resource claim statues`},
		{"extended resource claim", "update", "pods", "status", extended, own, `pods "own" is forbidden: node "n1" cannot update extended resource claim status`},
		{"ephemeral containers", "update", "pods", "ephemeralcontainers", own, own, `pods "own" is forbidden: unexpected pod subresource "ephemeralcontainers", only 'status' and 'eviction' are allowed`},
		{"resize", "update", "pods", "resize", own, own, `pods "own" is forbidden: unexpected pod subresource "resize", only 'status' and 'eviction' are allowed`},
		{"binding", "create", "pods", "binding", &corev1.Binding{ObjectMeta: meta("a", "own")}, nil, `pods "own" is forbidden: unexpected pod subresource "binding", only 'status' and 'eviction' are allowed`},
		{"claim", "update", "persistentvolumeclaims", "", claim, claim, `persistentvolumeclaims "c" is forbidden: may only update PVC status`},
		{"config source at the start", "create", "nodes", "", configured, nil, `nodes "n1" is forbidden: node "n1" is not allowed to create pods with a non-nil configSource`},
		{"config source", "update", "nodes", "", configured, node, `nodes "n1" is forbidden: node "n1" is not allowed to update configSource to a new non-nil configSource`},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			r := &admission.Request{
				User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}, Verb: x.verb, Kind: kind("", x.plural),
				Namespace: x.obj.GetNamespace(), Name: x.obj.GetName(), Subresource: x.sub, Object: x.obj,
			}
			if x.old != nil {
				r.Old = x.old
			}
			want(t, c.Admit(bg, r), x.want)
		})
	}
}
