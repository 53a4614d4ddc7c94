package steps

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// secureText sends requests over TLS, and requires a certificate for that name that the
// certificates in a file of the lab verify.
func (w *World) secureText(ctx context.Context, port int, kind, name, path, file, server, text string) error {
	return w.eventually(ctx, condition{
		text:  fmt.Sprintf("port %d of %s %s answers %s over TLS as %s, trusting %s, with %q", port, kind, name, path, server, file, text),
		about: name, try: "kubectl describe " + kind + " " + name + "; openssl x509 -text -noout -in " + file,
		probe: func(ctx context.Context) (string, bool, error) {
			host, err := w.host(ctx, kind, name)
			if err != nil || host == "" {
				return kind + " " + name + " has no address", false, err
			}
			client, err := w.trusting(file, server)
			if err != nil {
				return "", false, err
			}
			defer client.CloseIdleConnections()
			body, err := sendRequest(ctx, client, "https://"+net.JoinHostPort(host, strconv.Itoa(port))+path)
			return answer(host, http.StatusOK, body), strings.Contains(body, text), err
		},
	})
}

func (w *World) host(ctx context.Context, kind, name string) (string, error) {
	if kind == "service" {
		s, err := w.service(ctx, name)
		if err != nil {
			return "", err
		}
		return s.Spec.ClusterIP, nil
	}
	p, err := w.pod(ctx, name)
	if err != nil {
		return "", err
	}
	return p.Status.PodIP, nil
}

func (w *World) trusting(file, server string) (*http.Client, error) {
	text, err := os.ReadFile(filepath.Join(w.Dir, file))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return &http.Client{
		Timeout:   w.Slow.Wait(5 * time.Second),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: server, MinVersion: tls.VersionTLS12}},
	}, nil
}
