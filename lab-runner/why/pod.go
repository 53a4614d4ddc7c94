package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/near"
)

// pod follows a pod from its creation until it is ready, or has finished.
func (c *chain) pod(p *corev1.Pod) {
	c.of("pod/"+p.Name, func() {
		c.fine("object", "Pod %s was accepted by the API server", p.Name)
		c.ended(p)
		c.deletion(p, "Pod", &p.ObjectMeta)
		c.claims(p)
		c.scheduler(p)
		c.podNode(p)
		if c.over() {
			return
		}
		if p.Status.Phase == corev1.PodSucceeded {
			c.fine("run", "all containers have finished with exit code 0")
			return
		}
		c.volumes(p)
		c.sandbox(p)
		c.containers(p)
		c.gates(p)
		if !c.over() {
			c.podReady(p)
		}
	})
}

// ended is for pods that were ended from outside: their containers' states say less than the pod's reason.
func (c *chain) ended(p *corev1.Pod) {
	if p.Status.Phase != corev1.PodFailed {
		return
	}
	owner := c.owner(p)
	again := "Create the pod again: " + c.kubectl("delete pod %s", p.Name) + ", then apply its manifest."
	if owner != "" {
		again = "Its controller " + owner + " has created another pod: look at that one. Remove this one: " + c.kubectl("delete pod %s", p.Name)
	}
	switch reason := p.Status.Reason; {
	case reason == "Evicted":
		c.fine("scheduler", "was assigned to node %s", p.Spec.NodeName)
		c.broken(cause{hop: "eviction", reason: "Evicted", text: "the kubelet has evicted the pod: " + short(p.Status.Message, 300), do: evictedRemedy(p, c), details: []string{quote(c.f.podEvent(p, "Evicted"))}})
	case reason == "DeadlineExceeded":
		seconds := int64(0)
		if p.Spec.ActiveDeadlineSeconds != nil {
			seconds = *p.Spec.ActiveDeadlineSeconds
		}
		c.broken(cause{
			hop: "deadline", reason: "DeadlineExceeded", text: fmt.Sprintf("the pod has run longer than its activeDeadlineSeconds, %d seconds, and was ended", seconds),
			do: "Raise activeDeadlineSeconds in the manifest, or make the work shorter; then create the pod again.",
		})
	case strings.HasPrefix(reason, "OutOf") || reason == "NodeAffinity" || reason == "NodePorts" || reason == "UnexpectedAdmissionError" || reason == "AppArmor":
		c.broken(cause{hop: "node", reason: "NodeRefused", text: "the kubelet of node " + p.Spec.NodeName + " has refused the pod: " + short(p.Status.Message, 300), do: again})
	case reason == "Terminated" || reason == "NodeShutdown" || reason == "NodeLost" || reason == "Preempting":
		c.broken(cause{hop: "node", reason: "EndedByNode", text: "the node has ended the pod: " + short(p.Status.Message, 300), do: again})
	}
	d := condition(p, corev1.DisruptionTarget)
	if c.over() || d.Status != corev1.ConditionTrue {
		return
	}
	switch d.Reason {
	case corev1.PodReasonPreemptionByScheduler:
		c.broken(cause{hop: "eviction", reason: "Preempted", text: "a pod of higher priority took this one's place: " + short(d.Message, 300), do: again})
	case "DeletionByPodGC": // as upstream's pod garbage collector, once the node was missing for 40 s
		c.nodeMissing(p, again)
	}
}

func evictedRemedy(p *corev1.Pod, c *chain) string {
	switch m := p.Status.Message; {
	case strings.Contains(m, "exceeds the total limit of containers") || strings.Contains(m, "ephemeral"):
		return "Raise the limit of ephemeral-storage, or write less to the container's file system: " + c.edit(p)
	case strings.Contains(strings.ToLower(m), "emptydir"):
		return "Raise sizeLimit of the emptyDir volume, or write less to it: " + c.edit(p)
	case strings.Contains(m, "low on resource: memory"):
		return "Give the container a request of the memory that it uses: a pod that uses more than it requests is evicted first. " + c.edit(p)
	}
	return "Free the resource on node " + p.Spec.NodeName + ", or move pods away from it; then create the pod again."
}

// owner returns kind/name of the controller that a learner edits, such as deployment/web; "" for a bare pod.
func (c *chain) owner(p *corev1.Pod) string {
	by := metav1.GetControllerOf(p)
	if by == nil {
		return ""
	}
	if rs := find(c.f.ReplicaSets, by.Name); by.Kind == "ReplicaSet" && rs != nil {
		if above := metav1.GetControllerOf(rs); above != nil {
			by = above
		}
	}
	if job := find(c.f.Jobs, by.Name); by.Kind == "Job" && job != nil {
		if above := metav1.GetControllerOf(job); above != nil {
			by = above
		}
	}
	return strings.ToLower(by.Kind) + "/" + by.Name
}

// edit returns the command that changes a pod's containers.
func (c *chain) edit(p *corev1.Pod) string {
	owner := c.owner(p)
	switch {
	case owner == "":
		return "change the manifest, then " + c.kubectl("replace --force -f FILE")
	case strings.HasPrefix(owner, "job/"):
		return "change the manifest, then " + c.kubectl("delete %s", owner) + " and apply it again"
	}
	return c.kubectl("edit %s", owner)
}

// setImage returns the command that sets a container's image.
func (c *chain) setImage(p *corev1.Pod, container, image string) string {
	owner := c.owner(p)
	switch {
	case owner == "":
		owner = "pod/" + p.Name
	case strings.HasPrefix(owner, "job/"):
		return c.edit(p)
	}
	return c.kubectl("set image %s %s=%s", owner, container, image)
}

// deletion is the hop of an object that is being deleted; of a pod, also what its node has to do with it.
func (c *chain) deletion(p *corev1.Pod, kind string, m *metav1.ObjectMeta) {
	if m.DeletionTimestamp == nil || c.over() {
		return
	}
	resource := strings.ToLower(kind)
	if p != nil {
		if n := c.f.node(p.Spec.NodeName); p.Spec.NodeName != "" && c.f.Unread["nodes"] == "" && (n == nil || readyCondition(n).Status != corev1.ConditionTrue) {
			c.broken(cause{
				hop: "node", reason: "DeletionOnLostNode", text: "the pod is being deleted, but the kubelet of node " + p.Spec.NodeName + " does not answer, which has to end the containers",
				do: "Bring node " + p.Spec.NodeName + " back. If it is gone for good: " + c.kubectl("delete pod %s --grace-period=0 --force", p.Name), details: nodeState(n),
			})
			return
		}
	}
	ended := p == nil || !running(p)
	if len(m.Finalizers) > 0 && ended {
		names := strings.Join(m.Finalizers, ", ")
		c.broken(cause{
			hop: "deletion", reason: "FinalizerHeld", text: fmt.Sprintf("the %s was deleted at %s, and stays until its finalizers are removed: %s", resource, m.DeletionTimestamp.UTC().Format("15:04:05 UTC"), names),
			do: "Find the controller that removes " + m.Finalizers[0] + " and see why it does not. If it no longer exists: " + c.kubectl(`patch %s %s --type=merge -p '{"metadata":{"finalizers":null}}'`, resource, m.Name),
		})
		return
	}
	grace := int64(0)
	if m.DeletionGracePeriodSeconds != nil {
		grace = *m.DeletionGracePeriodSeconds
	}
	if over := c.f.age(*m.DeletionTimestamp); p != nil && over > 30*time.Second {
		c.broken(cause{
			hop: "deletion", reason: "DeletionHangs", text: fmt.Sprintf("the pod should have been gone %d seconds ago: its grace period of %d seconds is over", int(over.Seconds()), grace),
			do: "See what the kubelet says: " + c.kubectl("describe pod %s", p.Name), details: []string{quote(c.f.podEvent(p, "FailedKillPod", "FailedPreStopHook", "Killing"))},
		})
		return
	}
	text := fmt.Sprintf("the %s is being deleted", resource)
	if p != nil {
		text += fmt.Sprintf("; its containers have %d seconds to end after SIGTERM, then follows SIGKILL", grace)
	}
	c.waiting(cause{hop: "deletion", reason: "Terminating", text: text, do: "Wait. A process that ends on SIGTERM makes it shorter, and so does a lower terminationGracePeriodSeconds."})
}

func running(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil })
}

// podNode is the hop of the node that the pod is assigned to.
func (c *chain) podNode(p *corev1.Pod) {
	name := p.Spec.NodeName
	if name == "" || c.over() {
		return
	}
	if text := c.f.Unread["nodes"]; text != "" {
		c.unknown("node", "the nodes could not be read: %s", text)
		return
	}
	n := c.f.node(name)
	if n == nil {
		c.nodeMissing(p, "")
		return
	}
	if ready := readyCondition(n); ready.Status != corev1.ConditionTrue {
		c.broken(cause{
			hop: "node", reason: "NodeNotReady", text: "node " + name + ", to which the pod is assigned, is not ready",
			do: "Look at the node: kubectl why node/" + name, details: nodeState(n),
		})
		return
	}
	c.fine("node", "node %s is ready", name)
}

// nodeMissing is the hop of a node that there is not, or was not for so long that the pod was ended. again is what to do
// about a pod that was ended.
func (c *chain) nodeMissing(p *corev1.Pod, again string) {
	name := p.Spec.NodeName
	w := cause{hop: "node", reason: "NodeMissing", do: "Remove nodeName from the manifest, so that the scheduler chooses a node, and create the pod again."}
	if c.f.node(name) != nil {
		w.text, w.do = "the cluster had no node "+name+", to which the pod is assigned", again
	} else {
		w.text = "the cluster has no node " + name + ", to which the pod is assigned"
		if other := near.Name(name, names(c.f.Nodes)); other != "" {
			w.text += "; there is a node " + other
		}
	}
	if again != "" {
		w.text += "; therefore the pod garbage collector has ended the pod"
		if c.owner(p) != "" {
			w.do = again
		}
	}
	if p.DeletionTimestamp != nil && len(p.Finalizers) > 0 {
		w.details = []string{"the pod was deleted, and stays until its finalizers are removed: " + strings.Join(p.Finalizers, ", ")}
	}
	c.broken(w)
}

// nodeState is the node's condition Ready in a line.
func nodeState(n *corev1.Node) []string {
	if n == nil {
		return []string{"the node is not in the list of nodes"}
	}
	ready := readyCondition(n)
	if ready.Status == "" {
		return []string{"node " + n.Name + " has never reported a state"}
	}
	return []string{fmt.Sprintf("node %s: Ready=%s since %s: %s", n.Name, ready.Status, ready.LastTransitionTime.UTC().Format("15:04:05 UTC"), short(ready.Message, 200))}
}

// gates is the hop of readiness gates: conditions that something other than the kubelet sets.
func (c *chain) gates(p *corev1.Pod) {
	for _, g := range p.Spec.ReadinessGates {
		if got := condition(p, g.ConditionType); got.Status != corev1.ConditionTrue && !c.over() {
			text := fmt.Sprintf("the pod has the readiness gate %s, and nothing has set this condition", g.ConditionType)
			if got.Status != "" {
				text = fmt.Sprintf("the pod has the readiness gate %s, and this condition is %s: %s", g.ConditionType, got.Status, short(got.Message, 200))
			}
			c.broken(cause{
				hop: "readiness gates", reason: "ReadinessGate", text: text,
				do: "Find the controller that sets condition " + string(g.ConditionType) + ", or remove the readiness gate: " + c.edit(p),
			})
		}
	}
}

func (c *chain) podReady(p *corev1.Pod) {
	if isReady(p) {
		c.fine("ready", "the pod is ready")
		return
	}
	if p.Status.Phase == corev1.PodSucceeded {
		return
	}
	c.waiting(cause{hop: "ready", reason: "NotReadyYet", text: "the containers run, and the kubelet has not yet reported the pod as ready", do: "Wait a few seconds and ask again."})
}
