// Package app is what the labs' web applications share: a server that ends without losing
// a request, a health port whose answers can be switched off, and the pages of the
// monolith and of the two services that it was taken apart into. A program brings its name,
// its version and the pages that it has.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Program is one web application.
type Program struct {
	Name    string
	Version string
	// Pages makes the application's own pages, once the flags are read. Health is the
	// program's, for pages that show or change it.
	Pages func(health *Health) http.Handler
	// Flags adds the program's own flags; may be nil.
	Flags func(flags *flag.FlagSet)
	// HTTP is the address it serves by default, ":80" if empty.
	HTTP string
	// HealthPort is the address of the health pages by default; if it is empty they are
	// not served apart.
	HealthPort string
}

// settings are what the command line says.
type settings struct {
	http, health string
	drain        time.Duration
}

// Main runs the program until it is stopped, and exits.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := p.run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s ends: %v\n", p.Name, err)
		os.Exit(1)
	}
}

func (p Program) run(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	if p.HTTP == "" {
		p.HTTP = ":80"
	}
	flags.StringVar(&s.http, "http", p.HTTP, "address to serve")
	flags.StringVar(&s.health, "health", p.HealthPort, "address of the health pages; empty: none")
	flags.DurationVar(&s.drain, "drain", 3*time.Second, "how long to go on serving after the signal to end")
	if p.Flags != nil {
		p.Flags(flags)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	health := &Health{}
	servers := []*http.Server{{Addr: s.http, Handler: logged(farewell(health, p.Pages(health)))}}
	if s.health != "" {
		servers = append(servers, &http.Server{Addr: s.health, Handler: health})
	}
	fmt.Printf("%s %s serves %s\n", p.Name, p.Version, s.http)
	return serve(ctx, servers, health, s.drain)
}

// serve answers until ctx ends, and then a while longer. The signal to end and the news
// that a pod has ended travel apart: for a moment others still send requests here. So all
// are answered for drain, each with the advice not to use the connection again, and only
// then is nothing more accepted.
func serve(ctx context.Context, servers []*http.Server, health *Health, drain time.Duration) error {
	ended := make(chan error, len(servers))
	for _, s := range servers {
		s.ReadHeaderTimeout = 5 * time.Second
		go func() { ended <- s.ListenAndServe() }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	fmt.Printf("told to end: serving on for %v\n", drain)
	health.drain()
	select {
	case err := <-ended:
		return err
	case <-time.After(drain):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var failed []error
	for _, s := range servers {
		failed = append(failed, s.Shutdown(grace))
	}
	return errors.Join(failed...)
}

// closing ends a connection with its next response once the program terminates.
func farewell(health *Health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if health.draining() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// logged prints a line for each request.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		fmt.Printf("%s %s %q %d\n", time.Now().UTC().Format(time.RFC3339), r.RemoteAddr, r.Method+" "+r.URL.RequestURI(), seen.status)
	})
}

// watched remembers the status that was sent.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
