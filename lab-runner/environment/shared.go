package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/lab-runner/catalog"
)

// On a cluster of others an account often has one namespace, which somebody else has made. A lab runs there if it needs no
// more. It cannot be removed with its namespace then: what was in the namespace before the lab is noted, and the rest is
// removed object by object. Nothing outside of the namespace is asked for.

// recordName is the config map in which the lab that a shared namespace holds is noted.
const recordName = "wheelhouse-lab"

// most is how many objects may be in the namespace before a lab.
const most = 1000

// removable are the resources that labs make in a namespace, those that own others first.
var removable = []string{
	"/apis/apps/v1 deployments", "/apis/apps/v1 statefulsets", "/apis/apps/v1 daemonsets", "/apis/apps/v1 replicasets",
	"/apis/batch/v1 cronjobs", "/apis/batch/v1 jobs", "/api/v1 replicationcontrollers", "/apis/autoscaling/v2 horizontalpodautoscalers",
	"/apis/policy/v1 poddisruptionbudgets", "/apis/networking.k8s.io/v1 ingresses", "/apis/networking.k8s.io/v1 networkpolicies",
	"/api/v1 services", "/api/v1 pods", "/api/v1 persistentvolumeclaims", "/api/v1 configmaps", "/api/v1 secrets", "/api/v1 resourcequotas",
	"/api/v1 limitranges", "/apis/rbac.authorization.k8s.io/v1 rolebindings", "/apis/rbac.authorization.k8s.io/v1 roles", "/api/v1 serviceaccounts",
}

// always is in each namespace, and made again when it is removed.
var always = []string{"configmaps/kube-root-ca.crt", "serviceaccounts/default", "configmaps/" + recordName}

// Share finds out whether the account may create namespaces. If not, the labs are in the namespace of the kubeconfig's
// current context, and Only is that. A cluster that does not answer is found out later.
func (c *Cluster) Share(ctx context.Context, labs ...*catalog.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, c.Slow.Wait(10*time.Second))
	defer cancel()
	var review struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	question := map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{"verb": "create", "resource": "namespaces"}},
	}
	err := c.Client.Post(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", question, &review)
	if review.Status.Allowed || err != nil && !apierrors.IsForbidden(err) {
		return nil //nolint:nilerr // what the cluster is asked next says so better
	}
	raw, err := c.files.Load()
	if err != nil {
		return fmt.Errorf("the kubeconfig: %w", err)
	}
	current := raw.Contexts[raw.CurrentContext]
	if current == nil {
		return errNoContext
	}
	if current.Namespace == "" {
		return errors.New("your account may not create namespaces, and the kubeconfig names none to work in: 'kubectl config set-context --current --namespace=NAME' does")
	}
	c.only = current.Namespace
	for _, lab := range labs {
		lab.Namespace = c.only
	}
	return nil
}

// Only returns the one namespace that labs have on this cluster, or "" if each has its own.
func (c *Cluster) Only() string { return c.only }

// Holds returns the key of the lab that the shared namespace holds, or "".
func (c *Cluster) Holds(ctx context.Context) (string, error) {
	if c.only == "" {
		return "", nil
	}
	lab, _, err := c.held(ctx)
	return lab, err
}

// more returns an error for a lab that needs more than one namespace gives.
func (c *Cluster) more(ctx context.Context, lab *catalog.Lab, env []string) error {
	for requirement, what := range map[string]string{"cluster-admin": "all rights in the cluster", "node-shell": "a shell on the nodes", "privileged-pods": "pods that have rights on their node"} {
		if lab.Has(requirement) {
			return fmt.Errorf("lab %s needs %s (%s), and your account works in namespace %s alone: use the kubeconfig of an administrator, or leave this lab out", lab.ID(), what, requirement, c.only)
		}
	}
	if err := c.limited(ctx, lab); err != nil {
		return err
	}
	if usesNode(lab) && slices.Contains(env, "NODE_IP=") {
		return fmt.Errorf("lab %s uses a node's name or address, and your account may not list nodes: set NODE and NODE_IP to those of one, or leave this lab out", lab.ID())
	}
	return nil
}

// limited returns an error if the lab sets limits of its own, or has pods beyond all limits, and the namespace has some.
func (c *Cluster) limited(ctx context.Context, lab *catalog.Lab) error {
	if !lab.Has("own-limits") {
		return nil
	}
	for _, resource := range []string{"resourcequotas", "limitranges"} {
		found, err := c.Client.Find(ctx, "/api/v1", resource, c.only, metav1.ListOptions{})
		if err != nil && !apierrors.IsForbidden(err) {
			return fmt.Errorf("listing %s in namespace %s: %w", resource, c.only, err)
		}
		if len(found) > 0 {
			return fmt.Errorf("lab %s needs a namespace without limits of others (own-limits), and %s has the %s %s: use a namespace of your own, or leave this lab out", lab.ID(), c.only, resource, found[0].Name)
		}
	}
	return nil
}

var nodeVariable = regexp.MustCompile(`\$\{?NODE(_IP)?\b`)

// usesNode reports whether the lab's commands or checks use NODE or NODE_IP.
func usesNode(lab *catalog.Lab) bool {
	for _, item := range lab.Text {
		if nodeVariable.MatchString(item.Text) {
			return true
		}
	}
	for _, s := range lab.Scenarios {
		for _, sentence := range s.Steps {
			if nodeVariable.MatchString(sentence.Text) {
				return true
			}
		}
	}
	return false
}

// occupy notes that the shared namespace holds the lab, and what was in it before.
func (c *Cluster) occupy(ctx context.Context, lab *catalog.Lab) error {
	holds, _, err := c.held(ctx)
	if err != nil || holds == lab.Key() {
		return err
	}
	if holds != "" {
		return c.otherLab(holds)
	}
	found, err := c.present(ctx)
	if err != nil {
		return err
	}
	if len(found) > most {
		return fmt.Errorf("namespace %s has %d objects, and at most %d may be in it before a lab: use an emptier one", c.only, len(found), most)
	}
	before, err := json.Marshal(found)
	if err != nil {
		return err
	}
	record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: recordName}, Data: map[string]string{"lab": lab.Key(), "before": string(before)}}
	if err := c.Client.Create(ctx, "configmaps", c.only, record); err != nil {
		return fmt.Errorf("noting the lab in namespace %s: %w", c.only, err)
	}
	return nil
}

func (c *Cluster) otherLab(holds string) error {
	return fmt.Errorf("namespace %s, the one that your account has, holds the lab %s: 'lab stop %s' removes it", c.only, holds, holds)
}

// held returns the lab that the shared namespace holds, or "", and what was there before it.
func (c *Cluster) held(ctx context.Context) (lab string, before []string, err error) {
	var record corev1.ConfigMap
	err = c.Client.Get(ctx, "configmaps", c.only, recordName, &record)
	if apierrors.IsNotFound(err) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("looking which lab namespace %s holds: %w", c.only, err)
	}
	if err := json.Unmarshal([]byte(record.Data["before"]), &before); err != nil || record.Data["lab"] == "" {
		return "", nil, fmt.Errorf("the config map %s in namespace %s is broken (%w): nothing is removed; delete it when the namespace is as it should be", recordName, c.only, err)
	}
	return record.Data["lab"], before, nil
}

// object is one in the shared namespace.
type object struct {
	path, id string // id: RESOURCE/NAME
	uid      types.UID
	owners   []metav1.OwnerReference
}

// ownerKinds are those of removable objects that own others, which the garbage collector removes after them.
var ownerKinds = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob", "Job", "ReplicationController"}

// present returns the objects in the shared namespace, as RESOURCE/NAME, apart from those that others own.
func (c *Cluster) present(ctx context.Context) ([]string, error) {
	all, err := c.objects(ctx)
	out := []string{}
	for _, o := range all {
		if len(o.owners) == 0 {
			out = append(out, o.id)
		}
	}
	return out, err
}

// objects returns the removable objects in the shared namespace, apart from those that are always there. What may not be
// listed cannot have been made either.
func (c *Cluster) objects(ctx context.Context) ([]object, error) {
	var out []object
	for _, r := range removable {
		api, resource, _ := strings.Cut(r, " ")
		found, err := c.Client.Find(ctx, api, resource, c.only, metav1.ListOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s in namespace %s: %w", resource, c.only, err)
		}
		for i := range found {
			if id := resource + "/" + found[i].Name; !slices.Contains(always, id) {
				out = append(out, object{api + "/namespaces/" + c.only + "/" + id, id, found[i].UID, found[i].OwnerReferences})
			}
		}
	}
	return out, nil
}

// left returns which objects are to be removed, and how many others are to go after their owner, which is gone.
func left(all []object, before []string) (remove []object, going int) {
	there := map[types.UID]bool{}
	for _, o := range all {
		there[o.uid] = true
	}
	for _, o := range all {
		switch {
		case len(o.owners) == 0:
			if !slices.Contains(before, o.id) {
				remove = append(remove, o)
			}
		case slices.ContainsFunc(o.owners, func(r metav1.OwnerReference) bool { return slices.Contains(ownerKinds, r.Kind) && !there[r.UID] }):
			going++
		}
	}
	return remove, going
}

// vacate runs the lab's cleanup commands, removes what was not in the shared namespace before the lab, and waits until it is gone. What the
// account may not remove stays: the lab, which has the account's rights, has not made it.
func (c *Cluster) vacate(ctx context.Context, lab *catalog.Lab, dir string, env []string, info func(format string, args ...any)) error {
	holds, before, err := c.held(ctx)
	if err != nil || holds == "" {
		return err
	}
	if holds != lab.Key() {
		return c.otherLab(holds)
	}
	info("removing the lab's objects from namespace %s", c.only)
	if lab.Cleanup != "" {
		cmd := exec.CommandContext(ctx, "bash", "-c", lab.Cleanup)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("the lab's cleanup: %w: %s", err, out)
		}
	}
	for {
		all, err := c.objects(ctx)
		if err != nil {
			return err
		}
		remove, going := left(all, before)
		if len(remove)+going == 0 {
			break
		}
		for _, o := range remove {
			err := c.Client.Remove(ctx, o.path)
			switch {
			case apierrors.IsForbidden(err): // the owner of the namespace has added it meanwhile
				info("%s stays: your account may not remove it", o.id)
				before = append(before, o.id)
			case err != nil && !apierrors.IsNotFound(err):
				return fmt.Errorf("removing %s: %w", o.id, err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
	if err := c.Client.Delete(ctx, "configmaps", c.only, recordName); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the note of the lab: %w", err)
	}
	return nil
}
