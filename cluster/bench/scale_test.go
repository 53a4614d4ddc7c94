package bench

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"
)

// BenchmarkRawEtcd is the scale for the other figures: how many values of a pod's size
// etcd alone, in one process and with nothing around it, syncs to this machine's disk
// for 16 writers. A created and bound pod is two such writes and an event.
func BenchmarkRawEtcd(b *testing.B) {
	etcd, stop, err := etcd.StartEmbedded(b.Context(), etcd.Config{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	value := string(bytes.Repeat([]byte("x"), 1500))
	const writes = 10_000
	began := time.Now()
	each := spread(b, writes, writers, func(i int) error {
		_, err := etcd.Put(b.Context(), fmt.Sprintf("/registry/pods/default/raw-%05d", i), value)
		return err
	})
	b.ReportMetric(writes/time.Since(began).Seconds(), "writes/s")
	b.ReportMetric(millis(each, 50), "p50-ms")
}
