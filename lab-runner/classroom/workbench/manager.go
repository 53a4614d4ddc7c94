package workbench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Namespace is that of all workbenches; those of the labs are Learner.Namespace.
const Namespace = "wheelhouse-workbenches"

// Image is the workbench's, which `make images` builds.
const Image = "wheelhouse/workbench:latest"

// learnerLabel names the learner of an object.
const learnerLabel = "wheelhouse/learner"

// How many objects, and pods of a learner, are read at once: an administrator of the cluster may have made any number.
const (
	most     = 100
	mostPods = 10
)

// streamsEach bounds the streams into one workbench at a time.
const streamsEach = 8

// Refusal is an error in words for the learner: why there is no workbench for them now.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// Config is what a Manager needs.
type Config struct {
	REST  *rest.Config // of an administrator
	Image string       // empty: Image
	// Administrator says that the cluster is the learner's own: they may do everything in it, and it has no bounds for them.
	Administrator bool
	// Gives names the requirements of labs that are met; nil: those that a namespace of a class meets.
	Gives []string
	Ready time.Duration // how long Ensure waits for the pod, and Remove for its end; 0: two minutes
}

// Manager makes and removes workbenches. Make it with New.
type Manager struct {
	cfg    Config
	client kubernetes.Interface

	mu      sync.Mutex
	shared  bool           // what all workbenches share is there
	streams map[string]int // by the learner's ID
}

// New returns the Manager of a cluster. It asks the cluster for nothing.
func New(cfg Config) (*Manager, error) {
	if cfg.Image == "" {
		cfg.Image = Image
	}
	if cfg.Ready == 0 {
		cfg.Ready = 2 * time.Minute
	}
	own := rest.CopyConfig(cfg.REST)
	own.QPS = -1 // forty learners come at a time
	own.WarningHandler = rest.NoWarnings{}
	cfg.REST = own
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("the cluster of the workbenches: %w", err)
	}
	return &Manager{cfg: cfg, client: client, streams: map[string]int{}}, nil
}

var id = regexp.MustCompile(`^[a-z0-9]{8}$`)

// valid returns an error for a learner whose names could mean other objects.
func valid(l Learner) error {
	if !id.MatchString(l.ID) || l.Namespace != "learner-"+l.ID {
		return fmt.Errorf("%q in namespace %q is no learner: want eight of a-z and 0-9, and the namespace learner-ID", l.ID, l.Namespace)
	}
	return nil
}

// Ensure makes what the learner's workbench consists of, or puts it right, and returns when its pod is ready. What
// another namespace of that name holds is not touched: that is an error.
func (m *Manager) Ensure(ctx context.Context, l Learner) error {
	if err := valid(l); err != nil {
		return err
	}
	ns, err := m.client.CoreV1().Namespaces().Get(ctx, l.Namespace, metav1.GetOptions{})
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("looking for the learner's namespace: %w", err)
	case err == nil && ns.Labels[learnerLabel] != l.ID:
		return fmt.Errorf("there is a namespace %s, and it is not of this class: remove it, or use another cluster", l.Namespace)
	case err == nil && ns.DeletionTimestamp != nil:
		return fmt.Errorf("namespace %s is being removed: join again in a minute", l.Namespace)
	}
	if err := m.apply(ctx, l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Ready)
	defer cancel()
	return m.awaitPod(ctx, l)
}

// awaitPod returns when the learner's pod is ready.
func (m *Manager) awaitPod(ctx context.Context, l Learner) error {
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		_, err := m.pod(ctx, l)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the workbench of %s: %w: %w", l.ID, err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

var errNoPod = errors.New("there is no pod yet")

// pod returns the name of the learner's pod, which is ready; else an error that says what was seen of it.
func (m *Manager) pod(ctx context.Context, l Learner) (string, error) {
	pods, err := m.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: learnerLabel + "=" + l.ID, Limit: mostPods})
	if err != nil {
		return "", err
	}
	seen := errNoPod
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return p.Name, nil
			}
			if c.Status != corev1.ConditionTrue && c.Message != "" {
				seen = fmt.Errorf("pod %s is %s: %s", p.Name, p.Status.Phase, c.Message)
			}
		}
		for _, s := range p.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil {
				seen = fmt.Errorf("pod %s waits: %s %s", p.Name, w.Reason, w.Message)
			}
		}
	}
	return "", seen
}

// Remove removes the learner's workbench, home and namespace, and waits until they are gone. What is not there is no error.
func (m *Manager) Remove(ctx context.Context, l Learner) error {
	if err := valid(l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Ready)
	defer cancel()
	own := metav1.ListOptions{LabelSelector: learnerLabel + "=" + l.ID}
	now := *metav1.NewDeleteOptions(0)
	background := metav1.DeletePropagationBackground
	now.PropagationPolicy = &background
	var errs []error
	for what, remove := range map[string]func() error{
		"deployment": func() error { return m.client.AppsV1().Deployments(Namespace).DeleteCollection(ctx, now, own) },
		"pod":        func() error { return m.client.CoreV1().Pods(Namespace).DeleteCollection(ctx, now, own) },
		"claim": func() error {
			return m.client.CoreV1().PersistentVolumeClaims(Namespace).DeleteCollection(ctx, now, own)
		},
		"config map": func() error { return m.client.CoreV1().ConfigMaps(Namespace).DeleteCollection(ctx, now, own) },
		"account":    func() error { return m.client.CoreV1().ServiceAccounts(Namespace).DeleteCollection(ctx, now, own) },
		"policy": func() error {
			return m.client.NetworkingV1().NetworkPolicies(Namespace).DeleteCollection(ctx, now, own)
		},
	} {
		if err := remove(); err != nil {
			errs = append(errs, fmt.Errorf("removing the %s of %s: %w", what, l.ID, err))
		}
	}
	if err := m.removeNamespace(ctx, l); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeNamespace removes the namespace of the learner's labs and waits until it is gone. One of another class is left.
func (m *Manager) removeNamespace(ctx context.Context, l Learner) error {
	namespaces := m.client.CoreV1().Namespaces()
	ns, err := namespaces.Get(ctx, l.Namespace, metav1.GetOptions{})
	if err == nil && ns.Labels[learnerLabel] != l.ID {
		return nil
	}
	if err == nil {
		err = namespaces.Delete(ctx, l.Namespace, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(ns.UID))})
	}
	if err == nil { // the programs of labs have a second to end
		err = m.client.CoreV1().Pods(l.Namespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(1), metav1.ListOptions{})
	}
	for err == nil {
		_, err = namespaces.Get(ctx, l.Namespace, metav1.GetOptions{})
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %s is not gone: %w", l.Namespace, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("removing namespace %s: %w", l.Namespace, err)
}
