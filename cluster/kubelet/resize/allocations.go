package resize

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	helper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

// Allocations are the resources that the node has allocated to each of its pods. A pod that
// requests another size gets it when it fits beside the others, and keeps what it has until
// then. What is allocated is kept in a file of the pod's directory, for the next kubelet.
//
// One lock guards all, so that nothing is allocated twice.
type Allocations struct {
	node Node
	mu   sync.Mutex
	pods map[types.UID]*allocation
}

// Node is the node of the pods.
type Node interface {
	Allocatable() v1.ResourceList
	// BoundPods returns the pods that are bound to the node; false while not all are known.
	BoundPods() ([]*v1.Pod, bool)
}

// Worker runs a pod. It is comparable.
type Worker interface {
	// Event records an event of the pod.
	Event(kind, reason, message string)
	// ResizeChanged wakes the worker: the resize of its pod has changed.
	ResizeChanged()
}

// allocation is that of one pod.
type allocation struct {
	worker  Worker
	file    string // of the record
	log     *slog.Logger
	pod     *v1.Pod         // as its spec requests
	status  *v1.PodStatus   // as last reported, nil if not yet
	used    v1.ResourceList // what it takes from the node
	pending *v1.PodCondition
	since   time.Time // when it began to wait
	fault   string    // why the containers do not have their sizes yet
	savedSizes
}

// savedSizes is the content of the file.
type savedSizes struct {
	Allocated Sizes                 `json:"given,omitempty"`  // nil: what it requested when it came
	Actual    map[string]ActualSize `json:"actual,omitempty"` // by container name
	// Began is the generation whose size was allocated last, zero when the containers have it.
	Began int64 `json:"began,omitempty"`
}

// Decision is what a worker gets of its pod's allocation.
type Decision struct {
	State
	Pod   *v1.Pod       // with the size that is allocated
	Again time.Duration // when to call Allocate again, 0 for at no time
}

const (
	pendingRetry = 30 * time.Second
	syncRetry    = 200 * time.Millisecond
)

// NewAllocations returns the allocations of a node.
func NewAllocations(node Node) *Allocations {
	return &Allocations{node: node, pods: map[types.UID]*allocation{}}
}

// Add adds a pod with its directory. One that an earlier kubelet has run keeps what that one
// has allocated.
func (a *Allocations) Add(w Worker, pod *v1.Pod, dir string, log *slog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &allocation{worker: w, file: filepath.Join(dir, "sizes.json"), log: log, pod: pod}
	m.load()
	if m.Allocated == nil {
		m.Allocated = reported(pod)
	}
	for name, size := range sizesOf(pod) {
		if _, ok := m.Allocated[name]; !ok {
			m.Allocated[name] = size
		}
	}
	if m.Actual == nil {
		m.Actual = map[string]ActualSize{}
	}
	m.updateUsed()
	a.pods[pod.UID] = m
}

// Remove removes the pod of a worker that has terminated.
func (a *Allocations) Remove(w Worker, uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[uid]; m != nil && m.worker == w {
		delete(a.pods, uid)
		a.retryPending(nil)
	}
}

// Cancel drops the pending resize of a pod that terminates.
func (a *Allocations) Cancel(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[uid]; m != nil {
		m.pod, m.pending = m.Allocated.On(m.pod), nil
	}
}

// Allocate allocates to a pod what it requests now, if that fits.
func (a *Allocations) Allocate(pod *v1.Pod) Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.pods[pod.UID]
	if m == nil {
		return Decision{Pod: pod}
	}
	m.pod = pod
	d := Decision{}
	_, synced := a.node.BoundPods()
	switch {
	case !m.isResized():
		m.pending = nil
	case !synced: // not all others are known
		d.Again = syncRetry
	default:
		a.retryPending(m)
		if m.pending != nil {
			d.Again = pendingRetry
		}
	}
	m.updateUsed()
	d.Pod, d.Pending, d.Actual, d.Began = m.Allocated.On(pod), m.pending, maps.Clone(m.Actual), m.Began
	if m.Began != 0 {
		d.Progress = &v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue, ObservedGeneration: m.Began, Message: m.fault}
		if m.fault != "" {
			d.Progress.Reason = v1.PodReasonError
		}
	}
	return d
}

// Allocated returns a pod with the size that is allocated to it.
func (a *Allocations) Allocated(pod *v1.Pod) *v1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[pod.UID]; m != nil {
		return m.Allocated.On(pod)
	}
	return pod
}

// Reported records the status that is reported: others may get what a pod has released.
func (a *Allocations) Reported(uid types.UID, status *v1.PodStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.pods[uid]
	if m == nil {
		return
	}
	before := m.used
	m.status = status
	m.updateUsed()
	for _, name := range resizable {
		had, has := before[name], m.used[name]
		if has.Cmp(had) < 0 {
			a.retryPending(nil)
			return
		}
	}
}

// Started records the size that a container was created with or changed to.
func (a *Allocations) Started(uid types.UID, name, id string, size *v1.ResourceRequirements) {
	a.change(uid, func(m *allocation) { m.Actual[name] = ActualSize{id, *size.DeepCopy()} })
}

// Failed records why containers cannot get their sizes, and reports whether that is new.
func (a *Allocations) Failed(uid types.UID, fault string) (first bool) {
	a.change(uid, func(m *allocation) { first, m.fault = m.fault == "", fault })
	return first
}

// Completed records that all containers have their sizes.
func (a *Allocations) Completed(uid types.UID) {
	a.change(uid, func(m *allocation) {
		m.Began, m.fault = 0, ""
	})
}

func (a *Allocations) change(uid types.UID, f func(*allocation)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[uid]; m != nil {
		f(m)
		m.save()
	}
}

// isResized reports whether the pod requests another size than is allocated.
func (m *allocation) isResized() bool { return m.Allocated.On(m.pod) != m.pod }

// updateUsed computes what the pod takes from the node: what is allocated, or what it still
// has if that is more.
func (m *allocation) updateUsed() {
	pod := *m.Allocated.On(m.pod)
	if m.status != nil {
		pod.Status = *m.status
	}
	m.used = nil
	if !podfacts.Terminal(&pod) {
		m.used = helper.PodRequests(&pod, helper.PodResourcesOptions{UseStatusResources: true})
	}
}

// retryPending allocates to all pods with a pending resize, and to self, what fits. It wakes
// the workers of the others.
func (a *Allocations) retryPending(self *allocation) {
	var waiting []*allocation
	for _, m := range a.pods {
		if m.isResized() && m.used != nil && (m == self || m.pending != nil) {
			waiting = append(waiting, m)
		}
	}
	slices.SortFunc(waiting, before)
	for _, m := range waiting {
		if a.try(m) && m != self {
			m.worker.ResizeChanged()
		}
	}
}

// before orders pods as upstream: those that request less, then by priority, then guaranteed
// pods, then those that have waited longer.
func before(a, b *allocation) int {
	no := func(yes bool) int {
		if yes {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(no(!a.grows()), no(!b.grows())),
		cmp.Compare(podfacts.Priority(b.pod), podfacts.Priority(a.pod)),
		cmp.Compare(no(podfacts.QOSClass(a.pod) == v1.PodQOSGuaranteed), no(podfacts.QOSClass(b.pod) == v1.PodQOSGuaranteed)),
		cmp.Compare(no(a.pending != nil), no(b.pending != nil)),
		a.since.Compare(b.since),
		cmp.Compare(a.pod.UID, b.pod.UID),
	)
}

func (m *allocation) grows() bool {
	asked, has := m.requests()
	for _, name := range resizable {
		x, y := asked[name], has[name]
		if x.Cmp(y) > 0 {
			return true
		}
	}
	return false
}

// requests returns what a pod requests and what is allocated to it.
func (m *allocation) requests() (asked, allocated v1.ResourceList) {
	return helper.PodRequests(m.pod, helper.PodResourcesOptions{}), helper.PodRequests(m.Allocated.On(m.pod), helper.PodResourcesOptions{})
}

// pendingEvents are the reasons of the events of a resize that waits, by the condition's reason.
var pendingEvents = map[string]string{v1.PodReasonDeferred: "ResizeDeferred", v1.PodReasonInfeasible: "ResizeInfeasible"}

// try allocates to one pod what it requests, or sets its condition. It reports whether
// anything has changed.
func (a *Allocations) try(m *allocation) bool {
	asked, allocated := m.requests()
	reason, message := fits(asked, allocated, a.usedBesides(m), a.node.Allocatable())
	if reason == "" {
		m.Allocated, m.Began, m.pending, m.fault = sizesOf(m.pod), m.pod.Generation, nil, ""
		m.updateUsed()
		m.save()
		m.worker.Event(v1.EventTypeNormal, "ResizeStarted", Message("started", m.pod, m.pod.Generation, ""))
		return true
	}
	was := m.pending
	m.pending = &v1.PodCondition{
		Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: m.pod.Generation,
	}
	if was != nil && was.Reason == reason && was.ObservedGeneration == m.pod.Generation {
		return was.Message != message
	}
	if was == nil {
		m.since = time.Now()
	}
	m.worker.Event(v1.EventTypeWarning, pendingEvents[reason], Message(reason, m.pod, m.pod.Generation, message))
	return true
}

// usedBesides returns what all other pods of the node take.
func (a *Allocations) usedBesides(self *allocation) v1.ResourceList {
	sum := v1.ResourceList{}
	count := func(l v1.ResourceList) {
		for _, name := range resizable {
			q := sum[name].DeepCopy()
			q.Add(l[name])
			sum[name] = q
		}
	}
	for _, m := range a.pods {
		if m != self {
			count(m.used)
		}
	}
	bound, _ := a.node.BoundPods()
	for _, pod := range bound { // and those that have no worker yet
		if a.pods[pod.UID] == nil && !podspec.IsMirror(pod) && !podfacts.Terminal(pod) {
			count(helper.PodRequests(pod, helper.PodResourcesOptions{UseStatusResources: true}))
		}
	}
	return sum
}

// fits returns why what a pod requests cannot be allocated beside what others use: now
// (Deferred), or ever (Infeasible). A resource of which it requests no more than is allocated fits.
func fits(asked, allocated, usedByOthers, allocatable v1.ResourceList) (reason, message string) {
	for _, name := range resizable {
		want, has, used, most := asked[name], allocated[name], usedByOthers[name], allocatable[name]
		if want.Cmp(has) <= 0 {
			continue
		}
		units := units(name)
		if want.Cmp(most) > 0 {
			return v1.PodReasonInfeasible, fmt.Sprintf("Node didn't have enough capacity: %s, requested: %d, capacity: %d", name, units(want), units(most))
		}
		sum := want.DeepCopy()
		sum.Add(used)
		if sum.Cmp(most) > 0 && reason == "" {
			reason = v1.PodReasonDeferred
			message = fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, units(want), units(used), units(most))
		}
	}
	return reason, message
}

// load reads the record. A pod that was never resized has none.
func (m *allocation) load() {
	data, err := os.ReadFile(m.file)
	if err == nil {
		err = json.Unmarshal(data, &m.savedSizes)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("read the pod's allocation", "err", err)
		m.savedSizes = savedSizes{}
	}
}

// save writes the record, if there is one already or the pod is being resized.
func (m *allocation) save() {
	if _, err := os.Stat(m.file); err != nil && m.Began == 0 {
		return
	}
	data, err := json.Marshal(&m.savedSizes)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(m.file+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(m.file+".new", m.file)
	}
	if err != nil {
		m.log.Warn("record the pod's allocation", "err", err)
	}
}
