package why

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nodeHops follows what a node needs to run pods: its kubelet, its resources, its taints.
func (c *chain) nodeHops(n *corev1.Node) {
	c.of("node/"+n.Name, func() {
		c.fine("object", "node %s has joined the cluster", n.Name)
		ready := readyCondition(n)
		switch ready.Status {
		case corev1.ConditionTrue:
			c.fine("kubelet", "the kubelet reports the node as ready")
		case "":
			c.broken(cause{hop: "kubelet", reason: "NeverReported", text: "no kubelet has ever reported a state of this node", do: "Start the kubelet on the machine, with the node's name; or remove the node: kubectl delete node " + n.Name})
		case corev1.ConditionUnknown:
			c.broken(cause{
				hop: "kubelet", reason: "KubeletSilent", text: fmt.Sprintf("the kubelet does not report any more, since %s", ready.LastTransitionTime.UTC().Format("15:04:05 UTC")),
				do: "See whether machine " + n.Name + " runs and reaches the API server, and start its kubelet.", details: []string{short(ready.Message, 300)},
			})
		default:
			c.broken(cause{hop: "kubelet", reason: "NodeNotReady", text: "the kubelet reports that the node is not ready: " + short(ready.Message, 300), do: "Mend what the kubelet says on node " + n.Name + "."})
		}
		for _, cond := range n.Status.Conditions {
			if cond.Type == corev1.NodeReady || cond.Status != corev1.ConditionTrue {
				continue
			}
			c.broken(cause{hop: "resources", reason: string(cond.Type), text: fmt.Sprintf("the node has the condition %s: %s", cond.Type, short(cond.Message, 300)), do: "Free what the condition names on node " + n.Name + ": new pods are kept away and running ones are evicted."})
		}
		if !c.over() {
			c.fine("resources", "memory, disk and process ids suffice")
		}
		if n.Spec.Unschedulable {
			c.broken(cause{hop: "scheduling", reason: "Cordoned", text: "the node is cordoned: it takes no new pods", do: "Let it take pods again: kubectl uncordon " + n.Name})
		}
		if len(n.Spec.Taints) > 0 && !c.over() {
			var taints []string
			for _, t := range n.Spec.Taints {
				taints = append(taints, strings.TrimSuffix(t.Key+"="+t.Value, "=")+":"+string(t.Effect))
			}
			c.fine("scheduling", "it takes only pods that tolerate %s", strings.Join(taints, ", "))
			return
		}
		c.fine("scheduling", "it takes pods")
	})
}

// namespaceHops follows a namespace: whether it is being deleted, and what remains in it.
func (c *chain) namespaceHops(n *corev1.Namespace) {
	c.of("namespace/"+n.Name, func() {
		c.fine("object", "namespace %s exists", n.Name)
		if n.DeletionTimestamp == nil {
			c.fine("use", "objects can be created in it")
			return
		}
		w := cause{hop: "deletion", reason: "NamespaceTerminating", text: "the namespace is being deleted", do: "Wait a few seconds and ask again."}
		var left []string
		for _, cond := range n.Status.Conditions {
			if cond.Status != corev1.ConditionTrue {
				continue
			}
			left = append(left, short(cond.Message, 300))
			switch cond.Type {
			case corev1.NamespaceFinalizersRemaining:
				w.reason, w.text = "NamespaceFinalizers", "the namespace is being deleted, and waits for objects in it whose finalizers are not removed"
				w.do = "Find those objects and the controller that should remove the finalizers: " + cond.Message
			case corev1.NamespaceDeletionDiscoveryFailure:
				w.reason, w.text = "NamespaceDiscovery", "the namespace is being deleted, and the API server cannot list all kinds of objects"
				w.do = "See which API is not available: kubectl get apiservices"
			}
		}
		w.details = left
		if w.reason == "NamespaceTerminating" {
			c.waiting(w)
			return
		}
		c.broken(w)
	})
}
