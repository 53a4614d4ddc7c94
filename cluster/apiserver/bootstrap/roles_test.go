package bootstrap_test

import (
	"log/slog"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/bootstrap"
)

// Why a role names what is not served.
const (
	admissionOnly = "admission asks for the right; there is no such path"
	kubeletOnly   = "the right to a path of the kubelet's own server"
	approval      = "the right by which the controller approves a request"
	csi           = "upstream's role; CSI drivers are not supported, so their kinds do not exist"
	reducedForm   = "the right to read the kind itself, in a reduced form"
	group2015     = "upstream's role; Scale of a ReplicationController is served in the group of the kind"
)

// notServed are the resources that roles name and that no kind has, with the reason.
var notServed = map[string]string{
	"/endpoints/restricted": admissionOnly, "/nodes/controlplane": admissionOnly, "/pods/gitrepo": admissionOnly,
	"/pods/addresses": reducedForm,
	"/nodes/configz":  kubeletOnly, "/nodes/healthz": kubeletOnly, "/nodes/log": kubeletOnly, "/nodes/metrics": kubeletOnly,
	"/nodes/pods": kubeletOnly, "/nodes/stats": kubeletOnly,
	"certificates.k8s.io/certificatesigningrequests/nodeclient":     approval,
	"certificates.k8s.io/certificatesigningrequests/selfnodeclient": approval,
	"certificates.k8s.io/signers":                                   admissionOnly,
	"storage.k8s.io/csidrivers":                                     csi, "storage.k8s.io/csinodes": csi, "storage.k8s.io/csistoragecapacities": csi,
	"extensions/replicationcontrollers/scale": group2015,
}

// Every resource that a default role names is served, or is on the list with its reason.
func TestRolesNameWhatIsServed(t *testing.T) {
	cs := kubernetes.NewForConfigOrDie(apitest.Start(t))
	b, err := bootstrap.New(bootstrap.Config{Client: cs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, b)
	served := map[string]bool{}
	for _, k := range builtin.Table().Served() {
		resource := k.Group + "/" + k.Plural
		served[resource] = true
		served[resource+"/status"] = k.HasStatus
		served[resource+"/scale"] = k.Scale != nil
		served[resource+"/finalizers"] = true // a right of an owner's controller
		for _, sub := range k.Connect {
			served[resource+"/"+sub.Name] = true
		}
	}
	named := map[string]bool{}
	check := func(role string, rules []rbacv1.PolicyRule) {
		for _, r := range rules {
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					name := group + "/" + resource
					named[name] = true
					if group != "*" && !strings.Contains(resource, "*") && !served[name] && notServed[name] == "" {
						t.Errorf("%s: role %s names it, and it is not served", name, role)
					}
				}
			}
		}
	}
	cluster, err := cs.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cluster.Items {
		check(cluster.Items[i].Name, cluster.Items[i].Rules)
	}
	roles, err := cs.RbacV1().Roles("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range roles.Items {
		check(roles.Items[i].Namespace+"/"+roles.Items[i].Name, roles.Items[i].Rules)
	}
	if len(cluster.Items) == 0 || len(roles.Items) == 0 {
		t.Error("there are no roles")
	}
	for name := range notServed {
		if !named[name] || served[name] {
			t.Errorf("%s is on the list, and no role names it or it is served", name)
		}
	}
}
