package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/kubelet/podspec"
)

// reporter sends one pod's status to the API server when it differs from what
// the server has. A server that does not answer never holds up the worker: only
// the latest status waits.
type reporter struct {
	client kubernetes.Interface
	log    *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex
	known  *v1.Pod // as the server has it
	want   *v1.PodStatus
	idle   chan struct{} // closed while nothing waits to be sent
	isIdle bool
}

func newReporter(client kubernetes.Interface, log *slog.Logger) *reporter {
	r := &reporter{client: client, log: log, wake: make(chan struct{}, 1), idle: make(chan struct{}), isIdle: true}
	close(r.idle)
	return r
}

// record records the server's pod.
func (r *reporter) record(pod *v1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || newer(pod, r.known) && !podspec.IsStatic(pod) {
		r.known = pod
	}
}

// status is the newest status of the server.
func (r *reporter) status(pod *v1.Pod) v1.PodStatus {
	r.record(pod)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.Status
}

// newer compares resource versions, which are numbers that grow.
func newer(a, b *v1.Pod) bool {
	x, errX := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, errY := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return errX != nil || errY != nil || x > y
}

// report queues a status, after the first call of record.
func (r *reporter) report(status v1.PodStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = &status
	if r.isIdle && !equality.Semantic.DeepEqual(r.known.Status, status) {
		r.isIdle, r.idle = false, make(chan struct{})
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// flush waits until all is sent.
func (r *reporter) flush(ctx context.Context) error {
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reporter) run(ctx context.Context) {
	retry := time.Duration(0)
	for {
		var timer <-chan time.Time
		if retry > 0 {
			timer = time.After(retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer:
		}
		if err := r.send(ctx); err != nil && ctx.Err() == nil {
			retry = min(max(2*retry, 200*time.Millisecond), 10*time.Second)
			r.log.Warn("report the pod's status", "err", err, "retry", retry)
			continue
		}
		retry = 0
	}
}

// send patches what differs. Conditions are merged by type, so those of others
// are left alone.
func (r *reporter) send(ctx context.Context) error {
	for {
		r.mu.Lock()
		known, want := r.known, r.want
		if want == nil || known == nil || podspec.IsStatic(known) || equality.Semantic.DeepEqual(known.Status, *want) {
			r.settle()
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		patch, err := statusPatch(known, want)
		if err != nil {
			return err
		}
		got, err := r.client.CoreV1().Pods(known.Namespace).Patch(ctx, known.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			// The pod is gone, or another one has its name.
			r.mu.Lock()
			r.want = nil
			r.settle()
			r.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		if newer(got, r.known) {
			r.known = got
		}
		done := r.want == want
		if done {
			// The answer of the server is final: it is not sent again.
			r.want = nil
			r.settle()
		}
		r.mu.Unlock()
		if done {
			return nil
		}
	}
}

// settle records that nothing waits; mu is held.
func (r *reporter) settle() {
	if !r.isIdle {
		r.isIdle = true
		close(r.idle)
	}
}

// statusPatch is the difference, for this very pod only.
func statusPatch(known *v1.Pod, want *v1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(v1.Pod{Status: known.Status})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	after, err := json.Marshal(v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: known.UID}, Status: *want})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, v1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("compute the status patch: %w", err)
	}
	return patch, nil
}
