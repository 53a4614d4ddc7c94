package kubelet

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/server"
)

// podEvents records the events of one pod.
type podEvents struct {
	recorder record.EventRecorder
	ref      cri.PodRef
	newest   func() *v1.Pod
}

// PodEvent records an event of the pod.
func (p *podEvents) PodEvent(kind, reason, message string) { p.event("", kind, reason, message) }

// ContainerEvent records an event of one container of the pod.
func (p *podEvents) ContainerEvent(c *v1.Container, kind, reason, message string) {
	field := ""
	if c != nil {
		pod := p.newest()
		field = "spec.containers{" + c.Name + "}"
		if podspec.Named(pod.Spec.InitContainers, c.Name) != nil {
			field = "spec.initContainers{" + c.Name + "}"
		}
		if podspec.EphemeralContainer(pod, c.Name) != nil {
			field = "spec.ephemeralContainers{" + c.Name + "}"
		}
	}
	p.event(field, kind, reason, message)
}

func (p *podEvents) event(field, kind, reason, message string) {
	if p.ref.Namespace == "" { // only a directory is left of it
		return
	}
	p.recorder.Event(&v1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: p.ref.Namespace, Name: p.ref.Name,
		UID: types.UID(p.ref.UID), ResourceVersion: p.newest().ResourceVersion, FieldPath: field,
	}, kind, reason, message)
}

// recordProbe keeps in the journal what a probe was answered. It has a key of its own: a probe whose outcome
// changes often does not drive out the steps.
func (w *worker) recordProbe(began time.Time, asked, failed string) {
	now := time.Now()
	w.k.config.Journal.Add(server.ProbesOf(types.UID(w.ref.UID)), journal.Entry{
		Time: now, Component: "kubelet", Step: asked, Refused: failed, Took: float64(now.Sub(began).Microseconds()) / 1000,
	})
}

// recordStep keeps in the journal how long a step of the pod took, and the error it ended with.
func (w *worker) recordStep(began time.Time, err error, what string) {
	e := journal.Entry{Time: time.Now(), Component: "kubelet", Step: what}
	e.Took = float64(e.Time.Sub(began).Microseconds()) / 1000
	if err != nil {
		e.Refused = err.Error()
	}
	w.k.config.Journal.Add(types.UID(w.ref.UID), e)
}
