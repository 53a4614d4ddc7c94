package steps

import (
	"context"
	"fmt"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (w *World) pod(ctx context.Context, name string) (*corev1.Pod, error) {
	var p corev1.Pod
	err := w.Client.Get(ctx, "pods", w.Namespace, name, &p)
	return &p, err
}

// pods returns the pods with the label that are not being deleted.
func (w *World) pods(ctx context.Context, label string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := w.Client.List(ctx, "pods", w.Namespace, metav1.ListOptions{LabelSelector: label}, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

// podState returns a pod's state in one line.
func podState(p *corev1.Pod) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", p.Name, p.Status.Phase)
	if p.DeletionTimestamp != nil {
		b.WriteString(" Terminating")
	}
	if !ready(p) {
		b.WriteString(", not ready")
	}
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil:
			fmt.Fprintf(&b, ", %s %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message)
		case c.State.Terminated != nil:
			fmt.Fprintf(&b, ", %s %s (exit code %d)", c.Name, c.State.Terminated.Reason, c.State.Terminated.ExitCode)
		}
		if c.RestartCount > 0 {
			fmt.Fprintf(&b, ", %s restarted %d times", c.Name, c.RestartCount)
		}
	}
	if p.Spec.NodeName == "" {
		b.WriteString(", on no node")
	}
	return strings.TrimSpace(b.String())
}

func podStates(pods []corev1.Pod) string {
	if len(pods) == 0 {
		return "no pods"
	}
	var out []string
	for i := range pods {
		out = append(out, podState(&pods[i]))
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// eventuallyPod waits until the pod exists and ok returns true for it.
func (w *World) eventuallyPod(ctx context.Context, name, text string, ok func(*corev1.Pod) bool) error {
	return w.eventually(ctx, condition{
		text: "pod " + name + " " + text, about: name, object: "pods " + name,
		try: "kubectl describe pod/" + name + "; kubectl logs " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			p, err := w.pod(ctx, name)
			if err != nil {
				return "", false, err
			}
			return podState(p), ok(p), nil
		},
	})
}

func (w *World) podReady(ctx context.Context, name string) error {
	return w.eventuallyPod(ctx, name, "Running and ready", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && ready(p)
	})
}

func (w *World) podPhase(ctx context.Context, name, phase string) error {
	return w.eventuallyPod(ctx, name, phase, func(p *corev1.Pod) bool { return string(p.Status.Phase) == phase })
}

func (w *World) podRestarted(ctx context.Context, name string, times int) error {
	return w.eventuallyPod(ctx, name, fmt.Sprintf("restarted %d times", times), func(p *corev1.Pod) bool {
		total := 0
		for _, c := range p.Status.ContainerStatuses {
			total += int(c.RestartCount)
		}
		return total == times
	})
}

func (w *World) podOwned(ctx context.Context, name, kind, controller string) error {
	return w.eventuallyPod(ctx, name, "owned by "+kind+" "+controller, func(p *corev1.Pod) bool {
		owner := metav1.GetControllerOf(p)
		return owner != nil && owner.Kind == kind && owner.Name == controller
	})
}

func (w *World) podGone(ctx context.Context, name string) error {
	return w.eventually(ctx, condition{
		text: "no pod " + name, about: name, try: "kubectl delete pod " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			p, err := w.pod(ctx, name)
			if apierrors.IsNotFound(err) {
				return "no pod " + name, true, nil
			}
			if err != nil {
				return "", false, err
			}
			return podState(p), false, nil
		},
	})
}

// eventuallyPods waits until ok returns true for the pods with a label, those that are being
// deleted included.
func (w *World) eventuallyPods(ctx context.Context, label, text string, ok func([]corev1.Pod) bool) error {
	_, about, _ := strings.Cut(label, "=")
	return w.eventually(ctx, condition{
		text: text, about: about, object: "pods " + label, try: "kubectl get pods -o wide -l " + label + "; kubectl get rc -o wide",
		probe: func(ctx context.Context) (string, bool, error) {
			pods, err := w.pods(ctx, label)
			if err != nil {
				return "", false, err
			}
			return podStates(pods), ok(pods), nil
		},
	})
}

func (w *World) podsReady(ctx context.Context, n int, label string) error {
	return w.eventuallyPods(ctx, label, fmt.Sprintf("%d pods with label %s, all of them Running and ready", n, label), func(pods []corev1.Pod) bool {
		for i := range pods {
			if !ready(&pods[i]) {
				return false
			}
		}
		return len(pods) == n
	})
}

func (w *World) noPods(ctx context.Context, label string) error {
	return w.eventuallyPods(ctx, label, "no pod with label "+label, func(pods []corev1.Pod) bool { return len(pods) == 0 })
}

func (w *World) podsSpread(ctx context.Context, label string, n int) error {
	return w.eventuallyPods(ctx, label, fmt.Sprintf("pods with label %s on %d nodes", label, n), func(pods []corev1.Pod) bool {
		nodes := map[string]bool{}
		for i := range pods {
			nodes[pods[i].Spec.NodeName] = true
		}
		return len(nodes) == n && !nodes[""]
	})
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (w *World) eventuallyNodes(ctx context.Context, text string, ok func([]corev1.Node) bool) error {
	return w.eventually(ctx, condition{
		text: text, try: "kubectl get nodes -o wide; kubectl describe nodes",
		probe: func(ctx context.Context) (string, bool, error) {
			var list corev1.NodeList
			if err := w.Client.List(ctx, "nodes", "", metav1.ListOptions{}, &list); err != nil {
				return "", false, err
			}
			var seen []string
			for i := range list.Items {
				state := "not ready"
				if nodeReady(&list.Items[i]) {
					state = "ready"
				}
				seen = append(seen, list.Items[i].Name+" "+state)
			}
			return "nodes: " + strings.Join(seen, ", "), ok(list.Items), nil
		},
	})
}

func (w *World) nodeReady(ctx context.Context, name string) error {
	return w.eventuallyNodes(ctx, "node "+name+" ready", func(nodes []corev1.Node) bool {
		for i := range nodes {
			if nodes[i].Name == name {
				return nodeReady(&nodes[i])
			}
		}
		return false
	})
}

func (w *World) nodesReady(ctx context.Context, n int) error {
	return w.eventuallyNodes(ctx, fmt.Sprintf("at least %d nodes ready", n), func(nodes []corev1.Node) bool {
		count := 0
		for i := range nodes {
			if nodeReady(&nodes[i]) {
				count++
			}
		}
		return count >= n
	})
}

func (w *World) claimBound(ctx context.Context, claim, volume string) error {
	return w.eventually(ctx, condition{
		text: "claim " + claim + " Bound to volume " + volume, about: claim, object: "persistentvolumeclaims " + claim, try: "kubectl describe pvc " + claim + "; kubectl get pv",
		probe: func(ctx context.Context) (string, bool, error) {
			var c corev1.PersistentVolumeClaim
			if err := w.Client.Get(ctx, "persistentvolumeclaims", w.Namespace, claim, &c); err != nil {
				return "", false, err
			}
			seen := fmt.Sprintf("claim %s %s to %q", claim, c.Status.Phase, c.Spec.VolumeName)
			return seen, c.Status.Phase == corev1.ClaimBound && c.Spec.VolumeName == volume, nil
		},
	})
}
