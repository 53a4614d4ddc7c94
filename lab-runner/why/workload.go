package why

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/near"
)

func number(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}
	return *n
}

// makerOf returns the controller whose template has the labels, though no pod has them, and follows it.
func (c *chain) makerOf(selector map[string]string) (about string, follow func()) {
	for i := range c.f.Deployments {
		if d := &c.f.Deployments[i]; hasAll(d.Spec.Template.Labels, selector) {
			return "Deployment " + d.Name, func() { c.deployment(d) }
		}
	}
	for i := range c.f.StatefulSets {
		if s := &c.f.StatefulSets[i]; hasAll(s.Spec.Template.Labels, selector) {
			return "StatefulSet " + s.Name, func() { c.statefulSet(s) }
		}
	}
	for i := range c.f.DaemonSets {
		if s := &c.f.DaemonSets[i]; hasAll(s.Spec.Template.Labels, selector) {
			return "DaemonSet " + s.Name, func() { c.daemonSet(s) }
		}
	}
	for i := range c.f.Controllers {
		if r := &c.f.Controllers[i]; r.Spec.Template != nil && hasAll(r.Spec.Template.Labels, selector) {
			return "ReplicationController " + r.Name, func() { c.replicationController(r) }
		}
	}
	for i := range c.f.ReplicaSets {
		if r := &c.f.ReplicaSets[i]; metav1.GetControllerOf(r) == nil && hasAll(r.Spec.Template.Labels, selector) {
			return "ReplicaSet " + r.Name, func() { c.replicaSet(r) }
		}
	}
	return "", nil
}

// none is the hop of a controller of 0 replicas.
func (c *chain) none(kind, name string) {
	c.broken(cause{
		hop: "replicas", reason: "ScaledToZero", text: fmt.Sprintf("%s %s has 0 replicas", kind, name),
		do: "Start pods: " + c.kubectl("scale %s %s --replicas=1", strings.ToLower(kind), name),
	})
}

// refused is the hop of quota and admission: what hinders a controller's pods from being created.
func (c *chain) refused(kind string, m *metav1.ObjectMeta, message string) {
	e := c.f.event(kind, m.Name, string(m.UID), "FailedCreate")
	if message == "" && e != nil {
		message = e.Message
	}
	w := cause{hop: "admission", reason: "PodsRefused", text: "the API server refuses the pods of " + kind + " " + m.Name, do: "Mend what the message says: " + c.kubectl("edit %s %s", strings.ToLower(kind), m.Name), details: []string{"the API server: " + short(message, 400)}}
	if message == "" {
		w.hop, w.reason, w.text = "controller", "NoPods", kind+" "+m.Name+" has not created its pods"
		w.do = "See whether the controllers run: kubectl -n kube-system get lease kube-controller-manager"
		w.details = nil
		if c.f.age(m.CreationTimestamp).Seconds() < 15 {
			c.waiting(w)
			return
		}
		c.broken(w)
		return
	}
	switch lower := strings.ToLower(message); {
	case strings.Contains(lower, "exceeded quota"):
		w.hop, w.reason, w.text = "quota", "QuotaFull", "a ResourceQuota of namespace "+c.f.Namespace+" is full, so the API server refuses the pods of "+kind+" "+m.Name
		w.do = "Free some of the quota (delete or scale down what is not needed), or lower the pods' requests: kubectl -n " + c.f.Namespace + " describe quota"
		w.details = append(w.details, c.quotas()...)
	case strings.Contains(lower, "failed quota") || strings.Contains(lower, "must specify"):
		w.hop, w.reason, w.text = "quota", "QuotaNeedsRequests", "a ResourceQuota of namespace "+c.f.Namespace+" counts requests or limits, so each container must have them, and those of "+kind+" "+m.Name+" have not"
		w.do = "Set resources.requests and limits of the containers: " + c.kubectl("edit %s %s", strings.ToLower(kind), m.Name)
		w.details = append(w.details, c.quotas()...)
	case strings.Contains(lower, "violates podsecurity"):
		w.reason, w.text = "PodSecurity", "the namespace's pod security level forbids the pods of "+kind+" "+m.Name
		w.do = "Change securityContext as the message says: " + c.kubectl("edit %s %s", strings.ToLower(kind), m.Name)
	case strings.Contains(lower, "serviceaccount"):
		w.reason, w.text = "AccountMissing", "the pods of "+kind+" "+m.Name+" use a ServiceAccount that does not exist"
		w.do = "Create it: kubectl -n " + c.f.Namespace + " create serviceaccount NAME"
		for _, part := range strings.Fields(message) {
			name := strings.Trim(part, `":,`)
			if _, after, ok := strings.Cut(name, "/"); ok {
				name = after
			}
			if other := near.Name(name, c.f.Accounts); other != "" && strings.Contains(lower, "not found") {
				w.text += "; there is a ServiceAccount " + other
				w.do = "Correct serviceAccountName to " + other + ": " + c.kubectl("edit %s %s", strings.ToLower(kind), m.Name)
				break
			}
		}
	case strings.Contains(lower, "maximum") || strings.Contains(lower, "minimum"):
		w.reason, w.text = "LimitRange", "a LimitRange of namespace "+c.f.Namespace+" forbids the resources of the pods of "+kind+" "+m.Name
		w.do = "Set resources within the limits: kubectl -n " + c.f.Namespace + " describe limitrange"
	case strings.Contains(lower, "priorityclass"):
		w.reason, w.text = "PriorityClassMissing", "the pods of "+kind+" "+m.Name+" use a PriorityClass that does not exist"
		w.do = "Remove priorityClassName, or use one of: kubectl get priorityclass"
	}
	c.broken(w)
}

// quotas are the namespace's quotas of which nothing is left.
func (c *chain) quotas() []string {
	var out []string
	for i := range c.f.Quotas {
		q := &c.f.Quotas[i]
		for _, name := range resourceNames(q.Status.Hard) {
			hard, used := q.Status.Hard[name], q.Status.Used[name]
			out = append(out, fmt.Sprintf("quota %s: %s: %s of %s used", q.Name, name, used.String(), hard.String()))
		}
	}
	return out
}

// pods is the hop of a controller's pods: created, and each of them ready.
func (c *chain) podsOf(kind string, m *metav1.ObjectMeta, want int32, message string) {
	if c.over() {
		return
	}
	if text := c.f.Unread["pods"]; text != "" {
		c.unknown("pods", "the pods could not be read: %s", text)
		return
	}
	var live []*corev1.Pod
	ready := int32(0)
	for _, p := range c.f.podsOf(m) {
		if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		live = append(live, p)
		if isReady(p) {
			ready++
		}
	}
	switch {
	case int32(len(live)) < want:
		if message == "" && c.f.event(kind, m.Name, string(m.UID), "FailedCreate") == nil && len(live) > 0 {
			c.firstBroken(live)
		}
		c.refused(kind, m, message)
	case ready < want:
		c.fine("admission", "%s %s has created its %s", kind, m.Name, podCount(int(want)))
		c.firstBroken(live)
		if !c.over() {
			c.waiting(cause{hop: "pods", reason: "NotReadyYet", text: fmt.Sprintf("%d of %d pods are ready", ready, want), do: "Wait a few seconds and ask again."})
		}
	default:
		c.fine("admission", "%s %s has created its %s", kind, m.Name, podCount(int(want)))
		c.fine("pods", "%s ready", isAre(int(ready), "pod"))
	}
}

// newest returns the ReplicaSet of a Deployment's present template.
func (c *chain) newest(d *appsv1.Deployment) *appsv1.ReplicaSet {
	var best *appsv1.ReplicaSet
	revision := d.Annotations["deployment.kubernetes.io/revision"]
	for i := range c.f.ReplicaSets {
		rs := &c.f.ReplicaSets[i]
		if by := metav1.GetControllerOf(rs); by == nil || by.UID != d.UID {
			continue
		}
		if revision != "" && rs.Annotations["deployment.kubernetes.io/revision"] == revision {
			return rs
		}
		if best == nil || rs.CreationTimestamp.After(best.CreationTimestamp.Time) {
			best = rs
		}
	}
	return best
}

func deploymentCondition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, cond := range d.Status.Conditions {
		if cond.Type == kind {
			return cond
		}
	}
	return appsv1.DeploymentCondition{}
}

func (c *chain) deployment(d *appsv1.Deployment) {
	c.of("deployment/"+d.Name, func() {
		want := number(d.Spec.Replicas, 1)
		c.fine("object", "Deployment %s asks for %s", d.Name, podCount(int(want)))
		c.deletion(nil, "Deployment", &d.ObjectMeta)
		rs := c.newest(d)
		switch {
		case c.over():
			return
		case want == 0:
			c.none("Deployment", d.Name)
			return
		case d.Spec.Paused && (rs == nil || d.Status.UpdatedReplicas < want):
			c.broken(cause{
				hop: "rollout", reason: "Paused", text: "the Deployment is paused: changes of its template make no new pods",
				do: "Go on: " + c.kubectl("rollout resume deployment/%s", d.Name),
			})
			return
		case rs == nil:
			w := cause{hop: "controller", reason: "NoReplicaSet", text: "the Deployment has no ReplicaSet yet", do: "See whether the controllers run: kubectl -n kube-system get lease kube-controller-manager"}
			if failure := deploymentCondition(d, appsv1.DeploymentProgressing); failure.Status == corev1.ConditionFalse {
				w.details = []string{short(failure.Message, 300)}
			}
			if c.f.age(d.CreationTimestamp).Seconds() < 15 {
				c.waiting(w)
				return
			}
			c.broken(w)
			return
		}
		c.fine("controller", "its ReplicaSet is %s", rs.Name)
		c.of("replicaset/"+rs.Name, func() {
			failure := ""
			for _, cond := range rs.Status.Conditions {
				if cond.Type == appsv1.ReplicaSetReplicaFailure && cond.Status == corev1.ConditionTrue {
					failure = cond.Message
				}
			}
			c.podsOf("ReplicaSet", &rs.ObjectMeta, number(rs.Spec.Replicas, 1), failure)
		})
		c.rollout(d, want)
	})
}

// rollout is the hop of a rolling update that has not come to its end, though the pods that there are are ready.
func (c *chain) rollout(d *appsv1.Deployment, want int32) {
	switch {
	case c.over():
	case d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want || d.Status.AvailableReplicas < want || d.Status.Replicas > d.Status.UpdatedReplicas:
		text := fmt.Sprintf("the rollout is under way: %d of %d pods have the new template, %d are available", d.Status.UpdatedReplicas, want, d.Status.AvailableReplicas)
		if d.Spec.MinReadySeconds > 0 {
			text += fmt.Sprintf(" (a pod is available when it has been ready for minReadySeconds, %d)", d.Spec.MinReadySeconds)
		}
		w := cause{hop: "rollout", reason: "RollingOut", text: text, do: "Wait: " + c.kubectl("rollout status deployment/%s", d.Name)}
		if p := deploymentCondition(d, appsv1.DeploymentProgressing); p.Reason == "ProgressDeadlineExceeded" {
			w.reason, w.text = "ProgressDeadline", text+"; it has made no progress for progressDeadlineSeconds"
			w.do = "Go back: " + c.kubectl("rollout undo deployment/%s", d.Name)
			c.broken(w)
			return
		}
		c.waiting(w)
	default:
		c.fine("rollout", "all %s available, with the present template", isAre(int(want), "pod"))
	}
}

func (c *chain) replicaSet(rs *appsv1.ReplicaSet) {
	c.of("replicaset/"+rs.Name, func() {
		want := number(rs.Spec.Replicas, 1)
		c.fine("object", "ReplicaSet %s asks for %s", rs.Name, podCount(int(want)))
		c.deletion(nil, "ReplicaSet", &rs.ObjectMeta)
		if by := metav1.GetControllerOf(rs); want == 0 && by != nil {
			c.fine("replicas", "%s %s has scaled it to 0: another ReplicaSet has the present template", by.Kind, by.Name)
			return
		}
		if want == 0 {
			c.none("ReplicaSet", rs.Name)
		}
		c.podsOf("ReplicaSet", &rs.ObjectMeta, want, "")
	})
}

// replicas begins the way of an object that asks for pods, and returns how many.
func (c *chain) replicas(kind string, o *metav1.ObjectMeta, replicas *int32) int32 {
	want := number(replicas, 1)
	c.fine("object", "%s %s asks for %s", kind, o.Name, podCount(int(want)))
	c.deletion(nil, kind, o)
	if want == 0 {
		c.none(kind, o.Name)
	}
	return want
}

func (c *chain) replicationController(rc *corev1.ReplicationController) {
	c.of("replicationcontroller/"+rc.Name, func() {
		want := c.replicas("ReplicationController", &rc.ObjectMeta, rc.Spec.Replicas)
		c.podsOf("ReplicationController", &rc.ObjectMeta, want, "")
	})
}

func (c *chain) statefulSet(s *appsv1.StatefulSet) {
	c.of("statefulset/"+s.Name, func() {
		want := c.replicas("StatefulSet", &s.ObjectMeta, s.Spec.Replicas)
		pods := c.f.podsOf(&s.ObjectMeta)
		ordered := s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
		if ordered && int32(len(pods)) < want && len(pods) > 0 && !c.over() {
			c.firstBroken(pods)
			if c.over() {
				c.out.Hops[len(c.out.Hops)-1].Details = append(c.out.Hops[len(c.out.Hops)-1].Details, fmt.Sprintf("the StatefulSet creates its pods one after the other: %d of %d exist, and the next waits for this one", len(pods), want))
			}
		}
		c.podsOf("StatefulSet", &s.ObjectMeta, want, "")
		c.governing(s)
	})
}

// governing is the hop of the headless Service that gives a StatefulSet's pods their names.
func (c *chain) governing(s *appsv1.StatefulSet) {
	if c.over() || s.Spec.ServiceName == "" || c.f.Unread["services"] != "" {
		return
	}
	svc := find(c.f.Services, s.Spec.ServiceName)
	if svc == nil {
		w := cause{
			hop: "names", reason: "ServiceMissing", text: "the pods run, but have no names in DNS: serviceName is " + s.Spec.ServiceName + ", and there is no such Service",
			do: fmt.Sprintf("Create the headless Service %s (clusterIP: None) with the StatefulSet's selector.", s.Spec.ServiceName),
		}
		if other := near.Name(s.Spec.ServiceName, names(c.f.Services)); other != "" {
			w.text += "; there is a Service " + other
			w.do = "Create the StatefulSet again with serviceName: " + other + " (the field cannot be changed)."
		}
		c.broken(w)
		return
	}
	c.fine("names", "its pods are named POD.%s.%s by DNS", svc.Name, svc.Namespace)
}

func (c *chain) daemonSet(s *appsv1.DaemonSet) {
	c.of("daemonset/"+s.Name, func() {
		want := s.Status.DesiredNumberScheduled
		c.fine("object", "DaemonSet %s exists", s.Name)
		c.deletion(nil, "DaemonSet", &s.ObjectMeta)
		if want == 0 && !c.over() {
			if s.Status.ObservedGeneration < s.Generation {
				c.waiting(cause{hop: "controller", reason: "NotSeenYet", text: "the controller has not yet looked at the DaemonSet", do: "Wait a few seconds and ask again."})
				return
			}
			p := &corev1.Pod{ObjectMeta: s.Spec.Template.ObjectMeta, Spec: s.Spec.Template.Spec}
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet", Name: s.Name, Controller: new(bool)}}
			*p.OwnerReferences[0].Controller = true
			w := cause{hop: "nodes", reason: "NoNodeChosen", text: "no node takes a pod of the DaemonSet", do: c.kubectl("edit daemonset %s", s.Name)}
			for i := range c.f.Nodes {
				n := &c.f.Nodes[i]
				m := c.fits(p, n)
				w.details = append(w.details, "node "+n.Name+": "+m.text)
				if m.reason != "" && (w.reason == "NoNodeChosen" || m.reason == "NodeSelector") {
					w.reason, w.text, w.do = m.reason, "no node takes a pod of the DaemonSet: "+m.text, m.do
				}
			}
			c.broken(w)
			return
		}
		if !c.over() {
			c.fine("nodes", "%s a pod of it", countHave(int(want)))
		}
		c.podsOf("DaemonSet", &s.ObjectMeta, want, "")
	})
}

func countHave(n int) string {
	if n == 1 {
		return "1 node shall have"
	}
	return fmt.Sprintf("%d nodes shall have", n)
}
