// Inspector is the labs' web application: it shows the view of a container: its
// environment, its mounts and its network, one page each. It stands under the name of the
// program that the workshop used, b.gcr.io/kuar/inspector:1.0.0, and shows the same pages.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"
)

var version = "1.0.0" // the image's tag; build.sh sets it

//go:embed page.html
var pages embed.FS

var page = template.Must(template.ParseFS(pages, "page.html"))

func main() {
	addr := flag.String("http", ":80", "address to listen on")
	udp := flag.String("udp", "", "address to answer datagrams on, each with \"echo \" before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if *udp != "" {
		conn, err := net.ListenPacket("udp", *udp)
		if err != nil {
			slog.Error("inspector ends", "error", err)
			os.Exit(1)
		}
		go echo(conn)
	}
	err := serve(ctx, *addr)
	stop()
	if err != nil {
		slog.Error("inspector ends", "error", err)
		os.Exit(1)
	}
}

// echo answers datagrams until conn is closed.
func echo(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if _, err := conn.WriteTo(append([]byte("echo "), buffer[:n]...), from); err != nil {
			slog.Warn("datagram not answered", "from", from, "error", err)
		}
	}
}

// serve answers until ctx ends, and then lets open requests finish.
func serve(ctx context.Context, addr string) error {
	server := &http.Server{Addr: addr, Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		done <- server.Shutdown(grace)
	}()
	slog.Info("inspector listens", "version", version, "address", addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// table is what a page shows.
type table struct {
	Columns []string
	Rows    [][]cell
}

// cell is one text, or a list.
type cell []string

type view struct {
	Version string
	Path    string
	Nav     []link
	Table   *table
}

type link struct{ Path, Text string }

var nav = []link{{"", "Home"}, {"env", "Environment"}, {"mnt", "Mounts"}, {"net", "Network"}}

func handler() http.Handler {
	mux := http.NewServeMux()
	show := func(path string, read func() (*table, error)) {
		mux.HandleFunc("GET /"+path, func(w http.ResponseWriter, r *http.Request) {
			t, err := read()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			if err := page.Execute(w, view{Version: version, Path: strings.TrimSuffix(path, "{$}"), Nav: nav, Table: t}); err != nil {
				slog.Warn("page not sent", "path", r.URL.Path, "error", err)
			}
		})
	}
	show("{$}", func() (*table, error) { return nil, nil })
	show("env", func() (*table, error) { return environment(os.Environ()), nil })
	show("mnt", func() (*table, error) { return mounts("/proc/mounts") })
	show("net", network)
	return mux
}

func environment(vars []string) *table {
	t := &table{Columns: []string{"Name", "Value"}}
	vars = append([]string(nil), vars...)
	sort.Strings(vars)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		t.Rows = append(t.Rows, []cell{{name}, {value}})
	}
	return t
}

// mounts reads a table as the kernel writes it (fstab(5)).
func mounts(file string) (*table, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	t := &table{Columns: []string{"Device", "Path", "Type", "Options"}}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 4 {
			t.Rows = append(t.Rows, []cell{{f[0]}, {f[1]}, {f[2]}, {f[3]}})
		}
	}
	return t, nil
}

func network() (*table, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces: %w", err)
	}
	t := &table{Columns: []string{"Name", "Hardware Address", "IP Addresses"}}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("reading the addresses of %s: %w", i.Name, err)
		}
		list := cell{}
		for _, a := range addrs {
			list = append(list, a.String())
		}
		t.Rows = append(t.Rows, []cell{{i.Name}, {i.HardwareAddr.String()}, list})
	}
	return t, nil
}
