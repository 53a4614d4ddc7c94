// Node-js stands in for the small server that the field notes replicate: its page tells of
// the host that it runs on, and /status/ that it is well. It stands under that program's
// name, jonbaier/node-express-info:latest, and shows the same facts.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"wheelhouse/labs/images/internal/app"
)

var version = "latest" // the image's tag; build.sh sets it

func main() {
	app.Program{Name: "node-express-info", Version: version, Pages: handler}.Main()
}

func handler(health *app.Health) http.Handler {
	begun := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { info(w, time.Since(begun)) })
	mux.HandleFunc("GET /status/", func(w http.ResponseWriter, _ *http.Request) {
		if !health.Ready() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

func info(w http.ResponseWriter, up time.Duration) {
	host, err := os.Hostname()
	if err != nil {
		host = err.Error()
	}
	fmt.Fprintf(w, "Host: %s\nRunning OS: %s\nUptime: %d seconds\nNetwork Information: %s\nDNS Servers: %s\n",
		host, runtime.GOOS, int(up.Seconds()), strings.Join(addresses(), ", "), strings.Join(nameservers("/etc/resolv.conf"), ", "))
}

// addresses are those that others can reach.
func addresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			out = append(out, ip.String())
		}
	}
	return out
}

// nameservers reads a file of resolv.conf(5).
func nameservers(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	return out
}
