package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"k8s.io/client-go/util/cert"

	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/kubelet/mirror"
	"wheelhouse/lab-runner/bundle"
)

func bundleCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bundle", Short: "One file for a class without internet: programs, images, labs, slides, packages",
		Args: knownCommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(bundleCreate(), bundleVerify(), bundleServe(), bundleExtract(), bundleImages())
	return c
}

func bundleCreate() *cobra.Command {
	var o bundle.Create
	var out string
	c := &cobra.Command{
		Use: "create", Short: "Pack a directory, which `make bundle` fills, into a bundle", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := o.Write(c.Context(), out)
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			return describeBundle(c, out, b)
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "class.tar", "the file that is written")
	f.StringVar(&o.From, "from", "bin/bundle", "the directory that is packed")
	f.StringSliceVar(&o.Arches, "arch", nil, "the architectures whose programs, packages and images are packed, such as amd64,arm64 (default: all that there are)")
	f.StringSliceVar(&o.Labs, "labs", nil, "the tracks of labs that are packed (default: all)")
	return c
}

// describeBundle prints what is in a bundle.
func describeBundle(c *cobra.Command, name string, b *bundle.Bundle) error {
	images, err := b.ImageNames()
	if err != nil {
		return err
	}
	size := int64(0)
	for _, m := range b.Members() {
		size += m.Size
	}
	fmt.Fprintf(c.OutOrStdout(), "%s  %s  %d files, %d images, %s\n", name, b.Digest(), len(b.Members()), len(images), humanize.Bytes(uint64(size)))
	return nil
}

func bundleVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check each file of a bundle; the first one that is damaged or missing is the error", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := bundle.Verify(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			return describeBundle(c, args[0], b)
		},
	}
}

func bundleExtract() *cobra.Command {
	return &cobra.Command{
		Use: "extract FILE DIR [DIRECTORY...]", Short: "Write files of a bundle into a directory: all, or those below some of its directories", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			return b.Extract(args[1], args[2:]...)
		},
	}
}

func bundleImages() *cobra.Command {
	var out, arch string
	c := &cobra.Command{
		Use: "images FILE", Short: "Write the images of a bundle for one architecture as `docker save` does, for docker load or a card, and print their names", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			names, err := b.ImageNames()
			if err != nil {
				return err
			}
			images, err := b.Images()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			saved, err := mirror.Save(c.Context(), images, arch, names, f)
			if err != nil {
				return errors.Join(err, os.Remove(out))
			}
			for _, name := range saved {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "images.tar", "the file that is written")
	c.Flags().StringVar(&arch, "arch", runtime.GOARCH, "the architecture: amd64, arm64 or arm")
	return c
}

// bundleServing are the flags of bundle serve.
type bundleServing struct {
	listen, tlsDir string
	plain          bool
}

func bundleServe() *cobra.Command {
	var o bundleServing
	c := &cobra.Command{
		Use: "serve FILE", Short: "Serve a bundle to a class: a page, the files, and a registry of its images for nodes with --image-mirror", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			fmt.Fprintln(c.OutOrStdout(), "verifying the bundle ...")
			b, err := bundle.Verify(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			if err := describeBundle(c, args[0], b); err != nil {
				return err
			}
			return o.serve(c, b)
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8750", "the address and port; with an address that others reach, the class's")
	c.Flags().StringVar(&o.tlsDir, "tls-dir", "", "serve with TLS: the directory with tls.crt and tls.key, which are made for the address if they are missing")
	c.Flags().BoolVar(&o.plain, "plain-http", false, "serve without TLS on an address that others reach: who is in between can read and change everything")
	return c
}

func (o *bundleServing) serve(c *cobra.Command, b *bundle.Bundle) error {
	handler, err := b.Handler()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen %q: want ADDRESS:PORT, such as 192.168.77.1:8750", o.listen)
	}
	ip := net.ParseIP(host)
	if o.tlsDir == "" && !o.plain && (ip == nil || !ip.IsLoopback()) {
		return errors.New("give --tls-dir, so that nobody in between can change what the class gets, or --plain-http")
	}
	scheme, hint := "http", ""
	var config *tls.Config
	if o.tlsDir != "" {
		if config, err = o.certificate(host, ip); err != nil {
			return err
		}
		scheme, hint = "https", " --image-mirror-ca "+filepath.Join(o.tlsDir, "tls.crt")
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("serve the bundle: %w", err)
	}
	url := scheme + "://" + listener.Addr().String()
	fmt.Fprintf(c.OutOrStdout(), "serving at %s\nnodes: wheelhouse node ... --image-mirror %s%s\n", url, url, hint)
	return serveUntil(c.Context(), listener, config, handler, connlimit.Config{PerSource: 64, Total: 1024}, logger("bundle"))
}

// certificate returns the certificate of the directory, made if there is none. It is its own authority.
func (o *bundleServing) certificate(host string, ip net.IP) (*tls.Config, error) {
	crt, key := filepath.Join(o.tlsDir, "tls.crt"), filepath.Join(o.tlsDir, "tls.key")
	if _, err := os.Stat(crt); errors.Is(err, fs.ErrNotExist) {
		if ip != nil && ip.IsUnspecified() || host == "" {
			return nil, errors.New("--listen: name the address for which a certificate is made, such as 192.168.77.1:8750")
		}
		certificate, private, err := cert.GenerateSelfSignedCertKey(host, nil, nil)
		if err == nil {
			err = errors.Join(os.MkdirAll(o.tlsDir, 0o700), os.WriteFile(key, private, 0o600), os.WriteFile(crt, certificate, 0o644))
		}
		if err != nil {
			return nil, fmt.Errorf("make a certificate: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(crt, key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of --tls-dir: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// serveUntil serves clients that are not trusted until ctx is done: by TLS if there is a config, with bounds on
// connections, in all and of an address, and on the size and the time of a request's header.
func serveUntil(ctx context.Context, l net.Listener, config *tls.Config, handler http.Handler, limits connlimit.Config, log *slog.Logger) error {
	limited := connlimit.New(l, limits)
	server := &http.Server{
		Handler: handler, TLSConfig: config, ConnState: limited.ConnState,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	var err error
	if config != nil {
		err = server.ServeTLS(limited, "", "")
	} else {
		err = server.Serve(limited)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
