package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/version"
)

// defaultVersion returns the API level that clients may expect, by the release of k8s.io/api
// that the server is built with.
func defaultVersion() version.Info {
	return version.Info{
		Major: "1", Minor: "36", EmulationMajor: "1", EmulationMinor: "36", GitVersion: "v1.36.3+wheelhouse", GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

func (r *request) writeVersion() error {
	body, err := json.MarshalIndent(r.s.Version, "", "  ")
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusOK, "application/json", body)
}

// healthPath splits /readyz/etcd into "readyz" and "etcd".
func healthPath(path string) (name, check string, ok bool) {
	name, check, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name, strings.TrimSuffix(check, "/"), name == "healthz" || name == "livez" || name == "readyz"
}

// checks returns the checks of a health path. The server is live as long as it answers,
// healthy when it reaches its store, and ready when all else that it needs is ready too.
func (s *Server) checks(name string) []Check {
	checks := []Check{{Name: "ping", Check: func(context.Context) error { return nil }}}
	if name == "livez" {
		return checks
	}
	checks = append(checks, Check{Name: "etcd", Check: s.Store.WaitReady})
	if name == "readyz" {
		checks = append(checks, s.Ready...)
		checks = append(checks, Check{Name: "shutdown", Check: func(context.Context) error {
			if s.closing() {
				return fmt.Errorf("the server is shutting down")
			}
			return nil
		}})
	}
	return checks
}

// checkTimeout is how long a health check may take: a caller that polls gets its answer soon.
const checkTimeout = 2 * time.Second

func (c Check) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return c.Check(ctx)
}

func (r *request) serveHealth(name, only string) error {
	excluded := r.URL.Query()["exclude"]
	checks := r.s.checks(name)
	if only != "" {
		i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == only })
		if i < 0 {
			http.NotFound(r.w, r.Request)
			return nil
		}
		checks = checks[i : i+1]
	}
	var lines strings.Builder
	failed := 0
	for _, c := range checks {
		if slices.Contains(excluded, c.Name) {
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		err := c.run(r.Context())
		r.s.logHealth(c.Name, err)
		r.s.metrics.Checked(c.Name, name, err)
		if err != nil {
			failed++
			fmt.Fprintf(&lines, "[-]%s failed: reason withheld\n", c.Name)
			continue
		}
		fmt.Fprintf(&lines, "[+]%s ok\n", c.Name)
	}
	r.w.Header().Set("X-Content-Type-Options", "nosniff")
	if failed > 0 {
		return r.writeBody(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte(lines.String()+name+" check failed\n"))
	}
	if _, verbose := r.URL.Query()["verbose"]; verbose {
		return r.writeBody(http.StatusOK, "text/plain; charset=utf-8", []byte(lines.String()+name+" check passed\n"))
	}
	return r.writeBody(http.StatusOK, "text/plain; charset=utf-8", []byte("ok"))
}

// logHealth logs changes of health only: it is requested every second.
func (s *Server) logHealth(check string, err error) {
	was, _ := s.failing.Swap(check, err != nil)
	switch failed, _ := was.(bool); {
	case err != nil && !failed:
		s.Log.Warn("health check failed", "check", check, "err", err)
	case err == nil && failed:
		s.Log.Info("health check passes again", "check", check)
	}
}

// writePaths answers "/".
func (r *request) writePaths() error {
	paths := append([]string{"/api", "/api/v1", "/apis"}, r.routes.discovery.paths...)
	paths = append(paths, "/healthz", "/livez", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/readyz", "/version")
	for path := range r.s.Paths {
		if !strings.HasSuffix(path, "/") && !strings.HasPrefix(path, "/debug/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	body, err := json.MarshalIndent(map[string][]string{"paths": paths}, "", "  ")
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusOK, "application/json", body)
}
