// Package deployment brings the pods of a Deployment from one template to the next,
// through ReplicaSets: one for each template that the Deployment has had.
//
// It owns the ReplicaSets (their size, their annotations and their end) and the
// Deployment's status and revision. It never touches a pod: ReplicaSets do. What
// to do next is decided in pure functions over a view of the Deployment and its sets
// (decide); reconcile only reads the view and writes the answer.
package deployment

import (
	"errors"
	"log/slog"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// settle is how long changes of a Deployment's sets are gathered into one reconcile.
const settle = 20 * time.Millisecond

var kind = apps.SchemeGroupVersion.WithKind("Deployment")

// Controller is made with New.
type Controller struct {
	*loop.Loop[string]
	client      kubernetes.Interface
	deployments appslisters.DeploymentLister
	sets        appslisters.ReplicaSetLister
	pods        listers.PodLister
	recorder    record.EventRecorder
	now         func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	group := f.Apps().V1()
	c := &Controller{
		client:      client,
		deployments: group.Deployments().Lister(),
		sets:        group.ReplicaSets().Lister(),
		pods:        f.Core().V1().Pods().Lister(),
		recorder:    recorder,
		now:         time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: "deployment", Workers: 5, Reconcile: c.reconcile, Log: log, Period: settle})
	return c, errors.Join(
		c.On(group.Deployments().Informer(), loop.Each(func(d *apps.Deployment) { c.AddSoon(loop.Key(d)) })),
		c.On(group.ReplicaSets().Informer(), loop.Changes(c.setChanged)),
		c.On(f.Core().V1().Pods().Informer(), loop.Changes(c.podChanged)),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// setChanged finds the Deployments that a change of a ReplicaSet concerns.
func (c *Controller) setChanged(old, now **apps.ReplicaSet) {
	var was, is string
	if old != nil {
		was = ownerKey(*old)
	}
	if now != nil {
		is = ownerKey(*now)
	}
	if was != "" && was != is {
		c.AddSoon(was)
	}
	switch {
	case is != "":
		c.AddSoon(is)
	case now != nil && (was != "" || old == nil || !labels.Equals((*old).Labels, (*now).Labels)):
		c.orphan(*now)
	}
}

// orphan wakes the Deployments that could adopt rs.
func (c *Controller) orphan(rs *apps.ReplicaSet) {
	if metav1.GetControllerOfNoCopy(rs) != nil {
		return
	}
	all, err := c.deployments.Deployments(rs.Namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, d := range all {
		s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err == nil && !s.Empty() && s.Matches(labels.Set(rs.Labels)) {
			c.AddSoon(loop.Key(d))
		}
	}
}

// podChanged is of interest for Deployments that wait until the last old pod is gone.
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
	d, err := c.deployments.Deployments(rs.Namespace).Get(ref.Name)
	if err == nil && d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		c.AddSoon(loop.Key(d))
	}
}

func ownerKey(rs *apps.ReplicaSet) string {
	ref := metav1.GetControllerOfNoCopy(rs)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return ""
	}
	return rs.Namespace + "/" + ref.Name
}
