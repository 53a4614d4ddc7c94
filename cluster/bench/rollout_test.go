package bench

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// BenchmarkRollout is a Deployment of 1,000 pods on 20 simulated nodes: from its creation
// until all are available, and from a new image until all are of it and no old one is
// left, with the default limits of a quarter each way. A pod that is replaced costs five
// writes at least: the old one is deleted, and deleted for good; the new one is created,
// bound and reported. What is written beyond those is events and the counts of the sets.
func BenchmarkRollout(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	s, err := StartServer(ctx, binary(b), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	if err := SimulateNodes(ctx, s.Client, nodes); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		began := time.Now()
		labels := map[string]string{"app": "rolled"}
		_, err := s.Client.AppsV1().Deployments(space).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "rolled"},
			Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To[int32](pods), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podNamed("", "").Spec},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := rolledOut(ctx, s.Client, "rolled"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "create-s")
		before, own, all := writes(b, s), look(b, s.cmd.Process.Pid).cpu, look(b, os.Getpid()).cpu
		began = time.Now()
		patch := `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"wheelhouse/pause:2"}]}}}}`
		if _, err := s.Client.AppsV1().Deployments(space).Patch(ctx, "rolled", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := rolledOut(ctx, s.Client, "rolled"); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began).Seconds()
		b.ReportMetric(took, "roll-s")
		b.ReportMetric(pods/took, "pods/s")
		// Beside the time, what it costs: others may use the machine too.
		b.ReportMetric((look(b, s.cmd.Process.Pid).cpu-own).Seconds()*1000/pods, "server-cpu-ms/pod")
		b.ReportMetric((look(b, os.Getpid()).cpu-all).Seconds()*1000/pods, "nodes-cpu-ms/pod")
		reportWrites(b, before, writes(b, s))
	}
}

// rolledOut waits until all pods of the Deployment are of its template and available, and
// none is on its way out any more.
func rolledOut(ctx context.Context, client kubernetes.Interface, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	w, err := client.AppsV1().Deployments(space).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return err
	}
	defer w.Stop()
	last := "nothing"
	for ev := range w.ResultChan() {
		d, ok := ev.Object.(*appsv1.Deployment)
		if !ok {
			continue
		}
		st, n := d.Status, *d.Spec.Replicas
		if st.ObservedGeneration >= d.Generation && st.UpdatedReplicas == n && st.Replicas == n && st.AvailableReplicas == n && ptr.Deref(st.TerminatingReplicas, 0) == 0 {
			return nil
		}
		last = fmt.Sprintf("%+v", st)
	}
	return fmt.Errorf("deployment %s is not rolled out after two minutes; last seen: %s", name, last)
}

// writes is how many writes the server has answered, by what was written.
func writes(b *testing.B, s *Server) map[string]float64 {
	b.Helper()
	text, err := s.Client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(b.Context()).Raw()
	if err != nil {
		b.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^apiserver_request_total\{code="(\d+)",[^}]*resource="([^"]*)",[^}]*subresource="([^"]*)",verb="(POST|PUT|PATCH|APPLY|DELETE)",version="[^"]*"\} (\S+)$`)
	out := map[string]float64{}
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseFloat(m[5], 64)
		if err != nil {
			b.Fatal(err)
		}
		out[fmt.Sprintf("%s %s/%s %s", m[4], m[2], m[3], m[1])] += n
	}
	return out
}

func reportWrites(b *testing.B, before, after map[string]float64) {
	b.Helper()
	total, lines := 0.0, []string{}
	for what, n := range after {
		n -= before[what]
		total += n
		if n >= pods/10 {
			lines = append(lines, fmt.Sprintf("%.0f %s", n, what))
		}
	}
	b.ReportMetric(total/pods, "writes/pod")
	sort.Strings(lines)
	b.Log(strings.Join(lines, ", "))
}
