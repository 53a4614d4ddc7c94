// Package deployment brings the pods of a Deployment from one template to the next,
// through ReplicaSets: one for each template that the Deployment has had.
//
// It owns the ReplicaSets (their size, their annotations and their deletion) and the
// Deployment's status and revision. It never touches a pod: ReplicaSets do. The next
// step is decided in pure functions over a snapshot of the Deployment and its sets
// (decide); reconcile only reads the snapshot and writes the step.
package deployment

import (
	"errors"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// debounce is the minimum time between two reconciles of one Deployment.
const debounce = 20 * time.Millisecond

var kind = apps.SchemeGroupVersion.WithKind("Deployment")

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the deployment controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	deployments appslisters.DeploymentLister
	sets        appslisters.ReplicaSetLister
	pods        listers.PodLister
	now         func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	group, pods := cfg.Informers.Apps().V1(), cfg.Informers.Core().V1().Pods()
	c := &Controller{
		Config:      cfg,
		deployments: group.Deployments().Lister(),
		sets:        group.ReplicaSets().Lister(),
		pods:        pods.Lister(),
		now:         time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 5, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	return c, errors.Join(
		c.On(group.Deployments().Informer(), loop.Each(func(d *apps.Deployment) { c.AddSoon(loop.Key(d)) })),
		c.On(group.ReplicaSets().Informer(), loop.Changes(c.setChanged)),
		c.On(pods.Informer(), loop.Changes(c.podChanged)),
	)
}

// setChanged enqueues the Deployments that a change of a ReplicaSet concerns.
func (c *Controller) setChanged(old, now **apps.ReplicaSet) {
	var oldKey, key string
	if old != nil {
		oldKey, _ = podcontrol.OwnerKey(*old, kind)
	}
	if now != nil {
		key, _ = podcontrol.OwnerKey(*now, kind)
	}
	if oldKey != "" && oldKey != key {
		c.AddSoon(oldKey)
	}
	switch {
	case key != "":
		c.AddSoon(key)
	case now != nil && (oldKey != "" || old == nil || !labels.Equals((*old).Labels, (*now).Labels)):
		c.orphan(*now)
	}
}

// orphan enqueues the Deployments that could adopt rs.
func (c *Controller) orphan(rs *apps.ReplicaSet) {
	if metav1.GetControllerOfNoCopy(rs) == nil {
		podcontrol.EachSelecting(loop.All(c.Log, c.deployments.Deployments(rs.Namespace).List),
			func(d *apps.Deployment) *metav1.LabelSelector { return d.Spec.Selector }, rs.Labels, func(d *apps.Deployment) { c.AddSoon(loop.Key(d)) })
	}
}

// podChanged enqueues a Deployment of type Recreate when one of its pods is deleted or
// terminal: it creates new pods when no old one is left.
func (c *Controller) podChanged(old, now **v1.Pod) {
	if old == nil || now != nil && podfacts.Terminal(*old) == podfacts.Terminal(*now) {
		return
	}
	ref := metav1.GetControllerOfNoCopy(*old)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return
	}
	rs, err := c.sets.ReplicaSets((*old).Namespace).Get(ref.Name)
	if err != nil {
		return
	}
	ref = metav1.GetControllerOfNoCopy(rs)
	if ref == nil || ref.Kind != kind.Kind {
		return
	}
	if d, err := c.deployments.Deployments(rs.Namespace).Get(ref.Name); err == nil && d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		c.AddSoon(loop.Key(d))
	}
}
