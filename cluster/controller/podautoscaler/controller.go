// Package podautoscaler scales the target of a HorizontalPodAutoscaler by the usage of its
// pods: every Sync it reads the metrics API, computes how many replicas meet the target
// usage (replicas.go), stabilizes and bounds that (behavior.go), and writes the scale.
//
// It reads resource metrics only; no server here has custom or external ones. It never
// creates or deletes a pod: the target's controller does.
package podautoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"

	"wheelhouse/cluster/controller/loop"
)

const (
	// DefaultSync is how often each autoscaler is reconciled.
	DefaultSync = 15 * time.Second
	// DefaultDownWindow is the stabilization window for scaling down.
	DefaultDownWindow = 5 * time.Minute
	// defaultTolerance is by how much usage may differ from its target, relative to it.
	defaultTolerance = 0.1
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Sync time.Duration // 0 is DefaultSync
}

// Controller is the HorizontalPodAutoscaler controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	scalers autoscalinglisters.HorizontalPodAutoscalerLister
	pods    listers.PodLister
	scales  scale.ScalesGetter
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	startup startup
	now     func() time.Time

	mu        sync.Mutex
	history   map[string]*history // by namespace/name
	selectors selectors
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Sync == 0 {
		cfg.Sync = DefaultSync
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	scalers, pods := cfg.Informers.Autoscaling().V2().HorizontalPodAutoscalers(), cfg.Informers.Core().V1().Pods()
	discovery := cfg.Client.Discovery()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery))
	c := &Controller{
		Config: cfg, scalers: scalers.Lister(), pods: pods.Lister(), mapper: mapper,
		scales:  scale.New(discovery.RESTClient(), mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(discovery)),
		startup: startup{initialization: 5 * time.Minute, readiness: 30 * time.Second},
		now:     time.Now, history: map[string]*history{}, selectors: selectors{},
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 4, Reconcile: c.reconcile, Log: cfg.Log})
	c.Need(pods.Informer())
	return c, c.On(scalers.Informer(), loop.Changes(func(old, now **autoscaling.HorizontalPodAutoscaler) {
		switch {
		case now == nil:
			c.forget(loop.Key(*old))
		case old == nil || !equality.Semantic.DeepEqual((*old).Spec, (*now).Spec):
			c.Add(loop.Key(*now))
		}
	}))
}

func (c *Controller) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.history, key)
	c.selectors.forget(loop.Split(key))
}

func (c *Controller) historyOf(key string) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history[key] == nil {
		c.history[key] = &history{}
	}
	return c.history[key]
}

// reconcile scales the target of one autoscaler, and requeues it after Sync. Failures are in
// events and conditions, and retried then.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	shared, err := c.scalers.HorizontalPodAutoscalers(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	defer c.AddAfter(key, c.Sync)
	h := shared.DeepCopy()
	if err := c.autoscale(ctx, key, h); err != nil {
		c.Log.Debug("autoscaling failed", "key", key, "err", err)
	}
	if equality.Semantic.DeepEqual(shared.Status, h.Status) {
		return nil
	}
	_, err = c.Client.AutoscalingV2().HorizontalPodAutoscalers(namespace).UpdateStatus(ctx, h, metav1.UpdateOptions{})
	if loop.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

// autoscale sets the replicas of the target, and the status of h.
func (c *Controller) autoscale(ctx context.Context, key string, h *autoscaling.HorizontalPodAutoscaler) error {
	target, update, err := c.target(ctx, h)
	if err != nil {
		c.Recorder.Event(h, v1.EventTypeWarning, "FailedGetScale", err.Error())
		c.set(h, autoscaling.AbleToScale, condition{false, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %v", err)})
		return err
	}
	c.set(h, autoscaling.AbleToScale, condition{true, "SucceededGetScale", "the HPA controller was able to get the target's current scale"})
	past, now := c.historyOf(key), c.now()
	past.expire(now)
	current := target.Spec.Replicas
	if len(past.recommended) == 0 {
		past.recommended = append(past.recommended, moment{now, current})
	}
	h.Status.CurrentReplicas = target.Status.Replicas
	want, why, err := c.desiredReplicas(ctx, h, target, past)
	h.Status.DesiredReplicas = want
	if want == current {
		return err
	}
	target.Spec.Replicas = want
	if failed := update(target); failed != nil {
		c.Recorder.Eventf(h, v1.EventTypeWarning, "FailedRescale", "New size: %d; reason: %s; error: %v", want, why, failed)
		c.set(h, autoscaling.AbleToScale, condition{false, "FailedUpdateScale", fmt.Sprintf("the HPA controller was unable to update the target scale: %v", failed)})
		h.Status.DesiredReplicas = current
		return failed
	}
	c.set(h, autoscaling.AbleToScale, condition{true, "SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", want)})
	c.Recorder.Eventf(h, v1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", want, why)
	past.scaled(current, want, now)
	at := metav1.NewTime(now)
	h.Status.LastScaleTime = &at
	return err
}

// desiredReplicas returns how many replicas the target should have now, and why.
func (c *Controller) desiredReplicas(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, target *autoscalingv1.Scale, past *history) (int32, string, error) {
	current, fewest := target.Spec.Replicas, int32(1)
	if h.Spec.MinReplicas != nil {
		fewest = *h.Spec.MinReplicas
	}
	switch {
	case current == 0 && fewest != 0:
		h.Status.CurrentMetrics = nil
		c.set(h, autoscaling.ScalingActive, condition{false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero"})
		return 0, "", nil
	case current > h.Spec.MaxReplicas:
		return h.Spec.MaxReplicas, "Current number of replicas above Spec.MaxReplicas", nil
	case current < fewest:
		return fewest, "Current number of replicas below Spec.MinReplicas", nil
	}
	best, err := c.measureAll(ctx, h, target)
	if best == nil {
		c.Recorder.Event(h, v1.EventTypeWarning, "FailedComputeMetricsReplicas", err.Error())
		return current, "", err
	}
	up, down := behavior(h.Spec.Behavior, DefaultDownWindow)
	v := past.stabilize(best.replicas, current, fewest, h.Spec.MaxReplicas, up, down, c.now())
	c.set(h, autoscaling.AbleToScale, v.able)
	c.set(h, autoscaling.ScalingLimited, condition{v.limited, v.limitReason, v.limitExplanation})
	if v.replicas > current {
		return v.replicas, best.name + " above target", err
	}
	return v.replicas, "All metrics below target", err
}

// measureAll returns the metric with the most replicas. Metrics that cannot be read prevent a
// scale-down, but not a scale-up because of another.
func (c *Controller) measureAll(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, target *autoscalingv1.Scale) (*measured, error) {
	invalid := func(reason, text, detail string) error {
		c.Recorder.Event(h, v1.EventTypeWarning, reason, text)
		c.set(h, autoscaling.ScalingActive, condition{false, "InvalidSelector", detail})
		return errors.New(text)
	}
	if target.Status.Selector == "" {
		return nil, invalid("SelectorRequired", "selector is required", "the HPA target's scale is missing a selector")
	}
	selector, err := labels.Parse(target.Status.Selector)
	if err != nil {
		text := fmt.Sprintf("couldn't convert selector into a corresponding internal selector object: %v", err)
		return nil, invalid("InvalidSelector", text, text)
	}
	if err := c.checkAmbiguous(h, target.Status.Selector, selector); err != nil {
		return nil, err
	}
	var best *measured
	var first error
	failed := 0
	statuses := make([]autoscaling.MetricStatus, 0, len(h.Spec.Metrics))
	for i := range h.Spec.Metrics {
		m, err := c.measure(ctx, h, &h.Spec.Metrics[i], target.Spec.Replicas, selector)
		if err != nil {
			failed++
			var f *failure
			if errors.As(err, &f) {
				c.Recorder.Event(h, v1.EventTypeWarning, f.reason, err.Error())
			}
			if first == nil {
				first = err
			}
			continue
		}
		statuses = append(statuses, m.status)
		if best == nil || m.replicas > best.replicas {
			best = &m
		}
	}
	h.Status.CurrentMetrics = statuses
	if first != nil && (best == nil || best.replicas < target.Spec.Replicas) {
		var f *failure
		if errors.As(first, &f) {
			c.set(h, autoscaling.ScalingActive, condition{false, f.reason, fmt.Sprintf("the HPA was unable to compute the replica count: %v", first)})
		}
		return nil, fmt.Errorf("invalid metrics (%v invalid out of %v), first error is: %w", failed, len(h.Spec.Metrics), first)
	}
	if best != nil {
		c.set(h, autoscaling.ScalingActive, condition{true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from " + best.name})
	}
	return best, first
}

// checkAmbiguous is an error if pods that a selector matches are also those of another
// autoscaler: the two would scale against each other.
func (c *Controller) checkAmbiguous(h *autoscaling.HorizontalPodAutoscaler, text string, s labels.Selector) error {
	pods, err := c.pods.Pods(h.Namespace).List(s)
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	names := c.selecting(h, s, pods)
	if len(names) < 2 {
		return nil
	}
	message := fmt.Sprintf("pods by selector %v are controlled by multiple HPAs: %v", text, names)
	c.Recorder.Event(h, v1.EventTypeWarning, "AmbiguousSelector", message)
	c.set(h, autoscaling.ScalingActive, condition{false, "AmbiguousSelector", message})
	return errors.New(message)
}

// tolerances returns the autoscaler's own, or the default.
func (c *Controller) tolerances(h *autoscaling.HorizontalPodAutoscaler) tolerances {
	t := tolerances{up: defaultTolerance, down: defaultTolerance}
	if b := h.Spec.Behavior; b != nil {
		if b.ScaleUp != nil && b.ScaleUp.Tolerance != nil {
			t.up = b.ScaleUp.Tolerance.AsApproximateFloat64()
		}
		if b.ScaleDown != nil && b.ScaleDown.Tolerance != nil {
			t.down = b.ScaleDown.Tolerance.AsApproximateFloat64()
		}
	}
	return t
}
