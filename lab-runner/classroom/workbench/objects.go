package workbench

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"strings"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

//go:embed class.yaml learner.yaml services.yaml
var files embed.FS

var manifests = template.Must(template.ParseFS(files, "*.yaml"))

// values are what the manifests have of learner and cluster.
type values struct {
	Learner
	Image      string
	APIServers []address
	Nodes      []string // their addresses, as prefixes of one
	Volumes    bool     // the cluster makes volumes for claims
	// DefaultPriority is the cluster's global default PriorityClass; "": none.
	DefaultPriority string
	// Administrator says that the learner may do everything in the cluster.
	Administrator bool
}

type address struct {
	CIDR string
	Port int32
}

// manager is the field manager of what is applied.
const manager = "wheelhouse-class"

// apply makes the objects of the learner, and those that all share, as the manifests say.
func (m *Manager) apply(ctx context.Context, l Learner) error {
	v, err := m.values(ctx, l)
	if err != nil {
		return err
	}
	m.mu.Lock()
	shared := m.shared
	m.mu.Unlock()
	if !shared {
		if err := m.applyFile(ctx, "class.yaml", v); err != nil {
			return err
		}
	}
	if err := m.applyFile(ctx, "learner.yaml", v); err != nil {
		return err
	}
	if shared {
		return nil
	}
	if !m.cfg.Administrator { // who may use external addresses, and takes them from nobody else
		if err := m.refusesExternal(ctx, l); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.shared = true
	m.mu.Unlock()
	return nil
}

// refusesExternal asks the API server whether a learner could take an address of others for a Service: an error if so. Nothing is
// created. Wheelhouse refuses it to everybody without the right, another cluster may need the admission plugin.
func (m *Manager) refusesExternal(ctx context.Context, l Learner) error {
	as := rest.CopyConfig(m.cfg.REST)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + Namespace + ":learner-" + l.ID, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	client, err := kubernetes.NewForConfig(as)
	if err != nil {
		return fmt.Errorf("as a learner: %w", err)
	}
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "external-"},
		Spec:       corev1.ServiceSpec{ExternalIPs: []string{"192.0.2.1"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err = client.CoreV1().Services(l.Namespace).Create(ctx, s, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return errors.New("this cluster lets learners take any address for a Service (spec.externalIPs): start its API server with the admission plugin DenyServiceExternalIPs")
	}
	if !apierrors.IsForbidden(err) {
		return fmt.Errorf("asking whether learners may use external addresses: %w", err)
	}
	return nil
}

// values asks the cluster for what the manifests need to know.
func (m *Manager) values(ctx context.Context, l Learner) (values, error) {
	v := values{Learner: l, Image: m.cfg.Image, Administrator: m.cfg.Administrator}
	slices, err := m.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes", Limit: most})
	if err != nil {
		return v, fmt.Errorf("looking for the addresses of the API server: %w", err)
	}
	for i := range slices.Items {
		for _, e := range slices.Items[i].Endpoints {
			for _, a := range e.Addresses {
				for _, p := range slices.Items[i].Ports {
					if p.Port != nil {
						v.APIServers = append(v.APIServers, address{single(a), *p.Port})
					}
				}
			}
		}
	}
	nodes, err := m.client.CoreV1().Nodes().List(ctx, m.few())
	if err != nil {
		return v, fmt.Errorf("looking for the addresses of the nodes: %w", err)
	}
	for i := range nodes.Items {
		for _, a := range nodes.Items[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP && net.ParseIP(a.Address) != nil {
				v.Nodes = append(v.Nodes, single(a.Address))
			}
		}
	}
	classes, err := m.client.StorageV1().StorageClasses().List(ctx, m.few())
	if err != nil {
		return v, fmt.Errorf("looking for a default storage class: %w", err)
	}
	for i := range classes.Items {
		v.Volumes = v.Volumes || classes.Items[i].Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
	}
	if m.cfg.Administrator {
		return v, nil
	}
	priorities, err := m.client.SchedulingV1().PriorityClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return v, fmt.Errorf("looking for a default priority class: %w", err)
	}
	for i := range priorities.Items {
		if priorities.Items[i].GlobalDefault {
			v.DefaultPriority = priorities.Items[i].Name
		}
	}
	return v, nil
}

// few bounds a list in a cluster whose administrator is not trusted.
func (m *Manager) few() metav1.ListOptions {
	if m.cfg.Administrator {
		return metav1.ListOptions{Limit: most}
	}
	return metav1.ListOptions{}
}

// single returns the prefix that has one address.
func single(address string) string {
	if strings.Contains(address, ":") {
		return address + "/128"
	}
	return address + "/32"
}

// resources has the path of each kind that the manifests have.
var resources = map[string]string{
	"Namespace": "/api/v1/namespaces", "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies",
	"ResourceQuota": "/api/v1/namespaces/%s/resourcequotas", "LimitRange": "/api/v1/namespaces/%s/limitranges",
	"PriorityClass":      "/apis/scheduling.k8s.io/v1/priorityclasses",
	"ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	"Role":               "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles", "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings",
	"ServiceAccount": "/api/v1/namespaces/%s/serviceaccounts", "ConfigMap": "/api/v1/namespaces/%s/configmaps",
	"PersistentVolumeClaim": "/api/v1/namespaces/%s/persistentvolumeclaims", "Deployment": "/apis/apps/v1/namespaces/%s/deployments",
}

// applyFile applies the objects of one of the manifests, in order.
func (m *Manager) applyFile(ctx context.Context, file string, v values) error {
	var text bytes.Buffer
	if err := manifests.ExecuteTemplate(&text, file, v); err != nil {
		return err
	}
	for _, document := range strings.Split(text.String(), "\n---\n") {
		var o metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		path := resources[o.Kind]
		if path == "" {
			return errors.New(file + ": no path for the kind " + o.Kind)
		}
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, o.Namespace)
		}
		err := m.client.CoreV1().RESTClient().Patch(types.ApplyYAMLPatchType).AbsPath(path+"/"+o.Name).
			Param("fieldManager", manager).Param("force", "true").Body([]byte(document)).Do(ctx).Error()
		if err != nil {
			return fmt.Errorf("making the %s %s of a workbench: %w", o.Kind, o.Name, err)
		}
	}
	return nil
}
