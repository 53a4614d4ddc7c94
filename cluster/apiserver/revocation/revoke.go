package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// kept is how long an entry about a node stays: no certificate is valid for longer.
const kept = 366 * 24 * time.Hour

// RevokeNode adds all certificates of a node that have been issued until now to the list,
// by the clock of the API server.
func RevokeNode(ctx context.Context, c kubernetes.Interface, node string) error {
	now, err := serverTime(ctx, c)
	if err != nil {
		return err
	}
	return revoke(ctx, c, NodePrefix+node, now)
}

// RevokeSerial adds one certificate to the list, by its serial number in hexadecimal.
func RevokeSerial(ctx context.Context, c kubernetes.Interface, serial string) error {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(serial), "0x"), ":", ""), 16)
	if !ok || n.Sign() <= 0 {
		return fmt.Errorf("%q is no serial number: want hexadecimal digits", serial)
	}
	now, err := serverTime(ctx, c)
	if err != nil {
		return err
	}
	return revoke(ctx, c, fmt.Sprintf("%s%x", SerialPrefix, n), now)
}

// serverTime returns the time of the API server, to the next second: certificates were issued
// by its clock.
func serverTime(ctx context.Context, c kubernetes.Interface) (time.Time, error) {
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: Name + "-"}}
	made, err := c.CoreV1().ConfigMaps(Namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the time of the API server: %w", err)
	}
	return made.CreationTimestamp.Add(time.Second), nil
}

func revoke(ctx context.Context, c kubernetes.Interface, key string, now time.Time) error {
	maps := c.CoreV1().ConfigMaps(Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		m, err := maps.Get(ctx, Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			m = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name}, Data: map[string]string{key: now.UTC().Format(time.RFC3339)}}
			if _, err = maps.Create(ctx, m, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
				err = apierrors.NewConflict(corev1.Resource("configmaps"), Name, errors.New("it has just been created"))
			}
			return err
		}
		if err != nil {
			return err
		}
		if m.Data == nil {
			m.Data = map[string]string{}
		}
		for k, v := range m.Data {
			if at, err := time.Parse(time.RFC3339, v); err == nil && at.Add(kept).Before(now) {
				delete(m.Data, k)
			}
		}
		m.Data[key] = now.UTC().Format(time.RFC3339)
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the revoked certificates: %w", err)
	}
	return nil
}

// Entries returns the list: what was revoked at what time.
func Entries(ctx context.Context, c kubernetes.Interface) (map[string]string, error) {
	m, err := c.CoreV1().ConfigMaps(Namespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the revoked certificates: %w", err)
	}
	return m.Data, nil
}
