package bench

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// BenchmarkPodStart is the time from creating a pod whose image is present until a
// watch sees it Ready, on a cluster of its own with one minion and real Docker: ten
// pods one after the other, then ten at once.
func BenchmarkPodStart(b *testing.B) {
	client := startCluster(b, "bench")
	for range b.N {
		var alone []time.Duration
		for i := range 10 {
			alone = append(alone, readyAfter(b, client, fmt.Sprintf("alone-%d", i)))
		}
		b.ReportMetric(millis(alone, 50), "p50-ms")
		b.ReportMetric(millis(alone, 99), "max-ms")
		began := time.Now()
		spread(b, 10, 10, func(i int) error { readyAfter(b, client, fmt.Sprintf("crowd-%d", i)); return nil })
		b.ReportMetric(time.Since(began).Seconds()*1000, "ten-at-once-ms")
	}
}

func startCluster(b *testing.B, name string) kubernetes.Interface {
	b.Helper()
	wheelhouse := func(args ...string) string {
		out, err := exec.CommandContext(context.WithoutCancel(b.Context()), binary(b), append(args, "--name", name)...).CombinedOutput()
		if err != nil {
			b.Fatalf("wheelhouse %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	b.Cleanup(func() { wheelhouse("down") })
	began := time.Now()
	wheelhouse("up", "--nodes", "1")
	b.ReportMetric(time.Since(began).Seconds(), "up-s")
	cfg, err := clientcmd.BuildConfigFromFlags("", wheelhouse("kubeconfig"))
	if err != nil {
		b.Fatal(err)
	}
	cfg.QPS = -1
	return kubernetes.NewForConfigOrDie(cfg)
}

func readyAfter(b *testing.B, client kubernetes.Interface, name string) time.Duration {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	w, err := client.CoreV1().Pods(space).Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	began := time.Now()
	if _, err := client.CoreV1().Pods(space).Create(ctx, podNamed(name, "start"), metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	last := "nothing"
	for ev := range w.ResultChan() {
		p, ok := ev.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		last = string(p.Status.Phase)
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return time.Since(began)
			}
		}
	}
	b.Errorf("pod %s is not Ready after a minute; last seen: %s", name, last)
	return 0
}
