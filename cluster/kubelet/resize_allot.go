package kubelet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// allotments are what the node has given to each of its pods. A pod that asks for another
// size gets it when it fits beside the others, and keeps what it has until then. What was
// given stands in a file of the pod's folder, for the next kubelet.
//
// One lock guards all, so that two pods are never given the same room.
type allotments struct {
	k    *Kubelet
	mu   sync.Mutex
	pods map[types.UID]*allotment
}

// allotment is one pod's.
type allotment struct {
	w       *worker
	pod     *v1.Pod         // as it asks
	status  *v1.PodStatus   // as last reported, nil if not yet
	holds   v1.ResourceList // what it counts for on the node
	pending *v1.PodCondition
	since   time.Time // when it began to wait
	fault   string    // why what was given cannot be had yet
	sizeRecord
}

// sizeRecord is what stands in the file.
type sizeRecord struct {
	Given  sizes                 `json:"given,omitempty"`  // nil: what it asked for when it came
	Actual map[string]actualSize `json:"actual,omitempty"` // by container name
	// Began is the generation whose size was given last, zero when the containers have it.
	Began int64 `json:"began,omitempty"`
}

// decision is what a worker has to know of its pod's allotment.
type decision struct {
	pod      *v1.Pod // with the size that was given
	pending  *v1.PodCondition
	progress *v1.PodCondition
	actual   map[string]actualSize
	began    int64
	again    time.Duration
}

const (
	pendingRetry = 30 * time.Second // nothing is known to have become free
	syncRetry    = 200 * time.Millisecond
)

func newAllotments(k *Kubelet) *allotments {
	return &allotments{k: k, pods: map[types.UID]*allotment{}}
}

// add takes a pod up. One that another kubelet has run is what that one made of it.
func (a *allotments) add(w *worker, pod *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &allotment{w: w, pod: pod, sizeRecord: w.readSizes()}
	if m.Given == nil {
		m.Given = reported(pod)
	}
	for name, size := range sizesOf(pod) {
		if _, ok := m.Given[name]; !ok {
			m.Given[name] = size
		}
	}
	if m.Actual == nil {
		m.Actual = map[string]actualSize{}
	}
	m.hold()
	a.pods[pod.UID] = m
}

// remove forgets a pod of which nothing is left.
func (a *allotments) remove(w *worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[w.podUID()]; m != nil && m.w == w {
		delete(a.pods, w.podUID())
		a.review(nil)
	}
}

// settle has a pod that ends want no more than it was given.
func (a *allotments) settle(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[uid]; m != nil {
		m.pod, m.pending = m.Given.on(m.pod), nil
	}
}

// decide looks at a pod as it is now, and gives it what it asks for if that fits.
func (a *allotments) decide(pod *v1.Pod) decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.pods[pod.UID]
	if m == nil {
		return decision{pod: pod}
	}
	m.pod = pod
	d := decision{}
	switch {
	case !m.asksForMore():
		m.pending = nil
	case !a.k.informers.synced(): // not all others are known
		d.again = syncRetry
	default:
		a.review(m)
		if m.pending != nil {
			d.again = pendingRetry
		}
	}
	m.hold()
	d.pod, d.pending, d.actual, d.began = m.Given.on(pod), m.pending, maps.Clone(m.Actual), m.Began
	if m.Began != 0 {
		d.progress = &v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue, ObservedGeneration: m.Began, Message: m.fault}
		if m.fault != "" {
			d.progress.Reason = v1.PodReasonError
		}
	}
	return d
}

// given is a pod with the size that it was given.
func (a *allotments) given(pod *v1.Pod) *v1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[pod.UID]; m != nil {
		return m.Given.on(pod)
	}
	return pod
}

// seen takes note of the status that is being reported: what a pod has given up others
// may have.
func (a *allotments) seen(uid types.UID, status *v1.PodStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.pods[uid]
	if m == nil {
		return
	}
	before := m.holds
	m.status = status
	m.hold()
	for _, name := range resizable {
		had, has := before[name], m.holds[name]
		if has.Cmp(had) < 0 {
			a.review(nil)
			return
		}
	}
}

// started notes the size that a container was made with.
func (a *allotments) started(uid types.UID, name, id string, size *v1.ResourceRequirements) {
	a.change(uid, func(m *allotment) { m.Actual[name] = actualSize{id, *size.DeepCopy()} })
}

// failed notes why containers cannot have what was given to them; first tells whether
// that is news.
func (a *allotments) failed(uid types.UID, fault string) (first bool) {
	a.change(uid, func(m *allotment) { first, m.fault = m.fault == "", fault })
	return first
}

// finished notes that all containers have what they were given.
func (a *allotments) finished(uid types.UID) {
	a.change(uid, func(m *allotment) {
		m.Began, m.fault = 0, ""
	})
}

func (a *allotments) change(uid types.UID, f func(*allotment)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.pods[uid]; m != nil {
		f(m)
		m.save()
	}
}

// asksForMore, or for less: for another size than it was given.
func (m *allotment) asksForMore() bool { return m.Given.on(m.pod) != m.pod }

// hold counts what the pod takes from the node: what it was given, or still has if that
// is more.
func (m *allotment) hold() {
	pod := *m.Given.on(m.pod)
	if m.status != nil {
		pod.Status = *m.status
	}
	m.holds = nil
	if !podfacts.Terminal(&pod) {
		m.holds = helper.PodRequests(&pod, helper.PodResourcesOptions{UseStatusResources: true})
	}
}

// review gives all pods that ask for another size what fits. The worker of self knows.
func (a *allotments) review(self *allotment) {
	var waiting []*allotment
	for _, m := range a.pods {
		if m.asksForMore() && m.holds != nil && (m == self || m.pending != nil) {
			waiting = append(waiting, m)
		}
	}
	slices.SortFunc(waiting, before)
	for _, m := range waiting {
		if a.try(m) && m != self {
			m.w.notifyNow()
			m.w.notify()
		}
	}
}

// before says whose turn it is first, as upstream: who asks for less, then by priority,
// then who is promised all that it may use, then who has waited longer.
func before(a, b *allotment) int {
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

func (m *allotment) grows() bool {
	asked, has := m.requests()
	for _, name := range resizable {
		x, y := asked[name], has[name]
		if x.Cmp(y) > 0 {
			return true
		}
	}
	return false
}

// requests are what a pod asks for and what it was given.
func (m *allotment) requests() (asked, given v1.ResourceList) {
	return helper.PodRequests(m.pod, helper.PodResourcesOptions{}), helper.PodRequests(m.Given.on(m.pod), helper.PodResourcesOptions{})
}

// try gives one pod what it asks for, or says why not. It tells whether anything is new.
func (a *allotments) try(m *allotment) bool {
	asked, given := m.requests()
	reason, message := fits(asked, given, a.heldBy(m), a.k.allocatable())
	if reason == "" {
		m.Given, m.Began, m.pending, m.fault = sizesOf(m.pod), m.pod.Generation, nil, ""
		m.hold()
		m.save()
		m.w.podEvent(v1.EventTypeNormal, "ResizeStarted", resizeMessage("started", m.pod, m.pod.Generation, ""))
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
	m.w.podEvent(v1.EventTypeWarning, "Resize"+reason, resizeMessage(reason, m.pod, m.pod.Generation, message))
	return true
}

// heldBy is what all other pods of the node hold.
func (a *allotments) heldBy(self *allotment) v1.ResourceList {
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
			count(m.holds)
		}
	}
	for _, pod := range a.k.informers.known() { // and those that have no worker yet
		if a.pods[pod.UID] == nil && !podspec.IsMirror(pod) && !podfacts.Terminal(pod) {
			count(helper.PodRequests(pod, helper.PodResourcesOptions{UseStatusResources: true}))
		}
	}
	return sum
}

// fits says why a pod cannot have what it asks for, beside what others hold: now, or
// ever. What it asks no more of than it was given it can have.
func fits(asked, given, held, allocatable v1.ResourceList) (reason, message string) {
	for _, name := range resizable {
		want, has, used, most := asked[name], given[name], held[name], allocatable[name]
		if want.Cmp(has) <= 0 {
			continue
		}
		units := resizeUnits(name)
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

// sizesFile keeps a pod's record. A pod that was never resized has none.
func (w *worker) sizesFile() string { return filepath.Join(w.dir, "sizes.json") }

func (w *worker) readSizes() (r sizeRecord) {
	data, err := os.ReadFile(w.sizesFile())
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("read what the pod was given", "error", err)
		return sizeRecord{}
	}
	return r
}

// save writes the record, if there is one already or the pod is being resized.
func (m *allotment) save() {
	path := m.w.sizesFile()
	if _, err := os.Stat(path); err != nil && m.Began == 0 {
		return
	}
	data, err := json.Marshal(&m.sizeRecord)
	if err == nil {
		err = os.MkdirAll(m.w.dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		m.w.log.Warn("keep what the pod was given", "error", err)
	}
}
