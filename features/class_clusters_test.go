//go:build !quick

package features_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/steps"
)

// ownCluster is a class whose learners have a cluster each.
type ownCluster struct{ *platform }

// TestClassOfClusters: each learner of a class administers a cluster of their own, which is nobody else's, outlives the process of the
// class, and is gone when they are.
func TestClassOfClusters(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	o := ownCluster{&platform{World: &steps.World{Patience: 2 * time.Minute}, cluster: bringUp(t, "cls", 0)}}
	const lab = "drills/full-quota"
	o.must(t, o.prepareClass(lab, 2))
	o.class.args = append(o.class.args, "--per-learner", "cluster", "--spare", "1")
	o.must(t, o.class.start(t.Context(), o.platform))
	t.Cleanup(func() {
		if o.class != nil {
			_ = o.class.cmd.Process.Signal(os.Interrupt)
			<-o.class.ended
			if t.Failed() {
				t.Logf("the log of the class: %s", &o.class.log)
			}
		}
	})
	wait.Within(t, 5*time.Minute, "one cluster that is ready for the next", func() error { return o.spare(t, 1) })
	o.join(t, "Ada")
	o.prints(t, "Ada", "kubectl auth can-i '*' '*' -A", "yes")
	o.prints(t, "Ada", "kubectl create namespace mine", "namespace/mine created")
	o.prints(t, "Ada", "kubectl get node master minion-1 -o name", "node/minion-1")
	o.must(t, o.startLab(t.Context(), "Ada", lab))
	o.must(t, o.boardShows(t.Context(), "Ada", 0, 1))
	o.join(t, "Bob")
	o.prints(t, "Bob", "kubectl get namespace mine lab-full-quota -o name", "\"mine\" not found")
	if err := o.joinClass(t.Context(), "Cleo"); err == nil || !strings.Contains(err.Error(), "the class is full") {
		t.Errorf("one more: %v", err)
	}

	// What a learner breaks, the class's process mends, and nobody else has noticed.
	o.prints(t, "Bob", "kubectl delete clusterrolebinding learner-$Bob", "\" deleted")
	o.prints(t, "Ada", "kubectl get namespace mine -o name", "namespace/mine")

	o.must(t, o.killClass(t.Context()))
	o.prints(t, "Ada", "kubectl get namespace mine -o name", "namespace/mine")
	o.prints(t, "Bob", "kubectl auth can-i '*' '*' -A", "yes")
	o.must(t, o.boardShows(t.Context(), "Ada", 0, 1))

	o.must(t, o.class.post(t.Context(), o.class.instructor, "api/board/do", map[string]any{"action": "remove", "learners": []string{o.class.learners["Bob"].id}}, nil))
	wait.Within(t, 5*time.Minute, "Ada's cluster and a spare one alone", func() error {
		return errors.Join(o.spare(t, 1), wait.Seen(len(o.clusters(t)) == 2, o.clusters(t)))
	})
	o.prints(t, "Ada", "kubectl get namespace mine -o name", "namespace/mine")
	if out, err := o.cluster.run(t.Context(), "classroom", "forget"); err != nil || !strings.Contains(out, "learner "+o.class.learners["Ada"].id+" is removed") {
		t.Errorf("forget: %v: %s", err, out)
	}
	wait.Within(t, 5*time.Minute, "only a spare one", func() error { return errors.Join(o.spare(t, 1), wait.Seen(len(o.clusters(t)) == 1, o.clusters(t))) })
	_ = o.class.cmd.Process.Signal(os.Interrupt)
	<-o.class.ended
	if out, err := o.cluster.run(t.Context(), "down"); err != nil || len(o.clusters(t)) > 0 {
		t.Errorf("after down: %v, %v: %s", o.clusters(t), err, out)
	}
}

func (o ownCluster) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// join waits until the learner's desk is ready, and logs how long it took.
func (o ownCluster) join(t *testing.T, name string) {
	t.Helper()
	o.must(t, o.joinClass(t.Context(), name))
	l := o.class.learners[name]
	o.must(t, o.class.connect(t.Context(), l, o.Patience))
	t.Logf("%s has a shell in a cluster of their own %.1f s after joining", name, time.Since(l.joined).Seconds())
	o.must(t, until(t.Context(), o.Patience, "the desk to answer", func() (string, bool, error) {
		err := o.class.send(context.WithoutCancel(t.Context()), l.client, http.MethodPost, "api/desk", map[string]string{"do": "labs"}, nil)
		return fmt.Sprint(err), err == nil, nil
	}))
	t.Logf("and labs %.1f s after it", time.Since(l.joined).Seconds())
}

func (o ownCluster) prints(t *testing.T, name, line, text string) {
	t.Helper()
	o.must(t, o.inTerminal(t.Context(), name, line, text))
}

// clusters are those of learners that there is something of.
func (o ownCluster) clusters(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/var/lib/wheelhouse/" + o.cluster.name + "-l-*")
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// spare reports whether so many clusters are ready for who comes next.
func (o ownCluster) spare(t *testing.T, want int) error {
	t.Helper()
	found, err := o.cluster.client.CoreV1().ConfigMaps("wheelhouse-class").Get(t.Context(), "clusters", metav1.GetOptions{})
	if err != nil {
		return err
	}
	spare := 0
	for _, owner := range found.Data {
		if owner == "" {
			spare++
		}
	}
	return wait.Seen(spare == want, found.Data)
}
