package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/local"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/server"
	"wheelhouse/lab-runner/classroom/web"
	"wheelhouse/lab-runner/classroom/workbench"
	"wheelhouse/lab-runner/slides"
)

const defaultClassListen = ":8443"

// classroomServing are the flags of `classroom serve`.
type classroomServing struct {
	classroomFlags
	listen, host, prefix, title, open, cert, key string
	labs                                         []string
	learners                                     int
	plain, sharedAddress                         bool
	proxies                                      []string
	bundle                                       classBundle
	own                                          learnerClusters
}

func classroomServe() *cobra.Command {
	o := classroomServing{listen: defaultClassListen, prefix: "/", title: "Kubernetes", learners: 40}
	c := &cobra.Command{
		Use: "serve", Short: "Serve a class until Ctrl-C; what it has is in the cluster, and the next serve goes on", Args: cobra.NoArgs,
		Long: "Serve starts the cluster of this machine if it does not run (as `wheelhouse up --class`), or uses that of --kubeconfig, and serves the class:\n" +
			"the learners' page, the instructor's board, slides. It prints their addresses, the room's code and a password for one login.",
		RunE: func(c *cobra.Command, _ []string) error { return o.serve(c) },
	}
	o.registerAll(c)
	o.timeoutFlag(c, "each step of the cluster's start")
	c.Flags().StringVar(&o.listen, "listen", o.listen, "the address and port to serve at")
	c.Flags().StringVar(&o.host, "host", "", "the name or address that learners open (default: the address of --listen, or this machine's)")
	c.Flags().StringVar(&o.prefix, "path-prefix", o.prefix, "the path below which the class is served, for a proxy in front")
	c.Flags().StringVar(&o.title, "title", o.title, "the title of a new class")
	c.Flags().StringSliceVar(&o.labs, "labs", nil, "the labs that are offered: tracks, or TRACK/NAME, in this order (default: those of the class, of a new one all)")
	c.Flags().StringVar(&o.open, "open", "first", "which labs of a new class, or of --labs, are open at the beginning: first (that is done in the class), all or none")
	c.Flags().IntVar(&o.learners, "learners", o.learners, "the most learners; more are refused with a sentence")
	o.own.register(c)
	c.Flags().BoolVar(&o.plain, "plain-http", false, "serve without TLS: who reads the network's traffic can act as any learner and as the instructor")
	c.Flags().StringVar(&o.cert, "tls-cert-file", "", "a certificate, PEM (default: one of the cluster's authority)")
	c.Flags().StringVar(&o.key, "tls-private-key-file", "", "its key")
	c.Flags().StringSliceVar(&o.proxies, "trusted-proxies", nil, "the networks of proxies in front, such as 10.0.0.5/32: their X-Forwarded-For, and no one else's, says whose requests they forward")
	c.Flags().BoolVar(&o.sharedAddress, "shared-address", false, "learners may all have one address, behind a router: new ones of one address are not bounded to a quarter of --learners at once and two a minute")
	o.bundle.register(c)
	return c
}

func (o *classroomServing) serve(c *cobra.Command) error {
	if err := o.own.check(o.name); err != nil {
		return err
	}
	if o.learners < 1 || !slices.Contains([]string{"first", "all", "none"}, o.open) {
		return errors.New("--learners is at least 1, and --open is first, all or none")
	}
	proxies, err := parsePrefixes(o.proxies)
	if err != nil {
		return fmt.Errorf("--trusted-proxies: %w", err)
	}
	root, end, err := o.bundle.open(c)
	if err != nil {
		return err
	}
	defer end()
	labs, err := catalog.Load(root)
	if err != nil {
		return err
	}
	offered, err := offer(labs, o.labs)
	if err != nil {
		return err
	}
	if err := o.startCluster(c); err != nil {
		return err
	}
	rc, cs, err := o.connect()
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	defer listener.Close()
	r, err := o.class(c.Context(), cs, labs, offered)
	if err != nil {
		return err
	}
	config, authority, err := o.certificate(c.Context(), cs)
	if err != nil {
		return err
	}
	takings, err := o.takings()
	if err != nil {
		return err
	}
	cfg := server.Config{
		Takings: takings, Proxies: proxies, SharedAddress: o.sharedAddress,
		Roster: r, Labs: labs, Assets: web.Assets(), Policy: web.ContentSecurityPolicy, CA: authority,
		Plain: o.plain, Prefix: o.prefix, Log: logger("classroom"),
	}
	beside, err := o.places(c.Context(), &cfg, rc, cs)
	if err != nil {
		return err
	}
	var s *server.Server
	if dir, err := os.OpenRoot(filepath.Join(root, "slides")); err == nil {
		defer func() { _ = dir.Close() }()
		stage, end, err := newStage(labs, o.path)
		if err != nil {
			return err
		}
		defer end(c)
		cfg.Slides = slides.Handler(slides.Config{
			Files: dir.FS(), Notes: func(r *http.Request) bool { return s.Instructor(r) },
			Live: func(r *http.Request) slides.Live {
				if !s.Instructor(r) {
					return nil
				}
				return stage
			},
		})
	}
	if s, err = server.New(cfg); err != nil {
		return err
	}
	if err := o.print(c, r, listener.Addr(), authority); err != nil {
		return err
	}
	return o.run(c.Context(), s, append(beside, s.Run, r.Run), listener, config)
}

// places sets where learners work: in namespaces of the class's cluster, or each in a cluster of their own, which the pool has. It
// returns what runs beside the server for that.
func (o *classroomServing) places(ctx context.Context, cfg *server.Config, rc *rest.Config, cs kubernetes.Interface) ([]func(context.Context) error, error) {
	benches, err := workbench.New(workbench.Config{REST: rc})
	if err != nil {
		return nil, err
	}
	o.own.most, cfg.Gives = o.learners, o.own.gives()
	maker, err := o.own.maker(ctx, &o.classroomFlags, cs)
	if err != nil {
		return nil, err
	}
	pool := o.own.pool(&o.classroomFlags, cs, cfg.Roster, maker)
	n, err := pool.Count(ctx)
	if err != nil {
		return nil, err
	}
	if !o.own.wanted() {
		if n > 0 {
			return nil, fmt.Errorf("%d clusters of learners are left of `--per-learner cluster`: serve with that, or remove all learners first (`wheelhouse classroom forget`)", n)
		}
		cfg.Benches, cfg.Streams = benches, benches
		return nil, nil
	}
	if free, err := local.FreeBlocks(o.config()); err != nil || n+free < o.learners {
		return nil, errors.Join(err, fmt.Errorf("--learners %d: this machine has addresses for %d clusters", o.learners, n+free))
	}
	cfg.Benches, cfg.Streams, cfg.Admit = bothPlaces{pool, benches}, pool, pool.Admit
	cfg.Making = 8 * o.learners // the desk and terminals of all: the pool has its own bounds, and none of them waits for another's
	return []func(context.Context) error{pool.Run, maker.keepSmall}, nil
}

// parsePrefixes reads networks; an address is a network of one.
func parsePrefixes(texts []string) (out []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("%q: want a network such as 10.0.0.0/24", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// takings returns what the class gives out. What is pushed is kept beside the cluster of this machine unless a flag says otherwise.
func (o *classroomServing) takings() (server.Takings, error) {
	if o.kubeconfig != "" {
		return o.bundle.takings("")
	}
	return o.bundle.takings(filepath.Join(o.stateDir, o.name, "registry"))
}

// offer returns the labs that names, tracks or TRACK/NAME, mean; without names all.
func offer(labs []*catalog.Lab, names []string) ([]string, error) {
	var out []string
	for _, l := range labs {
		if len(names) == 0 {
			out = append(out, l.ID())
		}
	}
	for _, name := range names {
		found := 0
		for _, l := range labs {
			if (name == l.Track || name == l.ID()) && !slices.Contains(out, l.ID()) {
				out = append(out, l.ID())
				found++
			}
		}
		if found == 0 {
			picked, err := catalog.Pick(labs, []string{name})
			if err != nil {
				return nil, fmt.Errorf("--labs: %w", err)
			}
			out = append(out, picked[0].ID())
		}
	}
	return out, nil
}

// startCluster starts the cluster of this machine, or its missing processes.
func (o *classroomServing) startCluster(c *cobra.Command) error {
	if o.kubeconfig != "" {
		return nil
	}
	if err := o.bundle.load(c); err != nil {
		return err
	}
	cfg := o.config()
	state, err := local.Status(cfg)
	if err == nil && state.Healthy() {
		return nil
	}
	if err != nil && !errors.Is(err, local.ErrNoCluster) {
		return err
	}
	if class := true; errors.Is(err, local.ErrNoCluster) {
		if cfg.Class, cfg.Nodes = &class, 2; o.own.wanted() {
			cfg.Nodes = 1 // of the slides' commands: learners' pods are in their own clusters
		}
	} else {
		cfg.Nodes = max(0, len(state.Processes)-2) // beside the server and the master's node
	}
	return local.Up(c.Context(), cfg, c.OutOrStdout())
}

// class opens the class, or makes it. --labs changes what an earlier serve has offered.
func (o *classroomServing) class(ctx context.Context, cs kubernetes.Interface, labs []*catalog.Lab, offered []string) (*roster.Roster, error) {
	opened := map[string]bool{}
	for _, id := range offered {
		here := slices.ContainsFunc(labs, func(l *catalog.Lab) bool { return l.ID() == id && l.Elsewhere(o.own.gives()) == "" })
		if o.open == "all" || o.open == "first" && here && len(opened) == 0 {
			opened[id] = true
		}
	}
	r, err := roster.Open(ctx, roster.Config{Client: cs, Limit: o.learners, Prune: true, Log: logger("classroom")}, func() roster.Class {
		return roster.Class{Title: o.title, Labs: offered, Open: opened}
	})
	if err != nil || len(o.labs) == 0 {
		return r, err
	}
	return r, r.UpdateClass(ctx, func(k *roster.Class) {
		if !slices.Equal(k.Labs, offered) {
			k.Labs = offered
			for id := range opened {
				k.Open = roster.Set(k.Open, id, true)
			}
		}
	})
}

// print shows what the room needs.
func (o *classroomServing) print(c *cobra.Command, r *roster.Roster, at net.Addr, authority []byte) error {
	code, err := r.Code(c.Context())
	if err != nil {
		return err
	}
	password, err := r.NewPassword(c.Context())
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return err
	}
	host, scheme, prefix := o.host, "https", "/"+strings.Trim(o.prefix, "/")
	if own, ok := at.(*net.TCPAddr); ok && host == "" && !own.IP.IsUnspecified() {
		host = own.IP.String()
	}
	if host == "" {
		host = "localhost"
		if found, err := sourceTo("192.0.2.1:9"); err == nil { // no machine has it; nothing is sent
			host = found.String()
		}
	}
	if o.plain {
		scheme = "http"
	}
	url := scheme + "://" + net.JoinHostPort(host, port) + strings.TrimSuffix(prefix, "/") + "/"
	out := c.OutOrStdout()
	qrterminal.GenerateHalfBlock(url+"#code="+code, qrterminal.L, out)
	fmt.Fprintf(out, "learners:   %s\nroom code:  %s\ninstructor: %sboard\npassword:   %s (for one login; `wheelhouse classroom password` makes another)\n", url, code, url, password)
	if o.bundle.bundle != nil || o.bundle.registryDir != "" {
		o.bundle.print(c, scheme, net.JoinHostPort(host, port), url, authority != nil)
	}
	if print, err := server.Fingerprint(authority); err == nil {
		fmt.Fprintf(out, "trust:      %strust\nauthority:  SHA-256 %s\n", url, print)
	}
	if !web.Built() {
		fmt.Fprintln(out, "the pages are not in this program: `make build` builds them")
	}
	return nil
}

// run serves until ctx is done, and ends when what desks have reported is stored.
func (o *classroomServing) run(ctx context.Context, s *server.Server, parts []func(context.Context) error, l net.Listener, config *tls.Config) error {
	ended := make(chan error, len(parts))
	for _, run := range parts {
		go func() { ended <- run(ctx) }()
	}
	// A room may have one address, behind a router or a proxy: a learner has about three connections.
	limits := connlimit.Config{PerSource: 8*o.learners + 64, Total: 10*o.learners + 256, Unacknowledged: 45 * time.Second}
	if err := serveUntil(ctx, l, config, s.Handler(), limits, logger("classroom")); err != nil {
		return fmt.Errorf("serving the class: %w", err)
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// certificate returns the certificate, and the authority that learners may trust; both nil for plain HTTP.
func (o *classroomServing) certificate(ctx context.Context, cs kubernetes.Interface) (*tls.Config, []byte, error) {
	if o.plain {
		return nil, nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	names, ips := o.hosts()
	dir := filepath.Join(o.stateDir, o.name, "pki")
	switch {
	case (o.cert == "") != (o.key == ""):
		return nil, nil, errors.New("--tls-cert-file and --tls-private-key-file go together")
	case o.cert != "":
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		config.Certificates = []tls.Certificate{pair}
		return config, nil, err
	case o.kubeconfig == "" && existing(filepath.Join(dir, "ca.key")) != "":
		keys, err := pki.Open(dir, "wheelhouse")
		if err != nil {
			return nil, nil, fmt.Errorf("the cluster's authority: %w", err)
		}
		pair, err := keys.Pair("classroom", pki.Request{CommonName: "wheelhouse-class", DNSNames: names, IPs: ips, Server: true})
		if err != nil {
			return nil, nil, fmt.Errorf("a certificate of the class: %w", err)
		}
		leaf, err := pair.TLS()
		config.Certificates = []tls.Certificate{leaf}
		return config, keys.CertPEM(), err
	}
	chain, key, err := roster.Certificate(ctx, cs, names, ips)
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	config.Certificates = []tls.Certificate{pair}
	return config, chain, err
}

// hosts returns what a certificate is for: the names and addresses of this machine.
func (o *classroomServing) hosts() (names []string, ips []net.IP) {
	names = []string{"localhost"}
	if name, err := os.Hostname(); err == nil && name != "localhost" {
		names = append(names, name, name+".local")
	}
	if ip := net.ParseIP(o.host); ip != nil {
		ips = append(ips, ip)
	} else if o.host != "" {
		names = append(names, o.host)
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return names, ips
	}
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() && len(ips) < 64 {
			ips = append(ips, n.IP)
		}
	}
	return names, ips
}
