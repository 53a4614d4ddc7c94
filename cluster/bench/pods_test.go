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

const (
	aloneStarts = 10
	crowd       = 50

	readyPatience = 2 * time.Minute
)

// BenchmarkPodStart is the time from creating a pod whose image is present until a
// watch sees it Ready, on a cluster of its own with one minion and real Docker: ten
// pods one after the other, then fifty at once. Beside each stands what the very same
// containers take when a Docker client starts them with nothing around it, and the
// ratio of the two.
func BenchmarkPodStart(b *testing.B) {
	client := startCluster(b, "bench", 1)
	for range b.N {
		readyAfter(b, client, "model")
		engine := engineLike(b, client, "model")
		var alone, alone0 []time.Duration
		for i := range aloneStarts {
			alone = append(alone, readyAfter(b, client, fmt.Sprintf("alone-%d", i)))
			alone0 = append(alone0, startedAfter(b, engine, fmt.Sprintf("alone-%d", i)))
		}
		b.ReportMetric(millis(alone, 50), "pod-p50-ms")
		b.ReportMetric(millis(alone, 99), "pod-max-ms")
		b.ReportMetric(millis(alone0, 50), "docker-p50-ms")
		b.ReportMetric(millis(alone, 50)/millis(alone0, 50), "p50-ratio")
		deletePods(b, client, "alone-")
		clearEngine(b, engine)

		// Before and after, since the machine may have other things to do at times.
		docker := engineCrowd(b, engine)
		before := ownCPU(b, "bench")
		ours := startCrowd(b, func(i int) { readyAfter(b, client, fmt.Sprintf("crowd-%d", i)) }, crowd)
		b.ReportMetric((ownCPU(b, "bench")-before).Seconds()*1000/crowd, "own-cpu-ms/pod")
		deletePods(b, client, "crowd-")
		docker = (docker + engineCrowd(b, engine)) / 2
		b.ReportMetric(ours.Seconds()*1000, "fifty-ms")
		b.ReportMetric(docker.Seconds()*1000, "docker-fifty-ms")
		b.ReportMetric(ours.Seconds()/docker.Seconds(), "fifty-ratio")
	}
}

// ownCPU is the CPU time that the cluster's processes have used.
func ownCPU(b *testing.B, cluster string) time.Duration {
	b.Helper()
	sum := time.Duration(0)
	for _, pid := range clusterProcesses(b, cluster) {
		sum += look(b, pid).cpu
	}
	return sum
}

func engineLike(b *testing.B, client kubernetes.Interface, pod string) *Engine {
	b.Helper()
	p, err := client.CoreV1().Pods(space).Get(b.Context(), pod, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	engine, err := NewEngine(b.Context(), "bench", string(p.UID))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		clearEngine(b, engine)
		if err := engine.Close(); err != nil {
			b.Error(err)
		}
	})
	return engine
}

func clearEngine(b *testing.B, engine *Engine) {
	b.Helper()
	if err := engine.Clear(context.WithoutCancel(b.Context())); err != nil {
		b.Error(err)
	}
}

func startedAfter(b *testing.B, engine *Engine, name string) time.Duration {
	b.Helper()
	began := time.Now()
	if err := engine.StartPod(b.Context(), name); err != nil {
		b.Error(err)
	}
	return time.Since(began)
}

func engineCrowd(b *testing.B, engine *Engine) time.Duration {
	b.Helper()
	defer clearEngine(b, engine)
	return startCrowd(b, func(i int) { startedAfter(b, engine, fmt.Sprintf("crowd-%d", i)) }, engineParallel)
}

func startCrowd(b *testing.B, start func(i int), parallel int) time.Duration {
	b.Helper()
	began := time.Now()
	spread(b, crowd, parallel, func(i int) error { start(i); return nil })
	return time.Since(began)
}

// deletePods deletes the pods whose names begin so, and waits until they are gone, so
// that their end is not measured with the next start.
func deletePods(b *testing.B, client kubernetes.Interface, prefix string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for left := 1; left > 0; pause(ctx, 20*time.Millisecond) {
		all, err := client.CoreV1().Pods(space).List(ctx, metav1.ListOptions{})
		if err != nil {
			b.Fatalf("%d pods are left: %v", left, err)
		}
		left = 0
		for i := range all.Items {
			p := &all.Items[i]
			if !strings.HasPrefix(p.Name, prefix) {
				continue
			}
			left++
			if p.DeletionTimestamp == nil {
				if err := client.CoreV1().Pods(space).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

func startCluster(b *testing.B, name string, nodes int) kubernetes.Interface {
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
	wheelhouse("up", "--isolated", "--nodes", fmt.Sprint(nodes))
	b.ReportMetric(time.Since(began).Seconds(), "up-s")
	cfg, err := clientcmd.BuildConfigFromFlags("", wheelhouse("kubeconfig"))
	if err != nil {
		b.Fatal(err)
	}
	cfg.QPS = -1
	return kubernetes.NewForConfigOrDie(cfg)
}

func readyAfter(b *testing.B, client kubernetes.Interface, name string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), readyPatience)
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
	b.Errorf("pod %s is not Ready after %v; last seen: %s", name, readyPatience, last)
	return 0
}
