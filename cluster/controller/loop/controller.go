package loop

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
)

// Shared is what every controller is given. Package controller fills it from the
// controller's row.
type Shared struct {
	Controller string // its name in logs and health
	Client     kubernetes.Interface
	Informers  *client.SharedInformers
	Recorder   record.EventRecorder // with the controller's event source
	Log        *slog.Logger         // nil is slog.Default
}

// IgnoreNotFound returns err, or nil if the error is that the object does not exist: it was
// deleted, and a reconcile has nothing left to do.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// All returns all objects of a lister. A handler has no caller to return an error to, so
// an error is logged; the lister of a cache returns none.
func All[T any](log *slog.Logger, list func(labels.Selector) ([]T, error)) []T {
	all, err := list(labels.Everything())
	if err != nil {
		log.Error("list from the informer's cache", "err", err)
	}
	return all
}

// Runner is a loop, whatever its keys are.
type Runner interface {
	Run(ctx context.Context) error
	Healthy() error
}

// RunAll runs several loops of one controller until ctx ends, and joins their errors.
func RunAll(ctx context.Context, loops ...Runner) error {
	errs := make([]error, len(loops))
	var wg sync.WaitGroup
	for i, l := range loops {
		wg.Go(func() { errs[i] = l.Run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
