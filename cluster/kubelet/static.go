package kubelet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
)

const staticPeriod = 2 * time.Second // between two reads of the directory

// static runs the pods of the manifests in a directory of the node, with or without the API
// server, where each has a mirror pod. The maps belong to the goroutine of run; mirrors come
// from the informers.
type static struct {
	k     *Kubelet
	dir   string
	files map[string]manifest // by path, as last seen
	wake  chan struct{}
	mirrors
}

// manifest is one file.
type manifest struct {
	changed time.Time
	size    int64
	pod     *v1.Pod // nil: it describes none
}

func newStatic(k *Kubelet) *static {
	return &static{k: k, dir: k.config.StaticPods, files: map[string]manifest{}, wake: make(chan struct{}, 1), mirrors: mirrors{known: map[types.NamespacedName]*v1.Pod{}}}
}

// run reads the directory once a period, and reconciles pods and mirrors. The first read is
// before run: what runs must not be taken for orphans.
func (s *static) run(ctx context.Context) {
	timer := time.NewTicker(staticPeriod)
	defer timer.Stop()
	for {
		if s.k.informers.synced() {
			if err := s.reconcile(ctx, s.pods()); err != nil && ctx.Err() == nil {
				s.k.log.Warn("static pods: mirrors", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		s.look()
	}
}

// look reads what has changed in the directory, starts new pods and terminates those that are
// gone.
func (s *static) look() {
	if s.dir == "" {
		return
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // then nothing changes
		s.k.log.Warn("static pods: read the directory", "err", err)
		return
	}
	have := map[string]manifest{}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		old, known := s.files[path]
		if known && old.changed.Equal(info.ModTime()) && old.size == info.Size() {
			have[path] = old
			continue
		}
		pod, err := readManifest(path, s.k.config.NodeName)
		if err != nil {
			s.k.log.Warn("static pods: file rejected", "file", path, "err", err)
		}
		have[path] = manifest{info.ModTime(), info.Size(), pod}
	}
	s.files = have
	s.k.keepStatic(s.pods())
}

func (s *static) pods() map[types.UID]*v1.Pod {
	out := map[types.UID]*v1.Pod{}
	for _, m := range s.files {
		if m.pod != nil {
			out[m.pod.UID] = m.pod
		}
	}
	return out
}

// keepStatic starts and terminates static pods. One whose manifest has changed is another
// pod: it starts when the one before it is gone.
func (k *Kubelet) keepStatic(want map[types.UID]*v1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	running := map[string]bool{}
	for uid, w := range k.workers {
		pod := w.latest()
		if !podspec.IsStatic(pod) {
			continue
		}
		running[w.ref.String()] = true
		if want[uid] == nil && pod.DeletionTimestamp == nil {
			w.update(ending(pod, time.Now()))
		}
	}
	for _, pod := range want {
		if !running[pod.Namespace+"/"+pod.Name] {
			k.startWorker(pod, false)
		}
	}
}

// readManifest reads a pod from a file, as one that runs on the node. Its uid stands for
// its content, so that a restarted kubelet recognizes it.
func readManifest(path, node string) (*v1.Pod, error) {
	data, err := readManifestFile(path)
	if err != nil {
		return nil, err
	}
	pod := &v1.Pod{}
	if err := yaml.Unmarshal(data, pod); err != nil {
		return nil, err
	}
	if pod.Kind != "Pod" || pod.APIVersion != "v1" {
		return nil, fmt.Errorf("it describes a %s %q, want a Pod of v1", pod.APIVersion, pod.Kind)
	}
	if pod.Name == "" {
		return nil, errors.New("the pod has no name")
	}
	sum := sha256.Sum256([]byte(node + "\x00" + path + "\x00" + string(data)))
	hash := hex.EncodeToString(sum[:16])
	pod.UID, pod.Name = types.UID(hash), pod.Name+"-"+node
	pod.Namespace = cmp.Or(pod.Namespace, v1.NamespaceDefault)
	pod.Spec.NodeName, pod.Status = node, v1.PodStatus{Phase: v1.PodPending}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[podspec.AnnotationSource], pod.Annotations[podspec.AnnotationHash] = "file", hash
	pod.Annotations[podspec.AnnotationSeen] = time.Now().Format(time.RFC3339Nano)
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, v1.Toleration{Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute})
	pod.Spec.EnableServiceLinks = orDefault(pod.Spec.EnableServiceLinks, v1.DefaultEnableServiceLinks)
	if what, err := core.ObjectReference(pod); err != nil {
		return nil, err
	} else if what != "" {
		return nil, fmt.Errorf("static pods can not reference %s", what)
	}
	core.Pods.Default(pod)
	if errs := core.Pods.Validate(pod); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return pod, nil
}

// maxManifest is how many bytes a manifest may have, as upstream.
const maxManifest = 10 << 20

func readManifestFile(path string) ([]byte, error) {
	f, mode, err := nodefs.Hold(nodefs.Machine{}, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return nodefs.ReadRegular(f, mode, maxManifest)
}

func orDefault(b *bool, value bool) *bool {
	if b == nil {
		return &value
	}
	return b
}
