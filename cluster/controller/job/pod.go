package job

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/podcontrol"
)

const (
	indexLabel = batch.JobCompletionIndexAnnotation
	indexEnv   = "JOB_COMPLETION_INDEX"
	// noIndex is the index of a pod of a job that is not Indexed, or of an invalid index.
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

// onlyFailed reports whether a pod is replaced only when it is terminal, and not already
// when it is terminating.
func onlyFailed(j *batch.Job) bool {
	return j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batch.Failed
}

// podIdentity is what distinguishes a pod to create from the job's others.
type podIdentity struct {
	index             int
	failures, ignored int // of the index, for a job with backoffLimitPerIndex
}

// podFor returns a pod of the job. Its finalizer keeps it until it is counted.
func podFor(j *batch.Job, b podIdentity) *v1.Pod {
	p := podcontrol.PodFromTemplate(&j.Spec.Template, j, kind)
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
		addIndexEnv(&p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		addIndexEnv(&p.Spec.Containers[i])
	}
	return p
}

func addIndexEnv(c *v1.Container) {
	if slices.ContainsFunc(c.Env, func(e v1.EnvVar) bool { return e.Name == indexEnv }) {
		return
	}
	c.Env = append(c.Env, v1.EnvVar{Name: indexEnv, ValueFrom: &v1.EnvVarSource{
		FieldRef: &v1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels['" + indexLabel + "']"},
	}})
}

// indexOf returns the pod's completion index, noIndex if the job does not have it.
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

// failed reports whether a pod counts as failed: its phase is Failed, or it is being
// deleted. Where only failed pods are replaced, the latter is not enough.
func failed(j *batch.Job, p *v1.Pod) bool {
	switch {
	case p.Status.Phase == v1.PodFailed:
		return true
	case p.Status.Phase == v1.PodSucceeded || p.DeletionTimestamp == nil:
		return false
	}
	return !onlyFailed(j) || gone(p)
}

// gone reports whether nothing of a deleted pod runs, whatever its phase: it was never
// bound, or the kubelet has confirmed the deletion with grace period 0.
func gone(p *v1.Pod) bool {
	return p.DeletionTimestamp != nil &&
		(p.Spec.NodeName == "" || p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0)
}

// terminating reports whether a pod is being deleted and may still run.
func terminating(p *v1.Pod) bool {
	return p.DeletionTimestamp != nil && !podfacts.Terminal(p) && !gone(p)
}

// finishedAt returns when a terminal pod finished, as far as its status shows.
func finishedAt(p *v1.Pod) time.Time {
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
