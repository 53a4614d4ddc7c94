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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/ingress"
)

// ingressFlags say where Ingresses are served, and where requests are recorded.
type ingressFlags struct {
	address     addrFlag
	http, https int
	accessLog   string
}

func (i *ingressFlags) register(f *pflag.FlagSet) {
	f.Var(&i.address, "ingress-address", "the address at which Ingresses are served, and in their status (default: the server's --address, unless that is loopback)")
	f.IntVar(&i.http, "ingress-http-port", 80, "the port of Ingresses; 0 serves none")
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

// at returns where a server serves Ingresses. One on loopback serves none: it is for this machine's own clients.
func (i *ingressFlags) at(server netip.Addr) bootstrap.Ingress {
	at := i.address.Addr
	if !at.IsValid() {
		at = server
	}
	if at.IsLoopback() {
		return bootstrap.Ingress{}
	}
	return bootstrap.Ingress{Address: at, HTTP: uint16(i.http), HTTPS: uint16(i.https)}
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
func (i *ingressFlags) run(ctx context.Context, rc *rest.Config, factory *client.SharedInformers, at bootstrap.Ingress, log *slog.Logger) error {
	if at.HTTP == 0 && at.HTTPS == 0 {
		return nil
	}
	cs, err := kubernetes.NewForConfig(client.As(rc, client.Ingress))
	if err != nil {
		return err
	}
	recorder := client.Recorder(cs, client.Ingress)
	defer flush(ctx, recorder)
	c, err := ingress.New(ingress.Config{
		Client: cs, Informers: factory, Recorder: recorder, Address: at.Address, HTTPPort: at.HTTP, HTTPSPort: at.HTTPS,
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
	c := alone("ingress", "The Ingress controller alone; its credentials read the TLS Secrets of all namespaces", func(ctx context.Context, rc *rest.Config, f *client.SharedInformers, log *slog.Logger) error {
		if err := flags.check(); err != nil {
			return err
		}
		at := bootstrap.Ingress{Address: flags.address.Addr, HTTP: uint16(flags.http), HTTPS: uint16(flags.https)}
		return flags.run(ctx, rc, f, at, log)
	})
	flags.address.Addr = netip.MustParseAddr("127.0.0.1")
	flags.register(c.Flags())
	return c
}
