package kubelet

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	config "k8s.io/kubelet/config/v1beta1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// aboutNode routes the paths that tell of the node as a whole.
func (k *Kubelet) aboutNode(to *http.ServeMux) {
	for _, path := range []string{"/healthz", "/healthz/ping", "/healthz/syncloop"} {
		to.HandleFunc("GET "+path, k.serveHealth)
	}
	to.HandleFunc("GET /configz", k.serveConfig)
	for _, path := range []string{"/runningpods", "/runningpods/{$}"} { // the API server follows no redirection
		to.HandleFunc("GET "+path, k.serveRunning)
	}
	to.HandleFunc("GET /logs/", k.serveNodeLogs)
}

// serveRunning answers with the pods of which something runs, as the runtime knows them.
func (k *Kubelet) serveRunning(w http.ResponseWriter, r *http.Request) {
	all, err := k.runtime.Glance(r.Context())
	if err != nil {
		failRequest(w, err)
		return
	}
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []v1.Pod{}}
	slices.SortFunc(all, func(a, b cri.Container) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range all {
		if c.State != cri.Running || c.Name == cri.SandboxName {
			continue
		}
		i := slices.IndexFunc(list.Items, func(p v1.Pod) bool { return string(p.UID) == c.Pod.UID })
		if i < 0 {
			i = len(list.Items)
			list.Items = append(list.Items, v1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: c.Pod.Namespace, Name: c.Pod.Name, UID: types.UID(c.Pod.UID),
			}})
		}
		spec := v1.Container{Name: c.Name}
		if known := k.workerOf(c.Pod.Namespace, c.Pod.Name, c.Pod.UID); known != nil {
			known.mu.Lock()
			if own := podspec.Container(known.pod, c.Name); own != nil {
				spec.Image = own.Image
			}
			known.mu.Unlock()
		}
		list.Items[i].Spec.Containers = append(list.Items[i].Spec.Containers, spec)
	}
	slices.SortFunc(list.Items, func(a, b v1.Pod) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	writeJSON(w, list)
}

// serveNodeLogs shows the node's /var/log. Pods may have put something there: no link leads
// out of the folder.
func (k *Kubelet) serveNodeLogs(w http.ResponseWriter, r *http.Request) {
	d, at, done, err := onDisk(k.config.HostRoot, "/var/log")
	if err != nil {
		failRequest(w, err)
		return
	}
	defer done()
	root, err := d.OpenRoot(at)
	if err != nil {
		failRequest(w, err)
		return
	}
	defer func() { _ = root.Close() }()
	http.StripPrefix("/logs/", http.FileServerFS(logFolder{root})).ServeHTTP(w, r)
}

// logFolder is a folder of which only folders and regular files are opened.
type logFolder struct{ root *os.Root }

// Open implements fs.FS.
func (l logFolder) Open(name string) (fs.File, error) {
	held, mode, err := holdIn(l.root, name)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if !mode.IsDir() && !mode.IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return reopen(held)
}

// serveConfig answers with how the kubelet is configured, in upstream's words.
func (k *Kubelet) serveConfig(w http.ResponseWriter, _ *http.Request) {
	c := &k.config
	off, on, readOnly := false, true, int32(0)
	high, low, pids := int32(c.GC.ImagesHigh), int32(c.GC.ImagesLow), c.PodPids
	out := config.KubeletConfiguration{
		EnableServer: &on, Address: c.NodeIP.String(), Port: k.port(), ReadOnlyPort: readOnly,
		StaticPodPath: c.StaticPods, ClusterDomain: c.ClusterDomain, MaxPods: int32(c.MaxPods), PodPidsLimit: &pids,
		ResolverConfig: new("/etc/resolv.conf"), FailSwapOn: &off, CgroupsPerQOS: &on, EnforceNodeAllocatable: []string{"pods"},
		ImageGCHighThresholdPercent: &high, ImageGCLowThresholdPercent: &low, ImageMinimumGCAge: metav1.Duration{Duration: imageMinAge},
		NodeLeaseDurationSeconds: leaseSeconds, NodeStatusReportFrequency: metav1.Duration{Duration: statusPeriod},
		EvictionHard: thresholdMap(c.Eviction.Hard), EvictionSoft: thresholdMap(c.Eviction.Soft), EvictionSoftGracePeriod: map[string]string{},
		EvictionPressureTransitionPeriod: metav1.Duration{Duration: c.Eviction.Transition},
		EvictionMaxPodGracePeriod:        int32(c.Eviction.MaxPodGrace / time.Second),
		SystemReserved:                   map[string]string{},
		Authentication: config.KubeletAuthentication{
			Anonymous: config.KubeletAnonymousAuthentication{Enabled: &off}, Webhook: config.KubeletWebhookAuthentication{Enabled: &on},
		},
		Authorization: config.KubeletAuthorization{Mode: config.KubeletAuthorizationModeWebhook},
	}
	if c.ClusterDNS != "" {
		out.ClusterDNS = []string{c.ClusterDNS}
	}
	for _, t := range c.Eviction.Soft {
		out.EvictionSoftGracePeriod[string(t.Signal)] = t.Grace.String()
	}
	for name, q := range c.Reserved {
		out.SystemReserved[string(name)] = q.String()
	}
	writeJSON(w, map[string]any{"kubeletconfig": out})
}

func thresholdMap(list []Threshold) map[string]string {
	out := map[string]string{}
	for _, t := range list {
		out[string(t.Signal)] = t.Quantity.String()
		if t.Share > 0 {
			out[string(t.Signal)] = fmt.Sprintf("%g%%", t.Share*100)
		}
	}
	return out
}
