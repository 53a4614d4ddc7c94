package controller_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	extensions "k8s.io/api/extensions/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/wait"
)

func makeDeployment(name string, replicas int32) *apps.Deployment {
	set := map[string]string{"app": name}
	return &apps.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: apps.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: set},
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: v1.PodSpec{Containers: container()}},
		},
	}
}

func (c *testCluster) deploy(d *apps.Deployment) *apps.Deployment {
	c.t.Helper()
	d, err := c.AppsV1().Deployments("default").Create(c.t.Context(), d, metav1.CreateOptions{})
	c.must(err)
	return d
}

func (c *testCluster) deployment(name string) *apps.Deployment {
	c.t.Helper()
	d, err := c.AppsV1().Deployments("default").Get(c.t.Context(), name, metav1.GetOptions{})
	c.must(err)
	return d
}

func (c *testCluster) patch(name, patch string) {
	c.t.Helper()
	_, err := c.AppsV1().Deployments("default").Patch(c.t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	c.must(err)
}

func (c *testCluster) image(name, image string) {
	c.t.Helper()
	c.patch(name, fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":%q}]}}}}`, image))
}

// rolled waits until the rollout of name is complete, as `kubectl rollout status` does.
func (c *testCluster) rolled(name string, n int32) {
	c.t.Helper()
	wait.For(c.t, name+" is rolled out", func() error {
		d := c.deployment(name)
		if s := d.Status; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != n || s.Replicas != n || s.AvailableReplicas != n || s.ReadyReplicas != n || s.UnavailableReplicas != 0 {
			text, _ := json.Marshal(s)
			return wait.Seen(false, string(text))
		}
		return nil
	})
}

func (c *testCluster) setsOf(app string) map[string]apps.ReplicaSet {
	c.t.Helper()
	list, err := c.AppsV1().ReplicaSets("default").List(c.t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	c.must(err)
	out := map[string]apps.ReplicaSet{}
	for _, rs := range list.Items {
		out[rs.Spec.Template.Spec.Containers[0].Image] = rs
	}
	return out
}

// told waits for an event about an object of that name.
func (c *testCluster) told(name, component, reason, message string) {
	c.t.Helper()
	wait.For(c.t, fmt.Sprintf("%s says %s of %s: %s", component, reason, name, message), func() error {
		list, err := c.CoreV1().Events("default").List(c.t.Context(), metav1.ListOptions{})
		c.must(err)
		var seen []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name != name {
				continue
			}
			if e.Source.Component == component && e.Reason == reason && strings.Contains(e.Message, message) {
				return nil
			}
			seen = append(seen, fmt.Sprintf("%s %s: %s", e.Source.Component, e.Reason, e.Message))
		}
		return wait.Seen(false, strings.Join(seen, "\n"))
	})
}

func TestDeployment(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.node("n2")
	d := makeDeployment("web", 4)
	d.Annotations = map[string]string{"kubernetes.io/change-cause": "the first"}
	c.deploy(d)
	c.rolled("web", 4)
	first := c.setsOf("web")["nginx"]
	c.told("web", "deployment-controller", "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to 4", first.Name))
	c.told(first.Name, "replicaset-controller", "SuccessfulCreate", "Created pod: "+first.Name+"-")
	if n := first.Annotations["deployment.kubernetes.io/revision"]; n != "1" || first.Annotations["kubernetes.io/change-cause"] != "the first" ||
		first.Annotations["deployment.kubernetes.io/desired-replicas"] != "4" || first.Annotations["deployment.kubernetes.io/max-replicas"] != "5" {
		t.Errorf("annotations %v", first.Annotations)
	}

	c.image("web", "nginx:2")
	c.rolled("web", 4)
	sets := c.setsOf("web")
	second := sets["nginx:2"]
	c.told("web", "deployment-controller", "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to 1", second.Name))
	c.told("web", "deployment-controller", "ScalingReplicaSet", fmt.Sprintf("Scaled down replica set %s from", first.Name))
	c.told(first.Name, "replicaset-controller", "SuccessfulDelete", "Deleted pod: "+first.Name+"-")
	for _, p := range c.pods("web") {
		if p.Spec.Containers[0].Image != "nginx:2" || p.Labels[apps.DefaultDeploymentUniqueLabelKey] != second.Labels[apps.DefaultDeploymentUniqueLabelKey] {
			t.Errorf("pod %s: %s, %v", p.Name, p.Spec.Containers[0].Image, p.Labels)
		}
	}

	// Back to the first: the same set, as revision 3.
	c.image("web", "nginx")
	c.rolled("web", 4)
	wait.For(c.t, "revision 3", func() error {
		if rs := c.setsOf("web")["nginx"]; rs.UID != first.UID || rs.Annotations["deployment.kubernetes.io/revision"] != "3" || c.deployment("web").Annotations["deployment.kubernetes.io/revision"] != "3" {
			return fmt.Errorf("set %v, deployment %v", rs.Annotations, c.deployment("web").Annotations)
		}
		return nil
	})

	c.patch("web", `{"spec":{"replicas":1}}`)
	c.rolled("web", 1)
	wait.For(c.t, "progress is reported", func() error {
		for _, x := range c.deployment("web").Status.Conditions {
			if x.Type == apps.DeploymentProgressing && x.Status == v1.ConditionTrue && x.Reason == "NewReplicaSetAvailable" {
				return nil
			}
		}
		return wait.Seen(false, c.deployment("web").Status.Conditions)
	})

	background := metav1.DeletePropagationBackground
	c.must(c.AppsV1().Deployments("default").Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &background}))
	wait.For(c.t, "sets and pods are gone", func() error {
		if n, m := len(c.setsOf("web")), len(c.pods("web")); n+m > 0 {
			return fmt.Errorf("%d sets, %d pods", n, m)
		}
		return nil
	})
}

// TestDeploymentAdopts: sets that lost their Deployment are found again by another of the
// same selector, and the pods stay.
func TestDeploymentAdopts(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.deploy(makeDeployment("web", 2))
	c.rolled("web", 2)
	set, pods := c.setsOf("web")["nginx"], c.pods("web")
	orphan := metav1.DeletePropagationOrphan
	c.must(c.AppsV1().Deployments("default").Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &orphan}))
	wait.For(c.t, "gone", func() error {
		_, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return wait.Seen(false, err)
		}
		return nil
	})
	again := makeDeployment("web", 2)
	again.Name = "again"
	c.deploy(again)
	c.rolled("again", 2)
	wait.For(c.t, "adopted", func() error {
		got := c.setsOf("web")["nginx"]
		if ref := metav1.GetControllerOf(&got); got.UID != set.UID || ref == nil || ref.Name != "again" {
			return wait.Seen(false, got.Name, got.OwnerReferences)
		}
		return nil
	})
	for _, p := range c.pods("web") {
		if p.Name != pods[0].Name && p.Name != pods[1].Name {
			t.Errorf("pod %s is new", p.Name)
		}
	}
}

// TestDeploymentNameIsTaken: another's set of the very name that the template leads to.
func TestDeploymentNameIsTaken(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.deploy(makeDeployment("web", 1))
	c.rolled("web", 1)
	name := c.setsOf("web")["nginx"].Name
	background := metav1.DeletePropagationForeground
	c.must(c.AppsV1().Deployments("default").Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &background}))
	wait.For(c.t, "gone", func() error {
		_, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return wait.Seen(apierrors.IsNotFound(err), len(c.setsOf("web")), " sets, the deployment: ", err)
	})
	other := makeDeployment("other", 0)
	_, err := c.AppsV1().ReplicaSets("default").Create(t.Context(), &apps.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       apps.ReplicaSetSpec{Replicas: other.Spec.Replicas, Selector: other.Spec.Selector, Template: other.Spec.Template},
	}, metav1.CreateOptions{})
	c.must(err)
	c.deploy(makeDeployment("web", 1))
	c.rolled("web", 1)
	if n := c.deployment("web").Status.CollisionCount; n == nil || *n != 1 {
		t.Errorf("collisionCount is %v", n)
	}
	if got := c.setsOf("web")["nginx"].Name; got == name {
		t.Errorf("the set is called %s", got)
	}
}

// TestRollbackOfThen: the clients of 2016 asked the server to go back.
func TestRollbackOfThen(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.deploy(makeDeployment("web", 1))
	c.rolled("web", 1)
	c.image("web", "nginx:2")
	c.rolled("web", 1)
	err := c.ExtensionsV1beta1().Deployments("default").Rollback(t.Context(), &extensions.DeploymentRollback{Name: "web"}, metav1.CreateOptions{})
	c.must(err)
	c.told("web", "deployment-controller", "DeploymentRollback", `Rolled back deployment "web" to revision 1`)
	c.rolled("web", 1)
	if d := c.deployment("web"); d.Spec.Template.Spec.Containers[0].Image != "nginx" || d.Annotations["deployment.kubernetes.io/revision"] != "3" {
		t.Errorf("image %s, annotations %v", d.Spec.Template.Spec.Containers[0].Image, d.Annotations)
	}
}

// TestMinReadySeconds: pods become available by the mere passing of time, and the old
// ones wait for that.
func TestMinReadySeconds(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	d := makeDeployment("slow", 2)
	d.Spec.MinReadySeconds = 2
	c.deploy(d)
	wait.For(c.t, "ready, and not available yet", func() error {
		if s := c.deployment("slow").Status; s.ReadyReplicas != 2 || s.AvailableReplicas != 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	c.rolled("slow", 2)
	c.image("slow", "nginx:2")
	c.rolled("slow", 2)
	if n := *c.setsOf("slow")["nginx"].Spec.Replicas; n != 0 {
		t.Errorf("%d old pods are left", n)
	}
}

// BenchmarkRollout is a Deployment of 1,000 that gets another image, in one process.
func BenchmarkRollout(b *testing.B) {
	c := startCluster(b)
	for i := range 20 {
		c.node(fmt.Sprint("n", i))
	}
	c.deploy(makeDeployment("many", 1000))
	c.rolled("many", 1000)
	for i := 0; b.Loop(); i++ {
		c.image("many", fmt.Sprint("nginx:", i))
		c.rolled("many", 1000)
	}
}
