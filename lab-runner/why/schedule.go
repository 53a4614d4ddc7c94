package why

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"wheelhouse/lab-runner/near"
)

// scheduler is the hop that assigns a node to a pod.
func (c *chain) scheduler(p *corev1.Pod) {
	scheduled := condition(p, corev1.PodScheduled)
	switch {
	case c.over():
	case p.Spec.NodeName != "" && scheduled.Status == "":
		c.fine("scheduler", "the manifest names node %s; no scheduler was asked", p.Spec.NodeName)
	case p.Spec.NodeName != "":
		c.fine("scheduler", "assigned to node %s", p.Spec.NodeName)
	case len(p.Spec.SchedulingGates) > 0:
		var gates []string
		for _, g := range p.Spec.SchedulingGates {
			gates = append(gates, g.Name)
		}
		c.broken(cause{
			hop: "scheduler", reason: "SchedulingGated", text: "the scheduler leaves the pod alone while it has scheduling gates: " + strings.Join(gates, ", "),
			do: "Remove the gates when what they stand for is done: " + c.kubectl(`patch pod %s --type=json -p '[{"op":"remove","path":"/spec/schedulingGates"}]'`, p.Name),
		})
	case scheduled.Status == "" && p.Spec.SchedulerName != corev1.DefaultSchedulerName && c.f.age(p.CreationTimestamp) > 2*time.Second:
		text := fmt.Sprintf("the pod asks for the scheduler %q, and none of that name has looked at it", p.Spec.SchedulerName)
		c.broken(cause{
			hop: "scheduler", reason: "NoSuchScheduler", text: text,
			do: "Remove schedulerName from the manifest (the default is " + corev1.DefaultSchedulerName + "): " + c.edit(p),
		})
	case scheduled.Status == "" && c.f.age(p.CreationTimestamp) > 30*time.Second:
		c.broken(cause{hop: "scheduler", reason: "NoScheduler", text: "no scheduler has looked at the pod", do: "See whether the scheduler runs: kubectl -n kube-system get lease kube-scheduler"})
	case scheduled.Status == "":
		c.waiting(cause{hop: "scheduler", reason: "NotScheduledYet", text: "the scheduler has not yet looked at the pod", do: "Wait a few seconds and ask again."})
	default:
		c.unschedulable(p, scheduled.Message)
	}
}

// refusal is why a node does not take a pod. Remedies are tried in the order of fits.
type refusal struct {
	reason, text, do string
}

func (c *chain) unschedulable(p *corev1.Pod, message string) {
	if text := c.f.Unread["nodes"]; text != "" {
		c.broken(cause{hop: "scheduler", reason: "Unschedulable", text: "no node takes the pod: " + short(message, 400), do: "Let someone who may read nodes look at the pod: " + text})
		return
	}
	if len(c.f.Nodes) == 0 {
		c.broken(cause{hop: "scheduler", reason: "NoNodes", text: "the cluster has no nodes", do: "Join a node to the cluster."})
		return
	}
	var details []string
	found := map[string]refusal{}
	for i := range c.f.Nodes {
		n := &c.f.Nodes[i]
		m := c.fits(p, n)
		if m.reason == "" {
			m = refusal{reason: "Unschedulable", text: "see the scheduler's words below"}
		}
		details = append(details, "node "+n.Name+": "+m.text)
		if _, has := found[m.reason]; !has {
			found[m.reason] = m
		}
	}
	details = append(details, "the scheduler: "+short(message, 400))
	order := []string{"HostPort", "Unschedulable", "Resources", "Taint", "Cordoned", "NodeNotReady", "NodeSelector", "NodeAffinity"}
	m := found[order[slices.IndexFunc(order, func(r string) bool { _, has := found[r]; return has })]]
	if m.reason == "Unschedulable" {
		m.reason, m.text, m.do = fromMessage(c, p, message)
	}
	c.broken(cause{hop: "scheduler", reason: m.reason, text: "no node takes the pod: " + m.text, do: m.do, details: details})
}

// fromMessage is the cause as the scheduler says it, of what depends on other pods.
func fromMessage(c *chain, p *corev1.Pod, message string) (reason, text, do string) {
	switch {
	case strings.Contains(message, "anti-affinity"):
		return "PodAntiAffinity", "a pod that it must not run beside is on each node that would suit", "Lower the replicas to the number of nodes, or make the anti-affinity preferred: " + c.edit(p)
	case strings.Contains(message, "pod affinity"):
		return "PodAffinity", "no node has a pod that this one must run beside", "Correct the labels of podAffinity, or start the pod that it names: " + c.edit(p)
	case strings.Contains(message, "topology spread"):
		return "TopologySpread", "each node would make the pods' spread too uneven", "Raise maxSkew, or use whenUnsatisfiable: ScheduleAnyway: " + c.edit(p)
	case strings.Contains(message, "volume node affinity"):
		return "VolumeElsewhere", "its volume is on another node", "Free the node that has the volume: kubectl get pv -o wide"
	case strings.Contains(message, "Insufficient") || strings.Contains(message, "Too many pods"):
		return "Resources", "no node has enough left of what it requests", "Lower the pod's requests, or remove pods that are not needed: " + c.edit(p)
	}
	return "Unschedulable", short(message, 300), "See what each node has: kubectl describe nodes"
}

// fits returns why a node does not take the pod, as far as the facts say it. What the pod selects comes first: a node that it
// does not want may be tainted, full or cordoned.
func (c *chain) fits(p *corev1.Pod, n *corev1.Node) refusal {
	if m := c.selects(p, n); m.reason != "" {
		return m
	}
	if n.Spec.Unschedulable && !tolerates(p, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return refusal{"Cordoned", "node " + n.Name + " is cordoned", "Let node " + n.Name + " take pods again: kubectl uncordon " + n.Name}
	}
	notReady := false
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule || tolerates(p, t) {
			continue
		}
		if t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable {
			notReady = true
			continue
		}
		taint := t.Key + "=" + t.Value + ":" + string(t.Effect)
		if t.Value == "" {
			taint = t.Key + ":" + string(t.Effect)
		}
		text := "node " + n.Name + " has the taint " + taint + ", which the pod does not tolerate"
		if other := nearToleration(p, t); other != "" {
			text += " (it tolerates " + other + ")"
		}
		return refusal{"Taint", text, "Give the pod a toleration of " + taint + ", or remove the taint: kubectl taint nodes " + n.Name + " " + t.Key + ":" + string(t.Effect) + "-"}
	}
	if notReady {
		return refusal{"NodeNotReady", "node " + n.Name + " is not ready", "Look at the node: kubectl why node/" + n.Name}
	}
	for i := range c.f.Pods {
		other := &c.f.Pods[i]
		if other.Spec.NodeName == n.Name && other.UID != p.UID && other.Status.Phase != corev1.PodSucceeded && other.Status.Phase != corev1.PodFailed {
			if port := sharedHostPort(p, other); port != 0 {
				return refusal{"HostPort", fmt.Sprintf("hostPort %d of node %s is taken by pod %s", port, n.Name, other.Name), "Remove hostPort (a Service reaches pods without it), or use another one: " + c.edit(p)}
			}
		}
	}
	return c.room(p, n)
}

func (c *chain) selects(p *corev1.Pod, n *corev1.Node) refusal {
	if !hasAll(n.Labels, p.Spec.NodeSelector) {
		var want []string
		for _, k := range slices.Sorted(keysOf(p.Spec.NodeSelector)) {
			want = append(want, k+"="+p.Spec.NodeSelector[k])
		}
		m := refusal{"NodeSelector", "no node has the labels of nodeSelector " + strings.Join(want, ","), "Give a node the label: kubectl label node " + n.Name + " " + strings.Join(want, " ")}
		var sets []map[string]string
		for i := range c.f.Nodes {
			sets = append(sets, c.f.Nodes[i].Labels)
		}
		if anyHas(sets, p.Spec.NodeSelector) {
			m.text = "node " + n.Name + " does not have the labels of nodeSelector " + strings.Join(want, ",")
		} else if d := nearLabels(p.Spec.NodeSelector, sets); d != "" {
			m.text += "; nearly: a node has " + d
			m.do = "Correct nodeSelector: " + c.edit(p)
		}
		return m
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return refusal{}
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n); ok || err != nil {
		return refusal{} // an expression that is invalid is left to the scheduler's message
	}
	var wants []string
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, e := range slices.Concat(term.MatchExpressions, term.MatchFields) {
			wants = append(wants, fmt.Sprintf("%s %s %s", e.Key, e.Operator, strings.Join(e.Values, ",")))
		}
	}
	return refusal{"NodeAffinity", "node " + n.Name + " does not have the labels of nodeAffinity: " + strings.Join(wants, " or "), "Give a node such a label, or correct nodeAffinity: " + c.edit(p)}
}

func anyHas(sets []map[string]string, selector map[string]string) bool {
	return slices.ContainsFunc(sets, func(s map[string]string) bool { return hasAll(s, selector) })
}

func tolerates(p *corev1.Pod, t corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(l corev1.Toleration) bool {
		if l.Effect != "" && l.Effect != t.Effect {
			return false
		}
		if l.Operator == corev1.TolerationOpExists {
			return l.Key == "" || l.Key == t.Key
		}
		return l.Key == t.Key && l.Value == t.Value
	})
}

func nearToleration(p *corev1.Pod, t corev1.Taint) string {
	for _, l := range p.Spec.Tolerations {
		if (l.Key == t.Key || near.Is(l.Key, t.Key)) && !strings.HasPrefix(l.Key, "node.kubernetes.io/") {
			return fmt.Sprintf("%s=%s:%s", l.Key, l.Value, l.Effect)
		}
	}
	return ""
}

func sharedHostPort(a, b *corev1.Pod) int32 {
	for _, x := range a.Spec.Containers {
		for _, px := range x.Ports {
			for _, y := range b.Spec.Containers {
				for _, py := range y.Ports {
					if px.HostPort != 0 && px.HostPort == py.HostPort && px.Protocol == py.Protocol {
						return px.HostPort
					}
				}
			}
		}
	}
	return 0
}

// requests returns what a pod requests: the sum of its containers, or its largest init container.
func requests(p *corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for _, ct := range p.Spec.Containers {
		for name, q := range ct.Resources.Requests {
			have := sum[name]
			have.Add(q)
			sum[name] = have
		}
	}
	for _, ct := range p.Spec.InitContainers {
		for name, q := range ct.Resources.Requests {
			if have := sum[name]; q.Cmp(have) > 0 {
				sum[name] = q
			}
		}
	}
	return sum
}

// room compares what the pod requests with what the node has, whole and left.
func (c *chain) room(p *corev1.Pod, n *corev1.Node) refusal {
	want := requests(p)
	for _, name := range resourceNames(want) {
		q, whole := want[name], n.Status.Allocatable[name]
		if q.Cmp(whole) > 0 {
			return refusal{
				"Resources", fmt.Sprintf("it requests %s %s, and node %s has %s in all", q.String(), name, n.Name, amount(whole)),
				fmt.Sprintf("Lower the request of %s to what a node has: %s", name, c.edit(p)),
			}
		}
		used, known := c.f.Requested[n.Name]
		if !known {
			continue
		}
		left := whole.DeepCopy()
		left.Sub(used[name])
		if q.Cmp(left) > 0 {
			return refusal{
				"Resources", fmt.Sprintf("it requests %s %s, and of the %s of node %s other pods have requested %s", q.String(), name, amount(whole), n.Name, amount(used[name])),
				fmt.Sprintf("Lower requests of %s, of this pod or of others: %s", name, c.edit(p)),
			}
		}
	}
	return refusal{}
}

func amount(q resource.Quantity) string { return q.String() }

func resourceNames(l corev1.ResourceList) []corev1.ResourceName {
	var out []corev1.ResourceName
	for name := range l {
		out = append(out, name)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}
