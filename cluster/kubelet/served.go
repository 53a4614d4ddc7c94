package kubelet

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	config "k8s.io/kubelet/config/v1beta1"

	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/images"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/server"
	"wheelhouse/cluster/kubelet/volume"
)

// served is the kubelet as its server uses it.
type served struct{ k *Kubelet }

// server returns the node's server; nil without a certificate.
func (s served) server() *server.Server {
	if s.k.config.Serving == nil || s.k.config.ClientCAs == nil {
		return nil
	}
	return server.New(s.config())
}

func (s served) config() server.Config {
	c := &s.k.config
	return server.Config{
		NodeName: c.NodeName, Listen: c.Listen, Serving: c.Serving, ClientCAs: c.ClientCAs, AllowedUsers: c.AllowedUsers,
		Client: c.Client, Node: s, Pods: s, Disk: s, Usage: s, Containers: s.k.runtime, Streams: s.k.runtime,
		Metrics: s.metrics(), Cadvisor: s.cadvisor(), Probes: s.probes(), Flags: c.Flags, Journal: c.Journal, Log: s.k.log,
	}
}

// port is the one that the node reports.
func (c *Config) port() int32 {
	_, port, err := net.SplitHostPort(c.Listen)
	n, errPort := strconv.Atoi(port)
	if err != nil || errPort != nil {
		return 10250
	}
	return int32(n)
}

// Health implements server.Node.
func (s served) Health() error { return s.k.node.Health() }

// Pods implements server.Pods.
func (s served) Pods() []*v1.Pod {
	var out []*v1.Pod
	for _, w := range s.k.allWorkers() {
		out = append(out, w.latest())
	}
	return out
}

// Pod implements server.Pods.
func (s served) Pod(namespace, name, uid string) *v1.Pod {
	w := s.k.workerOf(namespace, name, uid)
	if w == nil {
		return nil
	}
	pod := *w.latest()
	pod.Status = w.reporter.status(&pod)
	return &pod
}

// Logs implements server.Disk. Pods may have written to the directory.
func (s served) Logs() (fs.FS, func(), error) {
	d, at, done, err := nodefs.Open(s.k.config.HostRoot, "/var/log")
	if err != nil {
		return nil, nil, err
	}
	defer done()
	root, err := d.OpenRoot(at)
	if err != nil {
		return nil, nil, err
	}
	return logDir{root}, func() { _ = root.Close() }, nil
}

// logDir is a directory of which only directories and regular files are opened.
type logDir struct{ root *os.Root }

// Open implements fs.FS.
func (l logDir) Open(name string) (fs.File, error) {
	held, mode, err := nodefs.HoldIn(l.root, name)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if !mode.IsDir() && !mode.IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return nodefs.Reopen(held)
}

// RemoveProvisioned implements server.Disk.
func (s served) RemoveProvisioned(name string) error {
	return volume.RemoveProvisioned(s.k.config.HostRoot, name)
}

// Configuration implements server.Node.
func (s served) Configuration() *config.KubeletConfiguration {
	c := &s.k.config
	off, on, readOnly := false, true, int32(0)
	high, low, pids := int32(c.GC.ImagesHigh), int32(c.GC.ImagesLow), c.PodPids
	out := &config.KubeletConfiguration{
		EnableServer: &on, Address: c.NodeIP.String(), Port: c.port(), ReadOnlyPort: readOnly,
		StaticPodPath: c.StaticPods, ClusterDomain: c.ClusterDomain, MaxPods: int32(c.MaxPods), PodPidsLimit: &pids,
		ResolverConfig: new("/etc/resolv.conf"), FailSwapOn: &off, CgroupsPerQOS: &on, EnforceNodeAllocatable: []string{"pods"},
		ImageGCHighThresholdPercent: &high, ImageGCLowThresholdPercent: &low, ImageMinimumGCAge: metav1.Duration{Duration: images.MinAge},
		NodeLeaseDurationSeconds: node.LeaseSeconds, NodeStatusReportFrequency: metav1.Duration{Duration: node.StatusPeriod},
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
	return out
}

func thresholdMap(list []eviction.Threshold) map[string]string {
	out := map[string]string{}
	for _, t := range list {
		out[string(t.Signal)] = t.Quantity.String()
		if t.Share > 0 {
			out[string(t.Signal)] = fmt.Sprintf("%g%%", t.Share*100)
		}
	}
	return out
}
