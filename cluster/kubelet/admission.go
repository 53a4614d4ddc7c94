package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
)

// maxContainers bounds the containers of a pod where Config has no other bound: an object of 100 kB could have
// thousands, which MaxPods does not bound.
const maxContainers = 500

// admit fails a pod that the node must not run, before anything of it is started.
func (w *worker) admit(ctx context.Context, s *podStep) error {
	pod := s.pod
	if w.finished || pod.Status.StartTime != nil || podfacts.Terminal(pod) {
		return nil
	}
	reason, message := w.k.admissionFailure(pod)
	if message == "" {
		var err error
		if reason, message, err = w.k.placementFailure(ctx, pod); err != nil {
			return err
		}
	}
	if message != "" {
		w.PodEvent(v1.EventTypeWarning, reason, message)
		w.fail(reason, "Pod was rejected: "+message)
	}
	return nil
}

// PodSecurity reports what a pod asks for and a node does not give, whatever the API server has admitted; "" is nothing.
type PodSecurity interface {
	Violation(pod *v1.Pod) string
}

// secure fails a pod that violates the node's PodSecurity. It looks in each step, and at no field of the status: whoever
// administers the API can write that. An ephemeral container that violates it fails alone (permit).
func (w *worker) secure(_ context.Context, s *podStep) error {
	if w.k.config.PodSecurity == nil || w.finished {
		return nil
	}
	pod := *s.pod
	pod.Spec.EphemeralContainers = nil
	if message := w.k.config.PodSecurity.Violation(&pod); message != "" {
		message = "violates the PodSecurity of the node: " + message
		w.PodEvent(v1.EventTypeWarning, podSecurityReason, "Pod "+message)
		w.fail(podSecurityReason, "Pod was rejected: it "+message)
	}
	return nil
}

const podSecurityReason = "PodSecurity"

// permit is an error for a container with which the pod violates the node's PodSecurity.
func (w *worker) permit(pod *v1.Pod, c *v1.Container) error {
	if w.k.config.PodSecurity == nil {
		return nil
	}
	only := *pod
	only.Spec.EphemeralContainers = slices.DeleteFunc(slices.Clone(pod.Spec.EphemeralContainers), func(e v1.EphemeralContainer) bool { return e.Name != c.Name })
	if message := w.k.config.PodSecurity.Violation(&only); message != "" {
		return podstatus.NewWaitingError("CreateContainerConfigError", errors.New("the container violates the PodSecurity of the node: "+message))
	}
	return nil
}

// admissionFailure is why the node can never run a pod, as when it was bound without the
// scheduler: it needs another system, AppArmor where there is none, a forbidden sysctl, a port that is taken, or more
// resources than the node has when it is empty.
func (k *Kubelet) admissionFailure(pod *v1.Pod) (reason, message string) {
	if message := containerspec.ForbiddenSysctl(pod); message != "" {
		return "SysctlForbidden", message
	}
	if message := containerspec.AppArmorFailure(pod, containerspec.AppArmorEnabled()); message != "" {
		return "AppArmor", message
	}
	if k.portsTaken(pod) {
		return "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
	}
	if os := pod.Spec.OS; os != nil && string(os.Name) != runtime.GOOS {
		return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
	}
	if sc := pod.Spec.SecurityContext; sc != nil && sc.SupplementalGroupsPolicy != nil && *sc.SupplementalGroupsPolicy == v1.SupplementalGroupsPolicyStrict {
		return "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
	}
	if n, most := len(pod.Spec.InitContainers)+len(pod.Spec.Containers), cmp.Or(k.config.MaxContainers, maxContainers); n > most {
		return "TooManyContainers", fmt.Sprintf("The node runs pods of at most %d containers, and this one has %d", most, n)
	}
	requests, _ := podspec.Resources(pod)
	have := k.allocatable()
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage} {
		asked, room := requests[name], have[name]
		if asked.Cmp(room) <= 0 {
			continue
		}
		used := k.usedByOthers(pod, name)
		return "OutOf" + string(name), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
			name, amountOf(name, asked), amountOf(name, used), amountOf(name, room))
	}
	return "", ""
}

// placementFailure is why a pod that names its node itself must not be there: the scheduler was
// not asked about its node selector and affinity. Pods of the node's own manifests run in any case.
func (k *Kubelet) placementFailure(ctx context.Context, pod *v1.Pod) (reason, message string, err error) {
	affine := pod.Spec.Affinity != nil && pod.Spec.Affinity.NodeAffinity != nil
	if podspec.IsStatic(pod) || podspec.IsMirror(pod) || len(pod.Spec.NodeSelector) == 0 && !affine {
		return "", "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, objects.Timeout)
	defer cancel()
	node, err := k.config.Client.CoreV1().Nodes().Get(ctx, k.config.NodeName, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) { // it is about to be registered
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the node for the admission of the pod: %w", err)
	}
	if fits, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !fits {
		return "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector", nil //nolint:nilerr // an affinity that no node matches
	}
	return "", "", nil
}

// usedByOthers is what the node's other pods request.
func (k *Kubelet) usedByOthers(pod *v1.Pod, name v1.ResourceName) resource.Quantity {
	var sum resource.Quantity
	for _, w := range k.allWorkers() {
		other := w.latest()
		if other.UID != pod.UID && !podfacts.Terminal(other) {
			requests, _ := podspec.Resources(other)
			sum.Add(requests[name])
		}
	}
	return sum
}

// amountOf is the number in upstream's messages: cpu in thousandths.
func amountOf(name v1.ResourceName, q resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// portsTaken reports whether another pod of the node has a port that this one requests, as
// when it was bound without the scheduler. A pod that is terminating counts no more.
func (k *Kubelet) portsTaken(pod *v1.Pod) bool {
	want := nodePorts(pod)
	if len(want) == 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, w := range k.workers {
		other := w.latest()
		if uid == pod.UID || other.DeletionTimestamp != nil || podfacts.Terminal(other) || other.Status.StartTime == nil && !podspec.IsStatic(other) {
			continue
		}
		for _, a := range want {
			for _, b := range nodePorts(other) {
				if samePort(a, b) {
					return true
				}
			}
		}
	}
	return false
}
