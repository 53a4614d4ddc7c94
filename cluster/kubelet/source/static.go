package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
)

const staticPeriod = 2 * time.Second // between two reads of the directory

// Pods run the static pods.
type Pods interface {
	// Keep starts and terminates static pods until these run and no others.
	Keep(want map[types.UID]*v1.Pod)
	// Runs reports whether anything is left of a pod.
	Runs(uid types.UID) bool
	// Mirrored takes the mirror pod as the API server has it; its status is to be that of
	// its static pod.
	Mirrored(mirror *v1.Pod)
}

// Config is what static pods need.
type Config struct {
	Dir      string // of the manifests; empty for none
	NodeName string
	Client   kubernetes.Interface
	API      *APIServer
	Pods     Pods
	Log      *slog.Logger
}

// Static are the pods of the manifests in a directory of the node, which run with or without
// the API server, where each has a mirror pod. The maps belong to the goroutine of Run;
// mirrors come from the API server.
type Static struct {
	Config
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

// NewStatic reads nothing yet.
func NewStatic(config Config) *Static {
	return &Static{Config: config, files: map[string]manifest{}, wake: make(chan struct{}, 1), mirrors: mirrors{known: map[types.NamespacedName]*v1.Pod{}}}
}

// Run reads the directory once a period, and reconciles pods and mirrors. The first read is
// before Run: what runs must not be taken for orphans.
func (s *Static) Run(ctx context.Context) {
	timer := time.NewTicker(staticPeriod)
	defer timer.Stop()
	for {
		if s.API.Synced() {
			if err := s.reconcile(ctx, s.pods()); err != nil && ctx.Err() == nil {
				s.Log.Warn("static pods: mirrors", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		s.Look()
	}
}

// Look reads what has changed in the directory, starts new pods and terminates those that are
// gone.
func (s *Static) Look() {
	if s.Dir == "" {
		return
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // then nothing changes
		s.Log.Warn("static pods: read the directory", "err", err)
		return
	}
	have := map[string]manifest{}
	for _, e := range entries {
		path := filepath.Join(s.Dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		old, known := s.files[path]
		if known && old.changed.Equal(info.ModTime()) && old.size == info.Size() {
			have[path] = old
			continue
		}
		pod, err := readManifest(path, s.NodeName)
		if err != nil {
			s.Log.Warn("static pods: file rejected", "file", path, "err", err)
		}
		have[path] = manifest{info.ModTime(), info.Size(), pod}
	}
	s.files = have
	s.Pods.Keep(s.pods())
}

func (s *Static) pods() map[types.UID]*v1.Pod {
	out := map[types.UID]*v1.Pod{}
	for _, m := range s.files {
		if m.pod != nil {
			out[m.pod.UID] = m.pod
		}
	}
	return out
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
