package ingress

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this process has used. Beside other programs it says more than the time that has passed.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIngress sends GET requests of 32 clients with kept connections to an endpoint: directly, and through an Ingress. All
// of it shares this process and machine: the processor time is that of clients, endpoint and Ingress together.
func BenchmarkIngress(b *testing.B) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	page := make([]byte, 1024)
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })}
	go func() { _ = backend.Serve(l) }()
	defer func() { _ = backend.Close() }()
	at := l.Addr().String()
	h := newHandler(nil)
	h.table.Store(everywhere(to(netip.MustParseAddrPort(at))))
	front := must(net.Listen("tcp", "127.0.0.1:0"))
	s := &server{handler: h, fallback: must(selfSigned()), changed: func() {}}
	go func() { _ = s.serveOn(b.Context(), front, nil) }()
	for name, url := range map[string]string{"direct": "http://" + at, "through": "http://" + front.Addr().String()} {
		b.Run(name, func(b *testing.B) {
			const clients = 32
			took := make([][]time.Duration, clients)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			defer client.CloseIdleConnections()
			var all sync.WaitGroup
			b.ResetTimer()
			before := processorTime(b)
			for c := range clients {
				all.Go(func() {
					for range b.N/clients + 1 {
						began := time.Now()
						resp, err := client.Get(url)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						took[c] = append(took[c], time.Since(began))
					}
				})
			}
			all.Wait()
			times := slices.Sorted(slices.Values(slices.Concat(took...)))
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(len(times)), "processor-us/request")
			b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "requests/s")
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
