package replication

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// parallel bounds how many writes of one set are under way at once. The API
// server commits what comes together in one go, so many are not more work.
const parallel = 250

// PodFromTemplate makes the pod that a controller creates; the server completes its name.
func PodFromTemplate(t *v1.PodTemplateSpec, owner metav1.Object, gvk schema.GroupVersionKind) *v1.Pod {
	t = t.DeepCopy()
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       owner.GetNamespace(),
			GenerateName:    owner.GetName() + "-",
			Labels:          t.Labels,
			Annotations:     t.Annotations,
			Finalizers:      t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, gvk)},
		},
		Spec: t.Spec,
	}
}

// SlowStart calls f(0) .. f(n-1) in batches of 1, 4, 16, ... and stops after the first
// batch with an error: when every create fails (a quota, a bad template), the
// server sees a few requests and not n. It says how many calls succeeded.
func SlowStart(n int, f func(i int) error) (done int, err error) {
	for begun, batch := 0, 1; begun < n; batch *= 4 {
		batch = min(batch, n-begun)
		good, err := Together(batch, func(i int) error { return f(begun + i) })
		done += good
		begun += batch
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Together calls f(0) .. f(n-1) concurrently, and gives the first error.
func Together(n int, f func(i int) error) (good int, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			e := f(i)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			switch {
			case e == nil:
				good++
			case err == nil:
				err = e
			}
		})
	}
	wg.Wait()
	return good, err
}
