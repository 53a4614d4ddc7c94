package volume

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
)

var operationDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "storage_operation_duration_seconds", Help: "Storage operation duration",
	Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600},
}, []string{"volume_plugin", "operation_name", "status", "migrated"})

// Collectors returns the metrics of the process's volumes, under upstream's names.
func Collectors() []prometheus.Collector { return []prometheus.Collector{operationDuration} }

// operated counts a mount, or a refresh of what is mounted, that began at start.
func operated(v *v1.Volume, start time.Time, err error) {
	status := "success"
	if err != nil {
		status = "fail-unknown"
	}
	operationDuration.WithLabelValues(PluginName(v), "volume_mount", status, "false").Observe(time.Since(start).Seconds())
}

// PluginName is upstream's name of the plugin of a pod's volume. Claims have the cluster's own provisioner's volumes, which are local ones.
func PluginName(v *v1.Volume) string {
	s := &v.VolumeSource
	for _, p := range []struct {
		is   bool
		name string
	}{
		{s.EmptyDir != nil, "empty-dir"},
		{s.HostPath != nil, "host-path"},
		{s.PersistentVolumeClaim != nil || s.Ephemeral != nil, "local-volume"},
		{s.NFS != nil, "nfs"},
		{s.GitRepo != nil, "git-repo"},
		{s.ConfigMap != nil, "configmap"},
		{s.Secret != nil, "secret"},
		{s.DownwardAPI != nil, "downward-api"},
		{s.Projected != nil, "projected"},
		{s.Image != nil, "image"},
	} {
		if p.is {
			return "kubernetes.io/" + p.name
		}
	}
	return cmp.Or(sourceKind(v.VolumeSource), "unknown")
}
