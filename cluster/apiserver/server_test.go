package apiserver_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/apitest"
)

func clientset(t *testing.T, cfg *rest.Config) kubernetes.Interface {
	t.Helper()
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func inProtobuf(cfg *rest.Config) *rest.Config {
	c := rest.CopyConfig(cfg)
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return c
}

func testPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": "t"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "pause"}}},
	}
}

// within ends what hangs; a machine that runs the other tests beside this one is slow.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestVerbsInBothEncodings(t *testing.T) {
	cfg := apitest.Start(t)
	for name, c := range map[string]*rest.Config{"json": cfg, "protobuf": inProtobuf(cfg)} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			pods := clientset(t, c).CoreV1().Pods("default")
			made, err := pods.Create(ctx, testPod("a-"+name), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.Spec.RestartPolicy != corev1.RestartPolicyAlways {
				t.Errorf("created: %+v", made.ObjectMeta)
			}
			if m := made.ManagedFields; len(m) != 1 || m[0].Manager != "apiserver.test" || m[0].Operation != metav1.ManagedFieldsOperationUpdate {
				t.Errorf("managedFields of a new object: %v", m)
			}
			if _, err := pods.Create(ctx, testPod("a-"+name), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
				t.Errorf("the second create: %v", err)
			}
			got, err := pods.Get(ctx, "a-"+name, metav1.GetOptions{})
			if err != nil || got.UID != made.UID {
				t.Fatalf("get: %v %v", got, err)
			}
			got.Labels["x"] = "y"
			put, err := pods.Update(ctx, got, metav1.UpdateOptions{})
			if err != nil || put.Labels["x"] != "y" {
				t.Fatalf("update: %v", err)
			}
			got.Labels["x"] = "z"
			if _, err = pods.Update(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("update of an old version: %v", err)
			}
			list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app=t", FieldSelector: "metadata.name=a-" + name})
			if err != nil || len(list.Items) != 1 || list.Items[0].UID != made.UID || list.ResourceVersion == "" {
				t.Fatalf("list: %v %v", list, err)
			}
			if err := pods.Delete(ctx, "a-"+name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := pods.Get(ctx, "a-"+name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("get after delete: %v", err)
			}
		})
	}
}
