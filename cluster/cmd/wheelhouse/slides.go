package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/cluster/connlimit"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/journey"
	"wheelhouse/lab-runner/slides"
	"wheelhouse/lab-runner/slides/stage"
)

// slidesOptions are the flags of `wheelhouse slides`.
type slidesOptions struct {
	listen, open, root, kubeconfig string
}

func slidesCommand() *cobra.Command {
	var o slidesOptions
	c := &cobra.Command{
		Use:   "slides",
		Short: "Serve the workshop's slides to a browser",
		Long: "Slides serves the decks in slides/, and prints their address. On this machine alone, as by default, the commands on the\n" +
			"slides can be run from the browser, and maps and journeys are those of the cluster; the address has a secret in it. What the\n" +
			"commands made is removed at the end (Ctrl-C). With --listen at another address the decks are shown to everybody, without that.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8090", "the address to serve at; port 0 is any free one")
	c.Flags().StringVar(&o.open, "open", "", "the track whose deck the printed address opens, such as workshop")
	c.Flags().StringVar(&o.root, "labs", "", "the directory that has labs/, features/ and slides/ in it (default: found from here or beside the program)")
	c.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "the cluster's kubeconfig (default: $KUBECONFIG, else that of 'wheelhouse up')")
	c.AddCommand(slidesLintCommand(&o))
	return c
}

// decks opens the directory of the decks. Files outside of it are not reached through links.
func (o *slidesOptions) decks() (root string, files fs.FS, err error) {
	if root, err = catalog.Root(o.root); err != nil {
		return "", nil, err
	}
	dir, err := os.OpenRoot(filepath.Join(root, "slides"))
	if err != nil {
		return "", nil, fmt.Errorf("no slides beside the labs: %w", err)
	}
	return root, dir.FS(), nil
}

func (o *slidesOptions) run(c *cobra.Command) error {
	root, files, err := o.decks()
	if err != nil {
		return err
	}
	if o.open != "" {
		if _, err := slides.Read(files, o.open, ""); err != nil {
			tracks, _ := slides.Tracks(files)
			return fmt.Errorf("--open %s: %w; there are %v", o.open, err, tracks)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	defer l.Close()
	cfg, prefix := slides.Config{Files: files}, "/"
	if l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		labs, err := catalog.Load(root)
		if err != nil {
			return err
		}
		live, end, err := newStage(labs, func() string { return cmp.Or(o.kubeconfig, os.Getenv("KUBECONFIG"), kubeconfig()) })
		if err != nil {
			return err
		}
		defer end(c)
		cfg.Live = func(*http.Request) slides.Live { return live }
		prefix = "/" + rand.Text() + "/"
	}
	deck := ""
	if o.open != "" {
		deck = o.open + "/"
	}
	fmt.Fprintf(c.OutOrStdout(), "http://%s%s%s\n", l.Addr(), prefix, deck)
	return serveSlides(c.Context(), l, prefix, slides.Handler(cfg))
}

// serveSlides serves below the prefix until ctx is done. Requests that name another host are refused, so that no other
// site's name can lead to this address.
func serveSlides(ctx context.Context, l net.Listener, prefix string, handler http.Handler) error {
	below := http.StripPrefix(prefix[:len(prefix)-1], handler)
	own := l.Addr().String()
	server, bounded := connlimit.NewServer(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if prefix != "/" && r.Host != own {
			http.Error(w, "open the address that 'wheelhouse slides' has printed", http.StatusMisdirectedRequest)
			return
		}
		below.ServeHTTP(w, r)
	}))
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(bounded); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the slides: %w", err)
	}
	return nil
}

// newStage returns what runs the slides' commands on the cluster of a kubeconfig, and what ends it.
func newStage(labs []*catalog.Lab, place func() string) (*stage.Stage, func(*cobra.Command), error) {
	dir, err := os.MkdirTemp("", "wheelhouse-slides-")
	if err != nil {
		return nil, nil, err
	}
	s := stage.New(stage.Config{
		Labs: labs, Dir: dir,
		Cluster: func(ctx context.Context, lab *catalog.Lab) (*environment.Cluster, error) {
			if err := environment.CurrentCaller().CheckFiles(lab); err != nil {
				return nil, err
			}
			cluster, err := environment.Open(place())
			if err != nil {
				return nil, err
			}
			return cluster, cluster.Share(ctx, lab)
		},
		Journey: func(ctx context.Context, namespace, target string) (string, error) {
			var out bytes.Buffer
			c := journey.Command(place) //nolint:contextcheck // the command gets it by ExecuteContext
			c.SilenceUsage, c.SilenceErrors = true, true
			c.SetOut(&out)
			c.SetArgs([]string{"--namespace", namespace, target})
			err := c.ExecuteContext(ctx)
			return out.String(), err
		},
	})
	return s, func(c *cobra.Command) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), time.Minute)
		defer cancel()
		if err := errors.Join(s.Close(ctx), os.RemoveAll(dir)); err != nil {
			fmt.Fprintf(c.ErrOrStderr(), "removing what the slides' commands made: %v\n", err)
		}
	}, nil
}

func slidesLintCommand(o *slidesOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "lint",
		Short: "Check the decks: their labs, commands, drawings and notes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root, files, err := o.decks()
			if err != nil {
				return err
			}
			labs, err := catalog.Load(root)
			if err != nil {
				return err
			}
			found, err := slides.Lint(files, labs)
			for _, f := range found {
				fmt.Fprintln(c.OutOrStdout(), f)
			}
			if err == nil && len(found) > 0 {
				err = fmt.Errorf("%d faults in the decks", len(found))
			}
			return err
		},
	}
}
