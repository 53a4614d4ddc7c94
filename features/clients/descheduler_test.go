package clients

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// evictTainted is the policy of the descheduler here: what does not tolerate its node's taints is evicted.
const evictTainted = `apiVersion: descheduler/v1alpha2
kind: DeschedulerPolicy
profiles:
- name: default
  pluginConfig:
  - name: DefaultEvictor
    args: {}
  - name: RemovePodsViolatingNodeTaints
    args: {}
  plugins:
    deschedule: {enabled: [RemovePodsViolatingNodeTaints]}
`

// TestDescheduler: of the pods of a node that was tainted, the descheduler reports in a dry run those that it then
// evicts, by the API; a disruption budget holds one of them.
func TestDescheduler(t *testing.T) {
	c := startServer(t, "--node-monitor-grace-period=1h")
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(evictTainted), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		c.pretendNode(t, node)
	}
	c.apply(t, deployment("free", 1)+"---\n"+deployment("held", 1)+`---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: held}
spec: {minAvailable: 1, selector: {matchLabels: {app: held}}}
`)
	for _, app := range []string{"free", "held"} {
		c.pretendRunning(t, app, 1)
	}
	wait.Within(t, limit, "the budget is counted", func() error {
		budget, err := c.client.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), "held", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wait.Seen(budget.Status.CurrentHealthy == 1, budget.Status)
	})
	for _, node := range []string{"a", "b"} {
		c.kubectl(t, "taint", "node", node, "maintenance=soon:NoSchedule")
	}
	args := []string{"--kubeconfig", c.kubeconfig, "--policy-config-file", policy, "--v", "3", "--secure-port", "0"}
	c.dryRun(t, args)
	if gone := c.evicted(t); len(gone) > 0 {
		t.Errorf("the dry run evicted %v", gone)
	}
	holds(t, c.run(t, program(t, "descheduler"), args...), `"Evicted pod"`, `pod="default/free-`, "Cannot evict pod as it would violate the pod's disruption budget.")
	if gone := c.evicted(t); len(gone) != 1 || gone[0] != "free" {
		t.Errorf("evicted are pods of %v, want of free", gone)
	}
}

// dryRun runs the descheduler until it reports an eviction. It fills its copy of the cluster while it runs: the first
// cycles may see none of it.
func (c *cluster) dryRun(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "descheduler"), append(args, "--dry-run", "--descheduling-interval", "1s")...)
	log := &lines{}
	cmd.Env, cmd.Stdout, cmd.Stderr = c.environment(), log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, limit, "the eviction in the dry run", func() error {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "Evicted pod in dry run mode") && strings.Contains(line, `pod="default/free-`) {
				return nil
			}
		}
		return errors.New(log.String())
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}

// evicted are the apps of the pods that are in deletion.
func (c *cluster) evicted(t *testing.T) (apps []string) {
	t.Helper()
	pods, err := c.client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			apps = append(apps, pod.Labels["app"])
		}
	}
	return apps
}

// pretendNode makes a node that is ready, and has no kubelet.
func (c *cluster) pretendNode(t *testing.T, name string) {
	t.Helper()
	room := corev1.ResourceList{}
	for of, amount := range map[corev1.ResourceName]string{"cpu": "4", "memory": "8Gi", "pods": "110"} {
		room[of] = resource.MustParse(amount)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	node, err := c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.ResourceVersion = "" // the node controller may have changed it meanwhile
	node.Status = corev1.NodeStatus{Capacity: room, Allocatable: room, Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()},
	}}
	if _, err := c.client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, limit, "the node "+name+" without taints", func() error {
		node, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return wait.Seen(len(node.Spec.Taints) == 0, node.Spec.Taints)
	})
}

// pretendRunning waits until the app has n pods on nodes, and writes that they run.
func (c *cluster) pretendRunning(t *testing.T, app string, n int) {
	t.Helper()
	wait.Within(t, limit, fmt.Sprintf("%d pods of %s", n, app), func() error {
		pods, err := c.client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods.Items {
			if pod.Spec.NodeName == "" {
				continue
			}
			pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &pod.CreationTimestamp
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: "app", Image: "nginx", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: pod.CreationTimestamp}},
			}}
			if _, err := c.client.CoreV1().Pods("default").UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{}); err != nil {
				return err
			}
			ready++
		}
		return wait.Seen(ready == n, ready, " pods")
	})
}

// deployment is a manifest of a web server.
func deployment(name string, replicas int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: app, image: "nginx:1.9.14", imagePullPolicy: IfNotPresent}]}
`, name, replicas)
}
