package etcd

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// AdminPath is the beginning of the paths that Admin answers: GET AdminPath+"status",
// "snapshot" and "members", POST "compact", "defrag" and "remove?member=NAME". It is for administrators: those who may use any path.
const AdminPath = "/wheelhouse/etcd/"

// Admin answers what the commands of an administrator ask. Each answer but a
// snapshot or a list of members is a Status, or an error as text.
func (m *Member) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		switch r.Method + " " + strings.TrimPrefix(r.URL.Path, AdminPath) {
		case "GET status":
		case "GET snapshot":
			if err := m.Snapshot(r.Context(), w); err != nil {
				panic(http.ErrAbortHandler) // the client sees that it is not whole
			}
			return
		case "GET members":
			err = m.running(func() error { return m.writeMembers(r.Context(), w) }) //nolint:contextcheck // it is the request's
			if err == nil {
				return
			}
		case "POST remove":
			err = m.running(func() error { return m.Remove(r.Context(), r.URL.Query().Get("member")) }) //nolint:contextcheck // it is the request's
		case "POST compact":
			err = m.running(func() error { return m.Compact(r.Context()) }) //nolint:contextcheck // it is the request's
		case "POST defrag":
			err = m.running(m.Defragment)
		default:
			http.NotFound(w, r)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(m.Status()) // the client has gone
	})
}

func (m *Member) writeMembers(ctx context.Context, w http.ResponseWriter) error {
	all, err := m.Members(ctx)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // the client has gone
	return nil
}

// The names are those of etcd and of the upstream API server.
var (
	sizeDesc    = prometheus.NewDesc("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.", nil, nil)
	inUseDesc   = prometheus.NewDesc("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.", nil, nil)
	quotaDesc   = prometheus.NewDesc("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", nil, nil)
	storageDesc = prometheus.NewDesc("apiserver_storage_size_bytes", "Size of the storage database file physically allocated in bytes.", []string{"storage_cluster_id"}, nil)
	freeDesc    = prometheus.NewDesc("wheelhouse_etcd_disk_free_bytes", "Free space on the disk of the database in bytes.", nil, nil)
	refusedDesc = prometheus.NewDesc("wheelhouse_etcd_refuses_writes", "1 while only deletions are accepted, for want of space.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *Member) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m *Member) Collect(to chan<- prometheus.Metric) {
	s := m.Status()
	refused := 0.0
	if s.Refusing != "" {
		refused = 1
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(sizeDesc, float64(s.Size))
	gauge(inUseDesc, float64(s.InUse))
	gauge(quotaDesc, float64(s.Quota))
	gauge(storageDesc, float64(s.Size), "etcd-0")
	gauge(freeDesc, float64(s.DiskFree))
	gauge(refusedDesc, refused)
}
