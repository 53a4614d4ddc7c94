// Package podautoscaler scales what a HorizontalPodAutoscaler names by what its pods
// use: every Sync it asks the metrics API, computes how many replicas would use as much
// as is wanted (replicas.go), steadies and bounds that (behavior.go), and writes the
// scale. It knows the metrics of resources; custom and external ones nobody serves.
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
)

const (
	// DefaultSync is how often each autoscaler is looked at.
	DefaultSync = 15 * time.Second
	// DefaultDownWindow is how long fewer replicas must have been enough.
	DefaultDownWindow = 5 * time.Minute
	// tolerated is how far from its target usage may be, as a share of it.
	tolerated = 0.1
)

// Config is what the controller works with.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  record.EventRecorder
	Sync      time.Duration // 0 is DefaultSync
	Log       *slog.Logger
}

// Controller scales.
type Controller struct {
	*loop.Loop[string]
	Config
	scalers  autoscalinglisters.HorizontalPodAutoscalerLister
	pods     listers.PodLister
	scales   scale.ScalesGetter
	mapper   *restmapper.DeferredDiscoveryRESTMapper
	patience patience
	now      func() time.Time

	mu      sync.Mutex
	history map[string]*history // by namespace/name
}

// New makes the controller; nothing runs before Run.
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
		scales:   scale.New(discovery.RESTClient(), mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(discovery)),
		patience: patience{initialization: 5 * time.Minute, readiness: 30 * time.Second},
		now:      time.Now, history: map[string]*history{},
	}
	c.Loop = loop.New(loop.Config[string]{Name: "horizontalpodautoscaler", Workers: 4, Reconcile: c.reconcile, Log: cfg.Log})
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

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

func (c *Controller) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.history, key)
}

func (c *Controller) historyOf(key string) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history[key] == nil {
		c.history[key] = &history{}
	}
	return c.history[key]
}

// reconcile looks at one autoscaler, and again after Sync. What fails is told in events
// and conditions, and tried again then.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	shared, err := c.scalers.HorizontalPodAutoscalers(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.AddAfter(key, c.Sync)
	h := shared.DeepCopy()
	if err := c.autoscale(ctx, key, h); err != nil {
		c.Log.Debug("an autoscaler could not do its work", "key", key, "error", err)
	}
	if equality.Semantic.DeepEqual(shared.Status, h.Status) {
		return nil
	}
	_, err = c.Client.AutoscalingV2().HorizontalPodAutoscalers(namespace).UpdateStatus(ctx, h, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

// autoscale brings the target to the replicas it should have, and says in h how it is.
func (c *Controller) autoscale(ctx context.Context, key string, h *autoscaling.HorizontalPodAutoscaler) error {
	target, update, err := c.target(ctx, h)
	if err != nil {
		c.Recorder.Event(h, v1.EventTypeWarning, "FailedGetScale", err.Error())
		c.set(h, autoscaling.AbleToScale, condition{false, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %v", err)})
		return err
	}
	c.set(h, autoscaling.AbleToScale, condition{true, "SucceededGetScale", "the HPA controller was able to get the target's current scale"})
	past, now := c.historyOf(key), c.now()
	past.forget(now)
	current := target.Spec.Replicas
	if len(past.recommended) == 0 {
		past.recommended = append(past.recommended, moment{now, current})
	}
	h.Status.CurrentReplicas = target.Status.Replicas
	want, why, err := c.wanted(ctx, h, target, past)
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

// wanted is how many replicas the target should have now, and why.
func (c *Controller) wanted(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, target *autoscalingv1.Scale, past *history) (int32, string, error) {
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
	v := past.settle(best.replicas, current, fewest, h.Spec.MaxReplicas, up, down, c.now())
	c.set(h, autoscaling.AbleToScale, v.able)
	c.set(h, autoscaling.ScalingLimited, condition{v.limited, v.limitReason, v.limitExplanation})
	if v.replicas > current {
		return v.replicas, best.name + " above target", err
	}
	return v.replicas, "All metrics below target", err
}

// measureAll is the metric that asks for most. Metrics that cannot be had hold back a
// scale-down, but no scale-up that another asks for.
func (c *Controller) measureAll(ctx context.Context, h *autoscaling.HorizontalPodAutoscaler, target *autoscalingv1.Scale) (*measured, error) {
	invalid := func(reason, text string) error {
		c.Recorder.Event(h, v1.EventTypeWarning, reason, text)
		c.set(h, autoscaling.ScalingActive, condition{false, reason, "the HPA target's scale is missing a selector"})
		return errors.New(text)
	}
	if target.Status.Selector == "" {
		return nil, invalid("InvalidSelector", "selector is required")
	}
	selector, err := labels.Parse(target.Status.Selector)
	if err != nil {
		return nil, invalid("InvalidSelector", fmt.Sprintf("couldn't convert selector into a corresponding internal selector object: %v", err))
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

// tolerances are those of the cluster, or the autoscaler's own.
func (c *Controller) tolerances(h *autoscaling.HorizontalPodAutoscaler) tolerances {
	t := tolerances{up: tolerated, down: tolerated}
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
