package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/ingress"
)

// ingressFlags say where Ingresses are served, and where requests are recorded.
type ingressFlags struct {
	http, https int
	accessLog   string
}

func (i *ingressFlags) register(f *pflag.FlagSet) {
	f.IntVar(&i.http, "ingress-http-port", 80, "the port of Ingresses on the address, unless that is loopback; 0 serves none")
	f.IntVar(&i.https, "ingress-https-port", 443, "the same with TLS")
	f.StringVar(&i.accessLog, "ingress-access-log", "", "the file with a line of JSON for each request to an Ingress, rotated at 10 MB, - for standard output (default: none)")
}

func (i *ingressFlags) check() error {
	for flag, port := range map[string]int{"--ingress-http-port": i.http, "--ingress-https-port": i.https} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%s %d: want a port below 65536, or 0 for none", flag, port)
		}
	}
	return nil
}

// at returns where Ingresses are served. A server on loopback serves none: it is for this machine's own clients.
func (i *ingressFlags) at(address netip.Addr) bootstrap.Ingress {
	if address.IsLoopback() {
		return bootstrap.Ingress{}
	}
	return bootstrap.Ingress{Address: address, HTTP: uint16(i.http), HTTPS: uint16(i.https)}
}

// open returns the access log, which is nil if there is none.
func (i *ingressFlags) open() io.Writer {
	switch i.accessLog {
	case "":
		return nil
	case "-":
		return os.Stdout
	}
	return &lumberjack.Logger{Filename: i.accessLog, MaxSize: 10, MaxBackups: 2}
}

// run serves Ingresses, if there is a port for them.
func (i *ingressFlags) run(ctx context.Context, rc *rest.Config, factory informers.SharedInformerFactory, address netip.Addr, log *slog.Logger) error {
	if i.http == 0 && i.https == 0 {
		return nil
	}
	cs, err := kubernetes.NewForConfig(client.As(rc, client.Ingress))
	if err != nil {
		return err
	}
	recorder := client.Recorder(cs, client.Ingress)
	defer flush(ctx, recorder)
	c, err := ingress.New(ingress.Config{
		Client: cs, Informers: factory, Recorder: recorder, Address: address, HTTPPort: uint16(i.http), HTTPSPort: uint16(i.https),
		AccessLog: i.open(), Log: log.With("component", "ingress"),
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return ended(ctx, "ingress", c.Run(ctx))
}

func ingressCommand() *cobra.Command {
	var flags ingressFlags
	var address addrFlag
	c := alone("ingress", "The Ingress controller alone; its credentials read the TLS Secrets of all namespaces", func(ctx context.Context, rc *rest.Config, f informers.SharedInformerFactory, log *slog.Logger) error {
		if err := flags.check(); err != nil {
			return err
		}
		return flags.run(ctx, rc, f, address.Addr, log)
	})
	address.Addr = netip.MustParseAddr("127.0.0.1")
	c.Flags().Var(&address, "address", "the address to listen on, and in the status of Ingresses")
	flags.register(c.Flags())
	return c
}
