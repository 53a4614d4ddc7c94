package apiserver_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
)

// BenchmarkCreatePods creates pods from 16 clients at once in a namespace without a
// quota, and in one with a quota that none of them reaches.
func BenchmarkCreatePods(b *testing.B) {
	for _, name := range []string{"free", "counted"} {
		b.Run(name, func(b *testing.B) {
			server, _ := apitest.StartServer(b, apitest.WithAdmission(b))
			cs := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "admin", Groups: []string{"system:masters"}}))
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
			if _, err := cs.CoreV1().ServiceAccounts("default").Create(b.Context(), account, metav1.CreateOptions{}); err != nil {
				b.Fatal(err)
			}
			if name == "counted" {
				hard := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1000000")}
				q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
				q, err := cs.CoreV1().ResourceQuotas("default").Create(b.Context(), q, metav1.CreateOptions{})
				if err != nil {
					b.Fatal(err)
				}
				q.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}
				if _, err := cs.CoreV1().ResourceQuotas("default").UpdateStatus(b.Context(), q, metav1.UpdateOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			var number atomic.Int64
			b.SetParallelism(8)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p := testPod(fmt.Sprint("p-", number.Add(1)))
					if _, err := cs.CoreV1().Pods("default").Create(b.Context(), p, metav1.CreateOptions{}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}
