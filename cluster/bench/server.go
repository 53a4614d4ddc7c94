// Package bench measures the built binary from outside: the server process over TLS,
// with simulated nodes. Its Go benchmarks print the figures of the README's tables
// (`make bench`). It asserts nothing about speed: machines differ, so each run also
// measures a raw etcd as the scale. It is not part of the binary.
package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Server is a running `wheelhouse server` on loopback with a state directory of its own.
type Server struct {
	Config  *rest.Config // cluster-admin, JSON, no client-side limit
	Client  kubernetes.Interface
	Startup time.Duration // from the start of the process until /readyz returned ok
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// StartServer starts the binary and waits until it is ready, 30 s at most.
func StartServer(ctx context.Context, binary, dir string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{cmd: exec.Command(binary, "server", "--state-dir", dir, "--address", "127.0.0.1", "--port", strconv.Itoa(port),
		"--dns-port", "0", "--service-cidr", "10.96.0.0/16", "--pod-cidr", "10.97.0.0/16", "--dns-address", "10.96.0.10")}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	if err := s.awaitReady(ctx, filepath.Join(dir, "admin.kubeconfig")); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w; the server's log:\n%s", err, s.log.String())
	}
	s.Startup = time.Since(began)
	return s, nil
}

func (s *Server) awaitReady(ctx context.Context, kubeconfig string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	last := errors.New("no kubeconfig yet")
	for ; ctx.Err() == nil; pause(ctx, 2*time.Millisecond) {
		cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			continue
		}
		cfg.QPS = -1
		hc, err := rest.HTTPClientFor(cfg)
		if err != nil {
			return fmt.Errorf("reading %s: %w", kubeconfig, err)
		}
		if last = ready(ctx, hc, cfg.Host); last == nil {
			s.Config = cfg
			s.Client, err = kubernetes.NewForConfig(cfg)
			return err
		}
	}
	return fmt.Errorf("not ready within 30 s: %w", last)
}

func ready(ctx context.Context, hc *http.Client, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// ResidentMB returns the resident memory of the server process, in MB (10^6 bytes).
func (s *Server) ResidentMB() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no VmRSS in /proc status")
}

// Stop stops the server and waits for it.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
