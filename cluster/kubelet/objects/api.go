// Package objects reads the ConfigMaps and Secrets that the pods of a node refer to. It
// never writes, and keeps no object longer than maxAge. What it returns is shared: the
// caller must not change it.
package objects

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Timeout bounds one request.
const Timeout = 10 * time.Second

// Getter reads the objects that environments and volumes refer to.
type Getter interface {
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
}

// Missing is the error of a referenced object in upstream's words.
func Missing(kind, name string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %q not found", kind, name)
	}
	return fmt.Errorf("get %s %q: %w", kind, name, err)
}

// API is a Getter that reads from the API server each time.
type API struct{ Client kubernetes.Interface }

// ConfigMap implements Getter.
func (a API) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return a.Client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Secret implements Getter.
func (a API) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return a.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}
