package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"wheelhouse/cluster/store/etcd"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/pairing"
	"wheelhouse/cluster/scheduler"
	"wheelhouse/cluster/store/encryption"
	"wheelhouse/cluster/ui"
)

func serverCommand() *cobra.Command {
	var o serverOptions
	c := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane in one process: etcd, API server, controllers, scheduler, DNS, Ingresses",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return again(o.run(c.Context(), logger("server"), o.runComponents))
		},
	}
	o.register(c)
	return c
}

func apiserverCommand() *cobra.Command {
	var o serverOptions
	c := &cobra.Command{
		Use:   "apiserver",
		Short: "Run the API server alone, with the embedded etcd or --etcd-servers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return again(o.run(c.Context(), logger("apiserver"), nil))
		},
	}
	o.register(c)
	return c
}

// run runs etcd, the store and the API server, then more, over the in-memory transport.
// It returns when ctx is done or one of them fails.
func (o *serverOptions) run(ctx context.Context, log *slog.Logger, more func(context.Context, *controlPlane, *slog.Logger) error) error {
	if err := errors.Join(o.recall(), o.check()); err != nil {
		return err
	}
	// A port that is in use is an error before anything is started.
	listener, err := net.Listen("tcp", net.JoinHostPort(o.address.String(), strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("listening for the API (choose another with --address and --port): %w", err)
	}
	defer listener.Close()
	o.port = listener.Addr().(*net.TCPAddr).Port
	peers, err := o.peers(ctx, log)
	if err != nil {
		return err
	}
	keys, err := pki.Open(filepath.Join(o.stateDir, "pki"), "wheelhouse", o.etcd.evidence(o.stateDir)...)
	if err == nil {
		err = o.peerCertificate(peers)
	}
	if err != nil {
		return fmt.Errorf("the directory %s cannot be used (choose another with --state-dir): %w", o.stateDir, err)
	}
	auditLog, stopAudit, err := o.audit.start(log) //nolint:contextcheck // stopAudit ends it
	if err != nil {
		return err
	}
	defer stopAudit() // when the server has answered its last request
	db, encrypted, err := o.openStorage(ctx, peers, log)
	if err != nil {
		return err
	}
	defer db.close()
	cp, err := o.assemble(db, encrypted, keys, auditLog, log) //nolint:contextcheck // kubelets are verified for each connection
	if err != nil {
		return err
	}
	cp.own.peer = func() error { return o.peerCertificate(peers) }
	if err := cp.own.renew(); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return settle(ctx, log) })
	all.Go(func() error { return db.maintain(ctx, cp.self) })
	all.Go(func() error { return ended(ctx, "store", cp.store.Run(ctx)) })
	all.Go(func() error { return o.encryption.run(ctx, cp.encryption, cp.store) })
	all.Go(func() error { return ended(ctx, "authorizer", cp.authz.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "API server", cp.server.Serve(ctx, listener, cp.own.servingTLS())) })
	all.Go(func() error { return ended(ctx, "revoked certificates", cp.revoked.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "certificates", cp.own.run(ctx)) })
	all.Go(func() error { return ended(ctx, "admission", cp.admission.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "bootstrap", cp.bootstrap.Run(ctx)) })
	if cp.live != nil {
		all.Go(func() error { return ended(ctx, "the list of masters", cp.live.Run(ctx)) })
	}
	all.Go(func() error { return o.followAddress(ctx, log) })
	if o.announce {
		at := netip.AddrPortFrom(o.address.Addr, uint16(o.port))
		all.Go(func() error { return pairing.Announce(ctx, at, log.With("component", "announcement")) })
	}
	if more != nil {
		all.Go(func() error { return more(ctx, cp, log) })
	}
	return all.Wait()
}

// openStorage opens etcd and the keys of what is encrypted in it.
func (o *serverOptions) openStorage(ctx context.Context, peers *etcd.Peers, log *slog.Logger) (*database, *encryption.File, error) {
	o.encryption.mayMake = o.keepsSecrets()
	db, err := o.etcd.open(ctx, o.stateDir, peers, log)
	if err != nil {
		return nil, nil, err
	}
	if db.member != nil {
		err = o.complete(ctx, db.member)
	}
	var encrypted *encryption.File
	if err == nil {
		encrypted, err = o.encryption.open(ctx, filepath.Join(o.stateDir, "pki"), db.client, log)
	}
	if err != nil {
		db.close()
		return nil, nil, err
	}
	return db, encrypted, nil
}

// runComponents runs controllers, scheduler, DNS and Ingresses over the in-memory transport. They
// share one informer factory: each object is kept once. There may be other servers, so that a
// Lease decides who acts; a server that lost it stands for it again, as its API is as good as
// ever.
func (o *serverOptions) runComponents(ctx context.Context, cp *controlPlane, log *slog.Logger) error {
	if err := cp.bootstrap.WaitReady(ctx); err != nil {
		return ended(ctx, "bootstrap", err)
	}
	for {
		err := o.runTerm(ctx, cp, log)
		if !errors.Is(err, controller.ErrLost) {
			return err
		}
		log.Warn("the components restart", "err", err)
	}
}

// runTerm runs the components until ctx is done or a Lease is lost.
func (o *serverOptions) runTerm(ctx context.Context, cp *controlPlane, log *slog.Logger) error {
	handler := cp.server.Handler()
	shared, err := kubernetes.NewForConfig(client.As(client.InProcess(handler, owner), client.APIServer))
	if err != nil {
		return err
	}
	factory := client.Informers(shared)
	as := func(user string) *rest.Config {
		return client.InProcess(handler, &client.User{Name: user, Groups: []string{"system:authenticated"}})
	}
	controllers := term{lease: controllersLease, identity: cp.identity, health: &cp.parts.controllers, times: o.leases}
	scheduling := term{lease: schedulerLease(""), identity: cp.identity, health: &cp.parts.scheduler, times: o.leases}
	config := o.controllers.config(cp.keys.CertPEM(), &o.networkFlags, o.address.Addr, o.ingress.at(o.address.Addr).Address)
	config.SignToken = signToken(cp.keys.TokenKey())
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return runControllers(ctx, as(pki.ControllerManager), factory, config, controllers, log)
	})
	all.Go(func() error {
		return runScheduler(ctx, as(pki.Scheduler), factory, scheduler.Config{Journal: cp.journal, Log: log}, scheduling)
	})
	if o.dnsPort != 0 {
		resolver := o.resolver.config(log)
		resolver.Addr, resolver.Domain, resolver.Service = netip.AddrPortFrom(o.address.Addr, uint16(o.dnsPort)), o.domain, o.dns.Addr
		all.Go(func() error { return runDNS(ctx, factory, resolver) })
	}
	all.Go(func() error {
		return o.ingress.run(ctx, as(client.IngressUser), factory, o.ingress.at(o.address.Addr), log)
	})
	if o.servesUI() {
		all.Go(func() error { return ended(ctx, "the web page", ui.Run(ctx, o.uiAddress())) })
	}
	return all.Wait()
}

// restartedEnv is set in a process that has replaced one whose etcd had given up.
const restartedEnv = "WHEELHOUSE_ETCD_RESTARTED"

// again replaces the process by a new one with the same id if that is how it ended.
func again(err error) error {
	if !errors.Is(err, etcd.ErrRestart) && !errors.Is(err, errMoved) {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if errors.Is(err, etcd.ErrRestart) {
		if err := os.Setenv(restartedEnv, "1"); err != nil {
			return err
		}
	}
	return syscall.Exec(program, os.Args, os.Environ())
}
