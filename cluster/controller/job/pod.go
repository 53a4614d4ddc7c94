package job

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/replication"
)

const (
	indexLabel = batch.JobCompletionIndexAnnotation
	indexEnv   = "JOB_COMPLETION_INDEX"
	// noIndex is that of a pod of a job that is not Indexed, or of a wrong one.
	noIndex = -1
)

func indexed(j *batch.Job) bool {
	return j.Spec.CompletionMode != nil && *j.Spec.CompletionMode == batch.IndexedCompletion
}

func perIndex(j *batch.Job) bool { return indexed(j) && j.Spec.BackoffLimitPerIndex != nil }

func suspended(j *batch.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

func completions(j *batch.Job) int {
	if j.Spec.Completions == nil {
		return 0
	}
	return int(*j.Spec.Completions)
}

// onlyFailed says that a pod is replaced when it has failed, and not already when
// it is on its way out.
func onlyFailed(j *batch.Job) bool {
	return j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batch.Failed
}

// born is one pod to make.
type born struct {
	index             int
	failures, ignored int // of the index, for a job that counts them apart
}

// podFor makes a pod. Its finalizer holds it until it is counted.
func podFor(j *batch.Job, b born) *v1.Pod {
	p := replication.PodFromTemplate(&j.Spec.Template, j, kind)
	if !slices.Contains(p.Finalizers, batch.JobTrackingFinalizer) {
		p.Finalizers = append(p.Finalizers, batch.JobTrackingFinalizer)
	}
	if b.index == noIndex {
		return p
	}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.GenerateName = fmt.Sprintf("%s-%d-", j.Name, b.index)
	p.Spec.Hostname = fmt.Sprintf("%s-%d", j.Name, b.index)
	p.Labels[indexLabel] = strconv.Itoa(b.index)
	p.Annotations[indexLabel] = strconv.Itoa(b.index)
	if perIndex(j) {
		p.Annotations[batch.JobIndexFailureCountAnnotation] = strconv.Itoa(b.failures)
		if b.ignored > 0 {
			p.Annotations[batch.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(b.ignored)
		}
	}
	for i := range p.Spec.InitContainers {
		tellIndex(&p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		tellIndex(&p.Spec.Containers[i])
	}
	return p
}

func tellIndex(c *v1.Container) {
	if slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool { return e.Name == indexEnv }) {
		return
	}
	c.Env = append(c.Env, v1.EnvVar{Name: indexEnv, ValueFrom: &v1.EnvVarSource{
		FieldRef: &v1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels['" + indexLabel + "']"},
	}})
}

// indexOf is the pod's completion index, if it is one that the job has.
func indexOf(j *batch.Job, p *v1.Pod) int {
	n, err := strconv.Atoi(p.Annotations[indexLabel])
	if !indexed(j) || err != nil || n < 0 || n >= completions(j) {
		return noIndex
	}
	return n
}

func failures(p *v1.Pod) int { return number(p, batch.JobIndexFailureCountAnnotation) }
func ignored(p *v1.Pod) int  { return number(p, batch.JobIndexIgnoredFailureCountAnnotation) }

func number(p *v1.Pod, annotation string) int {
	n, err := strconv.Atoi(p.Annotations[annotation])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func tracked(p *v1.Pod) bool { return slices.Contains(p.Finalizers, batch.JobTrackingFinalizer) }

// failed says whether a pod counts as one that did not succeed: it has failed, or
// somebody deletes it. Where only failed pods are replaced, the latter is not enough.
func failed(j *batch.Job, p *v1.Pod) bool {
	switch {
	case p.Status.Phase == v1.PodFailed:
		return true
	case p.Status.Phase == v1.PodSucceeded || p.DeletionTimestamp == nil:
		return false
	}
	return !onlyFailed(j) || gone(p)
}

// gone is a deleted pod of which nothing runs, whatever its phase says: it never
// came to a node, or the node's kubelet has confirmed the deletion, without delay.
func gone(p *v1.Pod) bool {
	return p.DeletionTimestamp != nil &&
		(p.Spec.NodeName == "" || p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0)
}

// terminating says whether a pod is on its way out and may still run.
func terminating(p *v1.Pod) bool {
	return p.DeletionTimestamp != nil && !podfacts.Terminal(p) && !gone(p)
}

// ended is when a pod that has ended did so, as well as one can tell.
func ended(p *v1.Pod) time.Time {
	var at time.Time
	for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if t := s.State.Terminated; t != nil && t.FinishedAt.After(at) {
			at = t.FinishedAt.Time
		}
	}
	if !at.IsZero() {
		return at
	}
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady && c.Status == v1.ConditionFalse && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	if p.DeletionTimestamp != nil {
		grace := int64(0)
		if p.DeletionGracePeriodSeconds != nil {
			grace = *p.DeletionGracePeriodSeconds
		}
		return p.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	return p.CreationTimestamp.Time
}
