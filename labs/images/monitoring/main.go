// Monitoring shows what nodes and pods have used of CPU and memory within a day, as graphs on a
// page. Once a minute it reads the metrics API and appends a line to a file of the hour; files
// older than a day are removed, so that disk and memory are bounded. It writes nothing to the
// cluster. It needs an account that may list nodes, and nodes and pods of metrics.k8s.io.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
)

var version = "1.0.0" // the image's tag; build.sh sets it

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	dir := flag.String("dir", "/data", "where the samples are")
	listen := flag.String("listen", ":8080", "where the page is")
	every := flag.Duration("every", time.Minute, "the time between samples")
	flag.Parse()
	err := run(ctx, *dir, *listen, *every)
	stop()
	if err != nil {
		slog.Error("monitoring ends", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, listen string, every time.Duration) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	client.Timeout = 30 * time.Second
	store, err := Open(dir, time.Now())
	if err != nil {
		return err
	}
	slog.Info("monitoring begins", "version", version, "every", every)
	server := &http.Server{Addr: listen, Handler: Page(store, time.Now), ReadHeaderTimeout: 10 * time.Second}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	all.Go(func() error {
		if err := server.ListenAndServe(); ctx.Err() == nil {
			return fmt.Errorf("serving the page: %w", err)
		}
		return nil
	})
	all.Go(func() error {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			sample, err := Collect(ctx, client, cfg.Host)
			if err == nil {
				err = store.Add(sample)
			}
			if err != nil && ctx.Err() == nil {
				slog.Error("a sample is missing", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	return all.Wait()
}
