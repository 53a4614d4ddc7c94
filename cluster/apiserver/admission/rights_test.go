package admission_test

import (
	"encoding/json"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

// rights makes ops, who may use the virtual resources everywhere, and ann, who may do all
// in the namespace a. What reaches beyond the namespace is not hers by that.
func rights(o *authztest.Objects) {
	const group = rbacv1.GroupName
	o.Put(group, "clusterroles",
		&rbacv1.ClusterRole{ObjectMeta: meta("", "all"), Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}},
		&rbacv1.ClusterRole{ObjectMeta: meta("", "use"), Rules: []rbacv1.PolicyRule{{
			Verbs: []string{"use"}, APIGroups: []string{""}, Resources: []string{"services/externalips", "nodes/controlplane", "namespaces/podsecurity", "pods/gitrepo"},
		}}},
		&rbacv1.ClusterRole{ObjectMeta: meta("", "balancer"), Rules: []rbacv1.PolicyRule{{Verbs: []string{"update"}, APIGroups: []string{""}, Resources: []string{"services/status"}}}},
	)
	cluster := func(role, user string) {
		o.Put(group, "clusterrolebindings", &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta("", role), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}},
		})
	}
	cluster("use", "ops")
	cluster("balancer", "balancer")
	o.Put(group, "rolebindings", &rbacv1.RoleBinding{
		ObjectMeta: meta("a", "all"), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "all"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "ann"}},
	})
}

func as(user string, r *admission.Request) *admission.Request {
	r.User = &client.User{Name: user, Groups: []string{"system:authenticated"}}
	if user == "root" {
		r.User.Groups = []string{"system:masters"}
	}
	return r
}

func request(group, plural string, obj, old api.Object) *admission.Request {
	r := &admission.Request{Verb: admission.Create, Kind: kind(group, plural), Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj}
	if old != nil {
		r.Verb, r.Old = admission.Update, old
	}
	return r
}

func TestExternalAddresses(t *testing.T) {
	o := cluster()
	rights(o)
	c := newChain(t, o, serviceallocator.Config{})
	service := func(ips ...string) *corev1.Service {
		return &corev1.Service{ObjectMeta: meta("a", "s"), Spec: corev1.ServiceSpec{ExternalIPs: ips}}
	}
	balanced := func(ips ...string) *corev1.Service {
		s := service()
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
		return s
	}
	const refused = `services "s" is forbidden: Use of external IPs is denied by admission control`
	const balancer = `services "s" is forbidden: Use of load balancer addresses is denied by admission control`
	cases := []struct {
		name     string
		sub      string
		obj, old *corev1.Service
		want     map[string]string
	}{
		{"none", "", service(), nil, map[string]string{"ann": "", "bob": "", "ops": ""}},
		{"new", "", service("10.245.1.2"), nil, map[string]string{"ann": refused, "bob": refused, "balancer": refused, "ops": "", "root": ""}},
		{"added", "", service("10.245.1.2", "10.245.1.3"), service("10.245.1.3"), map[string]string{"ann": refused, "ops": ""}},
		{"kept", "", service("10.245.1.3"), service("10.245.1.3", "10.245.1.4"), map[string]string{"ann": "", "bob": ""}},
		{"in the status", "status", balanced("10.245.1.2"), balanced(), map[string]string{"ann": balancer, "bob": balancer, "balancer": "", "ops": "", "root": ""}},
		{"kept in the status", "status", balanced("10.245.1.2"), balanced("10.245.1.2"), map[string]string{"ann": ""}},
	}
	for _, x := range cases {
		for user, wanted := range x.want {
			t.Run(x.name+" by "+user, func(t *testing.T) {
				r := as(user, request("", "services", x.obj, nil))
				if x.old != nil {
					r = as(user, request("", "services", x.obj, x.old))
				}
				r.Subresource = x.sub
				want(t, c.Validate(bg, r), wanted)
			})
		}
	}
}

// places returns a node of the API server, as the Service kubernetes names it, and another.
func places(t *testing.T, o *authztest.Objects, c *admission.Chain) {
	t.Helper()
	o.Put("", "endpoints", &corev1.Endpoints{ObjectMeta: meta("default", "kubernetes"), Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: "10.245.1.2"}},
	}}})
	for name, ip := range map[string]string{"master": "10.245.1.2", "minion": "10.245.1.3"} {
		before := &corev1.Node{ObjectMeta: meta("", name)}
		node := before.DeepCopy()
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}
		r := request("", "nodes", node, before)
		r.Subresource, r.User = "status", &client.User{Name: "system:node:" + name, Groups: []string{"system:nodes"}}
		want(t, c.Admit(bg, r), "")
		if _, control := node.Labels["node-role.kubernetes.io/control-plane"]; control != (name == "master") {
			t.Errorf("node %s has labels %v", name, node.Labels)
		}
		o.Put("", "nodes", node)
	}
}

func TestNobodyIsPlacedOnTheControlPlane(t *testing.T) {
	o := cluster()
	rights(o)
	c := newChain(t, o, serviceallocator.Config{})
	places(t, o, c)
	on := func(node string) corev1.PodSpec { return corev1.PodSpec{NodeName: node} }
	bind := func(node string) *admission.Request {
		r := request("", "pods", &corev1.Binding{ObjectMeta: meta("a", "p"), Target: corev1.ObjectReference{Name: node}}, nil)
		r.Subresource = "binding"
		return r
	}
	const why = ` is forbidden: node "master" is part of the control plane: placing pods there needs the verb use on nodes/controlplane`
	cases := map[string]struct {
		request func(node string) *admission.Request
		name    string
	}{
		"pod": {func(node string) *admission.Request {
			return podRequest(&corev1.Pod{ObjectMeta: meta("a", "p"), Spec: on(node)})
		}, `pods "p"`},
		"binding": {bind, `pods "p"`},
		"old binding": {func(node string) *admission.Request {
			r := bind(node)
			r.Kind, r.Subresource = kind("", "bindings"), ""
			return r
		}, `bindings "p"`},
		"deployment": {func(node string) *admission.Request {
			return request("apps", "deployments", &appsv1.Deployment{ObjectMeta: meta("a", "d"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: on(node)}}}, nil)
		}, `deployments.apps "d"`},
		"cron job": {func(node string) *admission.Request {
			j := &batchv1.CronJob{ObjectMeta: meta("a", "j")}
			j.Spec.JobTemplate.Spec.Template.Spec = on(node)
			return request("batch", "cronjobs", j, &batchv1.CronJob{ObjectMeta: meta("a", "j")})
		}, `cronjobs.batch "j"`},
	}
	for what, x := range cases {
		t.Run(what, func(t *testing.T) {
			want(t, c.Admit(bg, as("ann", x.request("master"))), x.name+why)
			want(t, c.Admit(bg, as("bob", x.request("master"))), x.name+why)
			for _, user := range []string{"ops", "root"} {
				want(t, c.Admit(bg, as(user, x.request("master"))), "")
			}
			want(t, c.Admit(bg, as("ann", x.request("minion"))), "")
			want(t, c.Admit(bg, as("ann", x.request("not-there"))), "")
		})
	}
}

// reaching returns the ways of a pod to its node.
func reaching() map[string]corev1.PodSpec {
	yes := true
	with := func(s *corev1.SecurityContext) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Name: "c", SecurityContext: s}}}
	}
	return map[string]corev1.PodSpec{
		"hostNetwork":    {HostNetwork: true},
		"hostPID":        {HostPID: true},
		"hostIPC":        {HostIPC: true},
		"hostPort":       {Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 443}}}}},
		"init hostPort":  {InitContainers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 443}}}}},
		"privileged":     with(&corev1.SecurityContext{Privileged: &yes}),
		"capability":     with(&corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}}),
		"other spelling": with(&corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"cap_sys_Admin"}}}),
		"hostPath":       {Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}},
		"already placed": {HostNetwork: true, NodeName: "minion"},
	}
}

var avoid = corev1.NodeSelectorRequirement{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.NodeSelectorOpDoesNotExist}

func terms(s *corev1.PodSpec) []corev1.NodeSelectorTerm {
	if s.Affinity == nil || s.Affinity.NodeAffinity == nil || s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// Whatever way a pod takes to a node, it goes by its node affinity.
func TestPodsThatReachTheirNodeAvoidTheControlPlane(t *testing.T) {
	o := cluster()
	rights(o)
	c := newChain(t, o, serviceallocator.Config{})
	places(t, o, c)
	makers := map[string]func(corev1.PodSpec) (*admission.Request, *corev1.PodSpec){
		"pod": func(s corev1.PodSpec) (*admission.Request, *corev1.PodSpec) {
			p := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: s}
			return podRequest(p), &p.Spec
		},
		"daemon set": func(s corev1.PodSpec) (*admission.Request, *corev1.PodSpec) {
			d := &appsv1.DaemonSet{ObjectMeta: meta("a", "d"), Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: s}}}
			return request("apps", "daemonsets", d, nil), &d.Spec.Template.Spec
		},
		"changed replication controller": func(s corev1.PodSpec) (*admission.Request, *corev1.PodSpec) {
			d := &corev1.ReplicationController{ObjectMeta: meta("a", "d"), Spec: corev1.ReplicationControllerSpec{Template: &corev1.PodTemplateSpec{Spec: s}}}
			return request("", "replicationcontrollers", d, &corev1.ReplicationController{ObjectMeta: meta("a", "d")}), &d.Spec.Template.Spec
		},
	}
	for maker, make := range makers {
		for way, spec := range reaching() {
			t.Run(maker+" with "+way, func(t *testing.T) {
				r, made := make(*spec.DeepCopy())
				want(t, c.Admit(bg, as("ann", r)), "")
				if got := terms(made); len(got) != 1 || !reflect.DeepEqual(got[0].MatchExpressions, []corev1.NodeSelectorRequirement{avoid}) {
					t.Errorf("by ann: %+v", got)
				}
				for _, user := range []string{"ops", "root"} {
					r, made := make(*spec.DeepCopy())
					want(t, c.Admit(bg, as(user, r)), "")
					if got := terms(made); len(got) != 0 {
						t.Errorf("by %s: %+v", user, got)
					}
				}
			})
		}
	}
	plain, made := makers["pod"](corev1.PodSpec{Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}})
	want(t, c.Admit(bg, as("ann", plain)), "")
	if got := terms(made); len(got) != 0 {
		t.Errorf("a pod that does not reach its node: %+v", got)
	}
}

// Every term that may match is narrowed, and one that matches nothing stays so.
func TestEachTermAvoidsTheControlPlane(t *testing.T) {
	o := cluster()
	rights(o)
	c := newChain(t, o, serviceallocator.Config{})
	named := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"master"}}}}
	labelled := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpExists}}}
	narrowed := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{avoid}}
	pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{HostNetwork: true, Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{named, labelled, {}, narrowed}},
	}}}}
	want(t, c.Admit(bg, as("ann", podRequest(pod))), "")
	named.MatchExpressions = []corev1.NodeSelectorRequirement{avoid}
	labelled.MatchExpressions = append(labelled.MatchExpressions, avoid)
	if got := terms(&pod.Spec); !reflect.DeepEqual(got, []corev1.NodeSelectorTerm{named, labelled, {}, narrowed}) {
		t.Errorf("%+v", got)
	}
}

// Who changes something else of a set is not asked for what its author could do; but a
// revision, or a container for debugging, is as good as the template.
func TestWhatIsThereMayStay(t *testing.T) {
	o := cluster()
	rights(o)
	c := newChain(t, o, serviceallocator.Config{})
	places(t, o, c)
	yes := true
	set := &appsv1.DaemonSet{ObjectMeta: meta("a", "d"), Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{HostNetwork: true, NodeName: "master"}}}}
	labelled := set.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	want(t, c.Admit(bg, as("ann", request("apps", "daemonsets", labelled, set))), "")
	if got := terms(&labelled.Spec.Template.Spec); len(got) != 0 {
		t.Errorf("a label added: %+v", got)
	}

	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"hostNetwork": true}}}})
	if err != nil {
		t.Fatal(err)
	}
	revision := &appsv1.ControllerRevision{ObjectMeta: meta("a", "r"), Data: runtime.RawExtension{Raw: data}}
	want(t, c.Admit(bg, as("ann", request("apps", "controllerrevisions", revision, nil))),
		`controllerrevisions.apps "r" is forbidden: pods of the revision may come to a node of the control plane: that needs the verb use on nodes/controlplane`)
	want(t, c.Admit(bg, as("ops", request("apps", "controllerrevisions", revision, nil))), "")

	debug := func(node string) *admission.Request {
		pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c"}}}}
		next := pod.DeepCopy()
		next.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "e", SecurityContext: &corev1.SecurityContext{Privileged: &yes},
		}}}
		r := request("", "pods", next, pod)
		r.Subresource = "ephemeralcontainers"
		return r
	}
	want(t, c.Admit(bg, as("ann", debug("master"))), `pods "p" is forbidden: node "master" is part of the control plane: placing pods there needs the verb use on nodes/controlplane`)
	want(t, c.Admit(bg, as("ann", debug("minion"))), "")
	want(t, c.Admit(bg, as("ops", debug("master"))), "")
}

func TestGitRepoByRight(t *testing.T) {
	o := cluster()
	rights(o)
	class := chainWith(t, o, admission.Config{GitRepoByRight: true})
	usual := newChain(t, o, serviceallocator.Config{})
	spec := func(url string) corev1.PodSpec {
		return corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{Repository: url}}}}}
	}
	deployment := func(url string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta("a", "d"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{}, Spec: spec(url)}}}
	}
	pod := podRequest(&corev1.Pod{ObjectMeta: meta("a", "p"), Spec: spec("https://example.com/a")})
	const why = ` is forbidden: gitRepo volumes are denied by admission control: use an init container that clones into an emptyDir`
	want(t, class.Validate(bg, as("bob", pod)), `pods "p"`+why)
	for _, user := range []string{"ann", "ops", "root"} { // ann's right is within her namespace
		want(t, class.Validate(bg, as(user, pod)), "")
	}
	want(t, usual.Validate(bg, as("bob", pod)), "")
	want(t, class.Validate(bg, as("bob", request("apps", "deployments", deployment("https://example.com/a"), nil))), `deployments.apps "d"`+why)
	want(t, class.Validate(bg, as("bob", request("apps", "deployments", deployment("https://example.com/a"), deployment("https://example.com/a")))), "")
	want(t, class.Validate(bg, as("bob", request("apps", "deployments", deployment("https://example.com/b"), deployment("https://example.com/a")))), `deployments.apps "d"`+why)
}
