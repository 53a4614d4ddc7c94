package environment

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"wheelhouse/lab-runner/catalog"
)

// A foreign lab's kubectl has an account of its own: a service account in the lab's namespace, with rights in it alone.
// So it is the API server that keeps the lab there, whatever its commands and manifests say. The account may not change
// the namespace itself, as its labels have the level of PodSecurity; nor give rights that it has not.

const (
	accountName = "lab"
	treeKey     = "wheelhouse/lab-tree" // annotation of a namespace: the tree of the foreign lab that it is of
	dayOf       = 24 * 60 * 60          // seconds that a token is valid; each command of the runner renews it
)

// level is what the pods of a foreign lab may be, as PodSecurity has it.
var level = map[string]string{"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "latest"}

// confined reports whether the lab's commands have an account of their own.
func (c *Cluster) confined(lab *catalog.Lab) bool {
	return lab.Foreign && !lab.Has("cluster-admin") && c.only == ""
}

// namespaceOf returns the namespace as it is created.
func (c *Cluster) namespaceOf(lab *catalog.Lab) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: lab.Namespace}}
	if lab.Foreign {
		ns.Annotations = map[string]string{treeKey: lab.Root()}
	}
	if c.confined(lab) && !lab.Has("privileged-pods") {
		ns.Labels = maps.Clone(level)
	}
	return ns
}

// ofThisLab returns an error if the namespace is of another lab of the same name.
func ofThisLab(ns *corev1.Namespace, lab *catalog.Lab) error {
	has, wanted := ns.Annotations[treeKey], ""
	if lab.Foreign {
		wanted = lab.Root()
	}
	switch has {
	case wanted:
		return nil
	case "":
		return fmt.Errorf("namespace %s is there already, and not of the lab %s in %s: 'lab stop' of the lab that it is of removes it, or 'kubectl delete namespace %s'", ns.Name, lab.ID(), wanted, ns.Name)
	}
	return fmt.Errorf("namespace %s is of a lab of the same name in %s: 'lab --labs %s stop %s' removes it", ns.Name, has, has, lab.ID())
}

// rights are what the account may do in the namespace.
func rights() []map[string]any {
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	rule := func(group string, resources ...string) map[string]any {
		return map[string]any{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
	}
	return []map[string]any{
		// Without "namespaces": a right on all resources would include the namespace itself.
		rule("", "pods", "pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/status", "pods/eviction", "pods/ephemeralcontainers",
			"pods/resize", "services", "services/proxy", "services/status", "endpoints", "replicationcontrollers", "replicationcontrollers/scale",
			"replicationcontrollers/status", "persistentvolumeclaims", "configmaps", "secrets", "resourcequotas", "limitranges", "serviceaccounts",
			"serviceaccounts/token", "events", "podtemplates"),
		rule("apps", "*"), rule("batch", "*"), rule("autoscaling", "*"), rule("networking.k8s.io", "*"), rule("policy", "*"),
		rule("rbac.authorization.k8s.io", "roles", "rolebindings"), rule("discovery.k8s.io", "*"), rule("events.k8s.io", "*"),
		rule("coordination.k8s.io", "*"), rule("metrics.k8s.io", "*"),
	}
}

// grant makes the account, with its rights, in the lab's namespace, which is there.
func (c *Cluster) grant(ctx context.Context, lab *catalog.Lab) error {
	name := map[string]any{"name": accountName, "namespace": lab.Namespace}
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + lab.Namespace
	for _, o := range []struct {
		path   string
		object map[string]any
	}{
		{"/api/v1/namespaces/" + lab.Namespace + "/serviceaccounts", map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name}},
		{rbac + "/roles", map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": name, "rules": rights()}},
		{rbac + "/rolebindings", map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": name,
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": accountName},
			"subjects": []map[string]any{{"kind": "ServiceAccount", "name": accountName, "namespace": lab.Namespace}},
		}},
	} {
		if err := c.Client.Post(ctx, o.path, o.object, nil); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making an account for the lab's commands: %w", err)
		}
	}
	return nil
}

// accountConfig writes the kubeconfig of the account into dir. While the account is not there, neither is a right.
func (c *Cluster) accountConfig(ctx context.Context, lab *catalog.Lab, dir string) (string, error) {
	raw, err := c.files.Load()
	if err != nil {
		return "", fmt.Errorf("the kubeconfig: %w", err)
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return "", fmt.Errorf("the kubeconfig: %w", err)
	}
	current := raw.Contexts[raw.CurrentContext]
	if current == nil || raw.Clusters[current.Cluster] == nil {
		return "", errNoContext
	}
	var answer struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	request := map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"expirationSeconds": dayOf}}
	err = c.Client.Post(ctx, "/api/v1/namespaces/"+lab.Namespace+"/serviceaccounts/"+accountName+"/token", request, &answer)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("a token for the lab's commands: %w", err)
	}
	if answer.Status.Token == "" {
		answer.Status.Token = "none"
	}
	own := clientcmdapi.NewConfig()
	own.Clusters[accountName] = raw.Clusters[current.Cluster]
	own.AuthInfos[accountName] = &clientcmdapi.AuthInfo{Token: answer.Status.Token}
	own.Contexts[accountName] = &clientcmdapi.Context{Cluster: accountName, AuthInfo: accountName, Namespace: lab.Namespace}
	own.CurrentContext = accountName
	path := filepath.Join(dir, ".kubeconfig")
	if err := clientcmd.WriteToFile(*own, path); err != nil {
		return "", fmt.Errorf("writing the lab's kubeconfig: %w", err)
	}
	return path, nil
}
