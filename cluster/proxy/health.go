package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/connlimit"
)

// Addresses of a proxy's own health, as kube-proxy's.
const (
	healthzAddress = ":10256"
	statusAddress  = "127.0.0.1:10249"
)

// healthServer serves HTTP: to load balancers, at the health check node port of each service,
// whether this node has ready endpoints; at its own ports, whether the rules are up to
// date. A port that cannot be opened is logged once and retried with the next update.
type healthServer struct {
	log     *slog.Logger
	mu      sync.Mutex
	ok      bool // the last update succeeded
	updated time.Time
	checks  map[types.NamespacedName]HealthCheck
	open    map[string]*http.Server // by address
	refused map[string]bool
}

func newHealth(log *slog.Logger) *healthServer {
	h := &healthServer{log: log, open: map[string]*http.Server{}, refused: map[string]bool{}}
	h.update(nil)
	h.ok = false // until the first rules are in place
	return h
}

// failed is called when an update failed.
func (h *healthServer) failed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok = false
}

// update is called when rules are written, with the health checks to serve.
func (h *healthServer) update(checks map[types.NamespacedName]HealthCheck) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok, h.updated, h.checks = true, time.Now(), checks
	want := map[string]http.Handler{healthzAddress: h.own(), statusAddress: h.own()}
	for _, c := range checks {
		want[":"+strconv.Itoa(int(c.Port))] = h.service(c.Port)
	}
	for address, server := range h.open {
		if _, ok := want[address]; !ok {
			_ = server.Close()
			delete(h.open, address)
		}
	}
	for address, handler := range want {
		if h.open[address] == nil {
			h.listen(address, handler)
		}
	}
}

func (h *healthServer) listen(address string, handler http.Handler) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		if !h.refused[address] {
			h.log.Warn("health checks will not be answered", "address", address, "err", err)
		}
		h.refused[address] = true
		return
	}
	delete(h.refused, address)
	server, bounded := connlimit.NewServer(l, handler)
	h.open[address] = server
	go func() { _ = server.Serve(bounded) }()
}

func (h *healthServer) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, server := range h.open {
		_ = server.Close()
	}
}

// service answers for the service whose port it is, on any path: 200 when traffic may come.
func (h *healthServer) service(port uint16) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		ok, name, local := h.ok, types.NamespacedName{}, 0
		for n, c := range h.checks {
			if c.Port == port {
				name, local = n, c.Local
			}
		}
		h.mu.Unlock()
		w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(local))
		answer(w, ok && local > 0, fmt.Sprintf(`{"service":{"namespace":%q,"name":%q},"localEndpoints":%d,"serviceProxyHealthy":%t}`,
			name.Namespace, name.Name, local, ok))
	})
}

// own serves the health of the proxy.
func (h *healthServer) own() http.Handler {
	mux := http.NewServeMux()
	check := func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		ok, updated := h.ok, h.updated
		h.mu.Unlock()
		now := time.Now()
		if ok {
			updated = now // nothing is waiting
		}
		answer(w, ok, fmt.Sprintf(`{"lastUpdated":%q,"currentTime":%q,"nodeEligible":true}`, updated, now))
	}
	mux.HandleFunc("/healthz", check)
	mux.HandleFunc("/livez", check)
	mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("iptables")) })
	return mux
}

func answer(w http.ResponseWriter, ok bool, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(text))
}
