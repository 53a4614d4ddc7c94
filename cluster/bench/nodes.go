package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// SimulateNodes registers n Ready nodes of 64 CPUs, reports every pod that is bound to one
// of them as Running, and lets go of those that are deleted, until ctx ends.
func SimulateNodes(ctx context.Context, client kubernetes.Interface, n int) error {
	for i := range n {
		if err := simulateNode(ctx, client, i); err != nil {
			return fmt.Errorf("registering a simulated node: %w", err)
		}
	}
	w, err := client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	bound := make(chan *corev1.Pod, 100_000)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for p := range bound {
				if p.DeletionTimestamp != nil {
					finalizeDeletion(ctx, client, p)
				} else {
					reportRunning(ctx, client, p)
				}
			}
		})
	}
	go func() {
		defer workers.Wait()
		defer close(bound)
		for ev := range w.ResultChan() {
			p, ok := ev.Object.(*corev1.Pod)
			if ok && ev.Type != watch.Deleted && p.Spec.NodeName != "" && (p.Status.Phase == corev1.PodPending || p.DeletionTimestamp != nil) {
				bound <- p
			}
		}
	}()
	return nil
}

func simulateNode(ctx context.Context, client kubernetes.Interface, i int) error {
	name := fmt.Sprintf("simulated-%04d", i)
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("1000")}
	patch, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{
		Capacity: size, Allocatable: size,
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.98.%d.%d", i/250, i%250+1)}},
	}})
	if err != nil {
		return err
	}
	// As a kubelet does: a patch, since the node controller writes to the object too.
	_, err = client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// finalizeDeletion deletes a pod with grace period 0, as a kubelet does when its containers
// have terminated.
func finalizeDeletion(ctx context.Context, client kubernetes.Interface, p *corev1.Pod) {
	now := int64(0)
	// It may be deleted already.
	_ = client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID}})
}

func reportRunning(ctx context.Context, client kubernetes.Interface, p *corev1.Pod) {
	now := metav1.Now().UTC().Format(time.RFC3339)
	patch := fmt.Sprintf(`{"status":{"phase":"Running","podIP":"10.97.1.1","startTime":%q,"conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, now, now)
	// The pod may be deleted meanwhile; the benchmarks check the results.
	_, _ = client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
}
