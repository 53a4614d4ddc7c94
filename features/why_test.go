//go:build !quick

package features_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/lab-runner/why"
	"wheelhouse/lab-runner/why/situations"
)

const whyData = "../lab-runner/why/testdata/"

// whyBench is a cluster in which all situations are at once.
type whyBench struct {
	*testCluster
	asker *why.Cluster
	turn  chan struct{} // so many questions at a time
	third string        // of a node's ephemeral storage
}

// TestWhy brings all situations about at once, each in a namespace of its own, and asks why of each until the answer is the
// right one. An answer that blames a wrong hop is an error at any time. WHEELHOUSE_RECORD_FACTS=1 writes the facts that
// the package's own tests explain.
func TestWhy(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	all, err := situations.Load(whyData + "situations")
	if err != nil {
		t.Fatal(err)
	}
	b := &whyBench{testCluster: bringUp(t, "why", 2), turn: make(chan struct{}, 2)}
	config, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if b.asker, err = why.New(config); err != nil {
		t.Fatal(err)
	}
	b.asker.Slow = 10
	b.prepare(t, all)
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, s := range all {
		wg.Go(func() {
			err := b.settle(t.Context(), s)
			mu.Lock()
			defer mu.Unlock()
			t.Run(s.Name, func(t *testing.T) {
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
	wg.Wait()
	t.Logf("%d situations were explained in %.0f s", len(all), time.Since(began).Seconds())
	b.release(t, all)
}

// prepare creates the namespaces, and what is in them when their service accounts are there.
func (b *whyBench) prepare(t *testing.T, all []*situations.Situation) {
	t.Helper()
	node, err := b.client.CoreV1().Nodes().Get(t.Context(), "minion-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	disk := node.Status.Allocatable[corev1.ResourceEphemeralStorage]
	b.third = fmt.Sprint(disk.Value() / 3)
	var namespaces, objects []map[string]any
	for _, s := range all {
		own := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": s.Namespace()}}
		other := ""
		for _, m := range s.Manifests {
			m = b.fill(t, s, m)
			if m["kind"] == "Namespace" {
				own = m
				continue
			}
			meta := m["metadata"].(map[string]any)
			if meta["namespace"] == nil {
				meta["namespace"] = s.Namespace()
			} else {
				other = fmt.Sprint(meta["namespace"])
			}
			objects = append(objects, m)
		}
		namespaces = append(namespaces, own)
		if other != "" {
			namespaces = append(namespaces, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": other}})
		}
	}
	b.create(t, namespaces)
	for _, n := range namespaces {
		name := fmt.Sprint(n["metadata"].(map[string]any)["name"])
		err := until(t.Context(), time.Minute, "a service account in namespace "+name, func() (string, bool, error) {
			_, err := b.client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
			return "", err == nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.create(t, objects)
}

// fill puts the situation's names into a manifest.
func (b *whyBench) fill(t *testing.T, s *situations.Situation, m map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(strings.NewReplacer(situations.NS, s.Namespace(), "${THIRD}", b.third).Replace(string(text))), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *whyBench) create(t *testing.T, list []map[string]any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": list})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(b.program), "kubectl"), "--kubeconfig", b.kubeconfig, "create", "-f", "-")
	cmd.Stdin = strings.NewReader(string(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// settle brings one situation to its state and asks until the answer is right.
func (b *whyBench) settle(ctx context.Context, s *situations.Situation) error {
	for _, line := range s.Then {
		if err := b.shell(ctx, s, line); err != nil {
			return err
		}
	}
	target, err := s.Target()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var last error
	for {
		b.turn <- struct{}{}
		e, facts, err := b.asker.Ask(ctx, s.Namespace(), target)
		<-b.turn
		if err == nil {
			err = s.Check(e)
		}
		if err == nil {
			return record(s, facts)
		}
		if ctx.Err() == nil {
			last = err
		}
		if !errors.Is(last, situations.ErrNotYet) {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(2 * time.Second):
		}
	}
}

func (b *whyBench) shell(ctx context.Context, s *situations.Situation, line string) error {
	raw, err := clientcmd.LoadFromFile(b.kubeconfig)
	if err != nil {
		return err
	}
	raw.Contexts[raw.CurrentContext].Namespace = s.Namespace()
	path := filepath.Join(filepath.Dir(b.kubeconfig), s.Name+".kubeconfig")
	if err := clientcmd.WriteToFile(*raw, path); err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(line, situations.NS, s.Namespace()))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+path, "PATH="+filepath.Dir(b.program)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return nil
}

// release removes the finalizers, and the nodes that no machine stands for, so that the cluster can be taken down.
func (b *whyBench) release(t *testing.T, all []*situations.Situation) {
	t.Helper()
	for _, s := range all {
		for _, m := range s.Manifests {
			if m["kind"] == "Node" {
				if err := b.client.CoreV1().Nodes().Delete(t.Context(), s.Namespace()+"-node", metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// record writes facts for the package's own tests, without what differs in each run and is not looked at.
func record(s *situations.Situation, f *why.Facts) error {
	if os.Getenv("WHEELHOUSE_RECORD_FACTS") == "" {
		return nil
	}
	text, err := json.Marshal(situations.Trim(s, f))
	if err != nil {
		return err
	}
	return os.WriteFile(whyData+"facts/"+s.Name+".json", append(text, '\n'), 0o644)
}
