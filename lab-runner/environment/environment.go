// Package environment prepares what a lab's commands and checks need: the cluster that a kubeconfig names, a
// namespace, a kubeconfig that has it, variables; and removes what a lab leaves. It tells who can change a lab's files.
// It runs no command of a text. A lab has a namespace of its own, so that labs do not disturb each other.
package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/steps"
)

// Cluster is where labs run.
type Cluster struct {
	Client *objects.Client
	Config *rest.Config
	Slow   steps.Slow // of the machine
	only   string     // namespace, as Only returns it
	files  *clientcmd.ClientConfigLoadingRules
}

// Open reads the kubeconfig; an empty path is kubectl's default.
func Open(path string) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if path != "" {
		if first, _, _ := strings.Cut(path, string(filepath.ListSeparator)); first == path {
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("the kubeconfig: %w; is the cluster up? 'wheelhouse up' brings one up, --kubeconfig names another", err)
			}
			if err := CurrentCaller().CheckPath(path); err != nil { // it may name a program to run
				return nil, fmt.Errorf("the kubeconfig: %w", err)
			}
			rules.ExplicitPath = path
		}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) { // its text names what nobody uses any more
		return nil, errors.New("no cluster to run labs on: neither --kubeconfig nor $KUBECONFIG nor ~/.kube/config names one; " +
			"'wheelhouse up' brings one up here, and prints what to type then")
	}
	if err != nil {
		return nil, fmt.Errorf("no cluster to run labs on: %w; 'wheelhouse up' brings one up, --kubeconfig names another", err)
	}
	config.QPS = -1
	client, err := objects.New(config)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig: %w", err)
	}
	return &Cluster{Client: client, Config: config, files: rules}, nil
}

// MakeNamespace creates the lab's namespace, or takes the shared one, and waits until pods can be created in it. The
// kubeconfig in dir, which Environment has written, has the lab's rights then.
func (c *Cluster) MakeNamespace(ctx context.Context, lab *catalog.Lab, dir string) error {
	if c.only != "" {
		return c.occupy(ctx, lab)
	}
	ns := c.namespaceOf(lab)
	err := c.Client.Create(ctx, "namespaces", "", ns)
	if apierrors.IsAlreadyExists(err) {
		err = c.keepNamespace(ctx, lab, ns)
	}
	if err != nil {
		return fmt.Errorf("creating namespace %s: %w", ns.Name, err)
	}
	if err := c.awaitServiceAccount(ctx, ns.Name); err != nil || !c.confined(lab) {
		return err
	}
	if err := c.grant(ctx, lab); err != nil {
		return err
	}
	_, err = c.accountConfig(ctx, lab, dir)
	return err
}

// Has reports whether the cluster has the lab's namespace, and keeps it.
func (c *Cluster) Has(ctx context.Context, lab *catalog.Lab) (bool, error) {
	var ns corev1.Namespace
	err := c.Client.Get(ctx, "namespaces", "", c.namespaceOf(lab).Name, &ns)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && kept(&ns, lab), err
}

// kept reports whether a namespace is the lab's, and stays.
func kept(ns *corev1.Namespace, lab *catalog.Lab) bool {
	return ns.DeletionTimestamp == nil && ofThisLab(ns, lab) == nil
}

// keepNamespace goes on with a namespace that is there, if it is of this lab.
func (c *Cluster) keepNamespace(ctx context.Context, lab *catalog.Lab, wanted *corev1.Namespace) error {
	var ns corev1.Namespace
	if err := c.Client.Get(ctx, "namespaces", "", wanted.Name, &ns); err != nil {
		return err
	}
	if err := ofThisLab(&ns, lab); err != nil || len(wanted.Labels) == 0 {
		return err
	}
	return c.Client.Merge(ctx, "/api/v1/namespaces/"+ns.Name, map[string]any{"metadata": map[string]any{"labels": wanted.Labels}})
}

// Environment returns the environment of the lab's commands, the five variables that a learner's shell needs first. It writes a kubeconfig into dir
// whose context has the lab's namespace.
func (c *Cluster) Environment(ctx context.Context, lab *catalog.Lab, dir string) ([]string, error) {
	node, address, err := c.node(ctx, dir)
	if err != nil {
		return nil, err
	}
	write := c.kubeconfig
	if c.confined(lab) {
		write = c.accountConfig
	}
	kubeconfig, err := write(ctx, lab, dir)
	if err != nil {
		return nil, err
	}
	path, err := Programs()
	if err != nil {
		return nil, err
	}
	env := []string{"PATH=" + path, "KUBECONFIG=" + kubeconfig, "NAMESPACE=" + lab.Namespace, "NODE_IP=" + address, "NODE=" + node}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch strings.ToUpper(name) { // the last line is what programs on Windows need
		case "HOME", "USER", "LANG", "LC_ALL", "TERM", "TMPDIR", "WHEELHOUSE_CLUSTER",
			"SYSTEMROOT", "USERPROFILE", "APPDATA", "TEMP", "TMP", "PATHEXT":
			env = append(env, v)
		case "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY":
			if !lab.Foreign || lab.Has("docker") {
				env = append(env, v)
			}
		}
	}
	return env, nil
}

// node returns name and address of a node that runs pods. Where nodes may not be listed they are those of this process's
// NODE and NODE_IP, and may be empty.
func (c *Cluster) node(ctx context.Context, dir string) (name, address string, err error) {
	var nodes corev1.NodeList
	err = c.Client.List(ctx, "nodes", "", metav1.ListOptions{}, &nodes)
	if apierrors.IsForbidden(err) {
		return os.Getenv("NODE"), os.Getenv("NODE_IP"), nil
	}
	if err != nil {
		return "", "", fmt.Errorf("listing nodes: %w; is the cluster up? 'wheelhouse up' brings one up", err)
	}
	return chosenNode(nodes.Items, dir)
}

var errNoContext = errors.New("the kubeconfig has no current context: choose one with 'kubectl config use-context'")

// chosenNode returns the node that the lab's texts call $NODE. It is the same as before, which dir has in a file, as long
// as it is ready: a step that cordons or drains it is about that one.
func chosenNode(nodes []corev1.Node, dir string) (name, address string, err error) {
	file := filepath.Join(dir, ".node")
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("the lab's node: %w", err)
	}
	for i := range nodes {
		n := nodes[i]
		n.Spec.Unschedulable = false
		if n.Name != strings.TrimSpace(string(before)) {
			continue
		}
		if name, address = ReadyNode([]corev1.Node{n}); address != "" {
			return name, address, nil
		}
	}
	if name, address = ReadyNode(nodes); address == "" {
		return "", "", errors.New("no node is ready to run pods: see 'kubectl get nodes'")
	}
	if err := os.WriteFile(file, []byte(name+"\n"), 0o600); err != nil {
		return "", "", fmt.Errorf("the lab's node: %w", err)
	}
	return name, address, nil
}

// awaitServiceAccount waits for the default service account, which every pod needs and which
// its controller creates after the namespace.
func (c *Cluster) awaitServiceAccount(ctx context.Context, ns string) error {
	limit := c.Slow.Wait(15 * time.Second)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := c.Client.Get(ctx, "serviceaccounts", ns, "default", &corev1.ServiceAccount{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %s has no service account after %v: %w; does the controller manager run?", ns, limit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ReadyNode returns the first node that is ready and not cordoned, and its address.
func ReadyNode(nodes []corev1.Node) (name, address string) {
	for _, n := range nodes {
		ready := false
		for _, cond := range n.Status.Conditions {
			ready = ready || cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue
		}
		if !ready || n.Spec.Unschedulable {
			continue
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return n.Name, a.Address
			}
		}
	}
	return "", ""
}

func (c *Cluster) kubeconfig(_ context.Context, lab *catalog.Lab, dir string) (string, error) {
	raw, err := c.files.Load()
	if err != nil {
		return "", fmt.Errorf("the kubeconfig: %w", err)
	}
	current := raw.Contexts[raw.CurrentContext]
	if current == nil {
		return "", errNoContext
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return "", fmt.Errorf("the kubeconfig: %w", err)
	}
	current.Namespace = lab.Namespace
	path := filepath.Join(dir, ".kubeconfig")
	if err := clientcmd.WriteToFile(*raw, path); err != nil {
		return "", fmt.Errorf("writing the lab's kubeconfig: %w", err)
	}
	return path, nil
}

// Programs returns PATH, with this program's directory first if kubectl is in it.
func Programs() (string, error) {
	path := os.Getenv("PATH")
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			if _, err := exec.LookPath(filepath.Join(filepath.Dir(exe), "kubectl")); err == nil { // with .exe, where that is usual
				return filepath.Dir(exe) + string(filepath.ListSeparator) + path, nil
			}
		}
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		return "", errors.New("no kubectl on the PATH nor beside this program: 'make build' builds bin/kubectl")
	}
	return path, nil
}

// deletion deletes the objects of the manifests. Without a manifest kubectl would fail; of a
// kind that the cluster does not serve there is nothing to delete.
const deletion = `[ -z "$(find . -name '*.yaml' -o -name '*.yml' -o -name '*.json')" ] || {
  said=$(kubectl delete --ignore-not-found --wait=false -R -f . 2>&1 >/dev/null) ||
    ! grep -v -e 'no matches for kind' -e '^ensure CRDs are installed' -e '^Warning: ' <<<"$said"
}`

// shortGrace is the seconds that the programs of a lab which is removed have to end.
const shortGrace = 1

// Clean runs the lab's cleanup commands, deletes the objects of its manifests, cluster-scoped
// ones included, and its namespace. It waits until the namespace is gone. In a shared namespace it
// removes the lab's objects. What the manifests of a foreign lab name outside of its namespace is left.
func (c *Cluster) Clean(ctx context.Context, lab *catalog.Lab, manifests string, env []string, info func(format string, args ...any)) error {
	name := lab.Namespace
	limit := c.Slow.Wait(2 * time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("namespace %s is not gone after %v", name, limit))
	defer cancel()
	if c.only != "" {
		return c.vacate(ctx, lab, manifests, env, info)
	}
	var ns corev1.Namespace
	err := c.Client.Get(ctx, "namespaces", "", name, &ns)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("getting namespace %s: %w", name, err)
	}
	if err := ofThisLab(&ns, lab); err != nil {
		return err
	}
	info("cleaning up namespace %s", name)
	lines := []string{lab.Cleanup, deletion}
	if c.confined(lab) {
		lines = lines[:1] // all that it could make goes with the namespace
	}
	for _, line := range lines {
		cmd := exec.CommandContext(ctx, "bash", "-c", line)
		cmd.Dir, cmd.Env = manifests, env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("deleting the lab's objects: %w: %s", err, out)
		}
	}
	err = c.Client.Delete(ctx, "namespaces", "", name)
	if err == nil {
		// No pod can be created any more, and nobody is served by those that end.
		err = c.Client.DeleteAll(ctx, "pods", name, shortGrace)
	}
	for err == nil {
		err = c.Client.Get(ctx, "namespaces", "", name, &corev1.Namespace{})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting namespace %s: %w", name, err)
	}
	return nil
}

// World returns what the lab's checks are evaluated with. Each waits for patience at most; 0: it looks once.
func (c *Cluster) World(lab *catalog.Lab, dir string, env []string, patience time.Duration) *steps.World {
	return &steps.World{Client: c.Client, Namespace: lab.Namespace, Dir: dir, Env: env, Patience: patience, Slow: c.Slow}
}

// Source returns where the lab's manifests come from.
func Source(lab *catalog.Lab) fetch.Config {
	return fetch.Config{Source: lab.Manifests.Source, Checksum: lab.Manifests.Checksum, Base: lab.Dir}
}
