package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/announce"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/netpol"
	"wheelhouse/cluster/proxy"
	"wheelhouse/cluster/zpages"
)

// nodeOptions are the flags of a node: who it is, where its state and its disk are.
type nodeOptions struct {
	kubeconfig    string
	joining       joinOptions
	masters       nodeMasters
	patience      time.Duration
	cluster       string
	name          string
	address       addrFlag
	findsAddress  bool // as no flag gave it
	podCIDR       prefixFlag
	podNetwork    modeFlag
	clusterCIDR   prefixFlag
	serviceCIDR   prefixFlag
	dns           addrFlag
	domain        string
	stateDir      string
	hostRoot      string
	manifests     string
	unschedulable bool
	cleanup       bool
	labels        map[string]string
	resources     nodeResources
	flags         *pflag.FlagSet
}

func (o *nodeOptions) register(c *cobra.Command) {
	f := c.Flags()
	o.flags = f
	o.clusterCIDR.Prefix = netip.MustParsePrefix("10.246.0.0/16")
	o.serviceCIDR.Prefix = netip.MustParsePrefix("10.247.0.0/16")
	o.dns.Addr = netip.MustParseAddr("10.247.0.10")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "the kubeconfig with the API server and the credentials")
	f.StringVar(&o.joining.server, "server", "", "instead of --kubeconfig: the API server to join")
	f.StringVar(&o.joining.token, "token", "", "the join token, as wheelhouse token prints it")
	f.StringVar(&o.joining.tokenFile, "token-file", "", "instead of --token, which other users see in the list of processes: a file with the token, or /dev/stdin")
	f.StringVar(&o.joining.pin, "ca-pin", "", "the hash of the cluster's authority, as wheelhouse token prints it")
	startFlag(f, &o.patience, "the API server")
	f.IntVar(&o.masters.port, "balancer-port", 6444, "the port on loopback at which the masters are reached, whichever of them is live; a free one if it is in use")
	f.StringVar(&o.cluster, "cluster", "wheelhouse", "the cluster's name, the label of the node's Docker objects")
	f.StringVar(&o.name, "name", "", "the node's name (default: the machine's host name)")
	f.Var(&o.address, "address", "the node's address (default: the one from which the machine reaches the server, also when it changes)")
	f.Var(&o.podCIDR, "pod-cidr", "the addresses of this node's pods (default: what the server gives it)")
	o.podNetwork.Mode = network.Auto
	f.Var(&o.podNetwork, "pod-network", "how packets reach the pods of other nodes: auto (a route to nodes on the same link, VXLAN to others), routes, vxlan, wireguard (encrypted; on all nodes), none (another program's matter)")
	f.Var(&o.clusterCIDR, "cluster-cidr", "the addresses of all nodes' pods")
	f.Var(&o.serviceCIDR, "service-cidr", "the addresses of services")
	f.Var(&o.dns, "cluster-dns", "the service address of the cluster's DNS")
	f.StringVar(&o.domain, "cluster-domain", "cluster.local", "the DNS domain of the cluster")
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/wheelhouse/node", "the kubelet's directory")
	f.StringVar(&o.hostRoot, "host-root", "", "the directory that is the node's disk, for hostPath volumes (default: disk below --state-dir; / for the machine's own)")
	f.StringVar(&o.manifests, "pod-manifest-path", "", "the directory with the manifests of static pods (default: manifests below --state-dir)")
	f.BoolVar(&o.unschedulable, "unschedulable", false, "register the node so that no pods are scheduled to it")
	f.BoolVar(&o.cleanup, "cleanup", false, "remove all that the node has made on this machine but its --state-dir, and exit: containers, mounts, pods' directories, control groups, interfaces, routes, packet rules")
	f.StringToStringVar(&o.labels, "labels", nil, "further labels of the node")
	o.resources.register(f)
}

func nodeCommand() *cobra.Command {
	return nodePart("node", "A node in one process: kubelet, proxy, addresses of load balancers and network policies", kubeletPart, proxyPart)
}

func kubeletCommand() *cobra.Command {
	return nodePart("kubelet", "The kubelet alone", kubeletPart)
}

func proxyCommand() *cobra.Command {
	return nodePart("proxy", "The service proxy, addresses of load balancers and network policies alone", proxyPart)
}

// nodeIdentity has the identities of a node: the kubelet's has the rights for its own pods;
// the proxy, the routes and network policies may read services, endpoints, nodes, policies,
// namespaces, and of pods labels and addresses, and share the informers.
type nodeIdentity struct {
	kubelet, proxier *client.Identity
	shared           *client.SharedInformers
	journal          *journal.Log // of kubelet and proxy, which the kubelet's server answers with

	recorder *client.EventRecorder // of the proxy
	policies *netpol.Enforcer      // nil where the proxy is another process
}

// part is a component of a node.
type part struct {
	run func(*nodeOptions, context.Context, nodeIdentity, *slog.Logger) error
	// node is whether it acts as the node, which no other machine may do meanwhile. The proxy alone may have any identity.
	node bool
}

var (
	kubeletPart = part{run: (*nodeOptions).runKubelet, node: true}
	proxyPart   = part{run: (*nodeOptions).runProxy}
)

func (p part) isNode() bool { return p.node }

func (p part) isProxy() bool { return !p.node }

func nodePart(use, short string, parts ...part) *cobra.Command {
	var o nodeOptions
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := logger(use)
			if o.cleanup {
				return o.cleanUp(c.Context(), log)
			}
			return again(o.run(c.Context(), parts, log))
		},
	}
	o.register(c)
	return c
}

// run finds the node's place, joins, and runs the parts until ctx is done, one of them fails or the machine has another address.
func (o *nodeOptions) run(ctx context.Context, parts []part, log *slog.Logger) error {
	if err := o.findName(); err != nil {
		return err
	}
	if o.kubeconfig == "" {
		if err := o.joining.check(o.stateDir, o.name); err != nil {
			return err // before anything is written
		}
	}
	if err := errors.Join(o.record(), o.podNetwork.open(ctx, o.stateDir)); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the masters, where the rest does not start
	if err := o.masters.listen(ctx, log); err != nil {
		return err
	}
	var id nodeIdentity
	var cs *kubernetes.Clientset
	err := awaitStart(ctx, o.patience, log, "the API server", func(ctx context.Context) (err error) {
		if id, err = o.identity(ctx, log); err != nil {
			return err
		}
		if cs, err = kubernetes.NewForConfig(id.kubelet.Config); err != nil {
			return err
		}
		return o.findPlace(ctx, cs)
	})
	if err != nil {
		return err
	}
	// Before anything is changed on the machine: a copy that is refused leaves no rules.
	if slices.ContainsFunc(parts, part.isNode) {
		if err := node.Taken(ctx, cs, o.name); err != nil {
			return err
		}
	}
	if err := o.record(); err != nil {
		return err
	}
	if err := o.masters.follow(id.shared.Discovery().V1().EndpointSlices().Informer()); err != nil {
		return err
	}
	collectEarly()
	all.Go(func() error { return settle(ctx, log) })
	if o.findsAddress {
		all.Go(func() error { return ended(ctx, "the machine's address", o.followAddress(ctx, log)) })
	}
	for _, i := range []*client.Identity{id.kubelet, id.proxier} {
		all.Go(func() error { return ended(ctx, "certificates", i.Run(ctx)) })
	}
	if slices.ContainsFunc(parts, part.isProxy) {
		if err := o.enforce(&id, log); err != nil {
			return err
		}
		defer flush(ctx, id.recorder)
	}
	for _, p := range parts {
		all.Go(func() error { return p.run(o, ctx, id, log) })
	}
	return all.Wait()
}

// identity returns the identity of the kubeconfig, or of a machine that joins. If the API
// server refuses that of an earlier join (it has expired, or was revoked), the node joins
// again with the token.
func (o *nodeOptions) identity(ctx context.Context, log *slog.Logger) (nodeIdentity, error) {
	if o.kubeconfig != "" {
		return o.identityOf(ctx, o.kubeconfig, log)
	}
	path, err := o.joining.join(ctx, o.stateDir, o.name, false)
	if err != nil {
		return nodeIdentity{}, err
	}
	id, err := o.identityOf(ctx, path, log)
	switch {
	case !apierrors.IsUnauthorized(err):
		return id, err
	case o.joining.token+o.joining.tokenFile == "":
		return id, fmt.Errorf("the API server refuses the certificate of node %s, which has expired by its clock or was revoked (start the node with the flags that `wheelhouse token --node %s` prints on a master): %w", o.name, o.name, err)
	}
	if path, err = o.joining.join(ctx, o.stateDir, o.name, true); err != nil {
		return id, err
	}
	return o.identityOf(ctx, path, log)
}

func (o *nodeOptions) identityOf(ctx context.Context, path string, log *slog.Logger) (id nodeIdentity, err error) {
	if err := o.masters.begin(path, filepath.Join(o.stateDir, "masters")); err != nil {
		return id, err
	}
	if id.kubelet, err = client.NodeIdentityVia(path, o.masters.url(), log.With("component", "certificates"), nil); err != nil {
		return id, err
	}
	id.kubelet.Listed = filepath.Join(o.stateDir, "pki")
	if id.proxier, err = id.kubelet.Proxier(ctx); err != nil {
		return id, err
	}
	cs, err := kubernetes.NewForConfig(client.As(id.proxier.Config, client.Proxy))
	if err != nil {
		return id, err
	}
	id.shared, id.journal = client.Informers(cs), journal.New()
	return id, nil
}

func (o *nodeOptions) runKubelet(ctx context.Context, id nodeIdentity, log *slog.Logger) error {
	cs, err := kubernetes.NewForConfig(id.kubelet.Config)
	if err != nil {
		return err
	}
	engine := docker.Config{Cluster: o.cluster, Node: o.name, Log: log.With("component", "docker")}
	if err := o.resources.logs(&engine); err != nil {
		return err
	}
	runtime, err := docker.New(engine)
	if err != nil {
		return err
	}
	defer func() { _ = runtime.Close() }()
	mirrored, err := o.resources.mirror.open(runtime)
	if err != nil {
		return err
	}
	recorder := client.NodeRecorder(cs, "kubelet", o.name)
	defer flush(ctx, recorder)
	pods, routes, annotations, err := o.network(ctx, id.shared, o.repairedBy(recorder, "the kubelet"), log)
	if err != nil {
		return err
	}
	serving := id.kubelet.Serving(o.name, o.address.AsSlice())
	cfg := kubelet.Config{
		Client: cs, Runtime: mirrored, Network: pods, Annotations: annotations, Recorder: recorder, Journal: id.journal, Log: log.With("component", "kubelet"),
		EndpointSlices: id.shared.Discovery().V1().EndpointSlices().Lister(),
	}
	if id.policies != nil {
		cfg.Policies = id.policies
	}
	kept, err := o.kubelet(id.kubelet, serving, cfg)
	if err != nil {
		return err
	}
	if err := o.serve(ctx, serving, log); err != nil {
		return err
	}
	id.shared.Start(ctx.Done())
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return ended(ctx, "certificates", serving.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "network", pods.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "routes", routes.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "kubelet", kept.Run(ctx)) })
	return all.Wait()
}

// serve requests the certificate of the kubelet's server. Until it is issued, which needs the
// addresses in the node's status, the node runs without a server.
func (o *nodeOptions) serve(ctx context.Context, serving *client.Rotation, log *slog.Logger) error {
	err := serving.Renew(ctx)
	if apierrors.IsForbidden(err) {
		log.Warn("the kubelet cannot serve yet", "err", err)
		return nil
	}
	return err
}

func (o *nodeOptions) kubelet(id *client.Identity, serving *client.Rotation, cfg kubelet.Config) (*kubelet.Kubelet, error) {
	callers, err := clientCAs(id.CA)
	if err != nil {
		return nil, err
	}
	disk := o.hostRoot
	switch disk {
	case "":
		disk = filepath.Join(o.stateDir, "disk")
	case "/":
		disk = ""
	}
	cfg.Cluster, cfg.NodeName, cfg.NodeIP = o.cluster, o.name, o.address.Addr
	cfg.RootDir, cfg.HostRoot = filepath.Join(o.stateDir, "kubelet"), disk
	cfg.PodCIDR, cfg.ClusterDNS, cfg.ClusterDomain = o.podCIDR.String(), o.dns.String(), o.domain
	if cfg.StaticPods = o.manifests; cfg.StaticPods == "" {
		cfg.StaticPods = filepath.Join(o.stateDir, "manifests")
	}
	if err := os.MkdirAll(cfg.StaticPods, 0o700); err != nil {
		return nil, err
	}
	cfg.Labels, cfg.Unschedulable = o.labels, o.unschedulable
	cfg.Flags, cfg.Metrics = zpages.Flags(o.flags), slices.Concat(proxy.Collectors(), netpol.Collectors(), client.CertificateMetrics(id, serving))
	cfg.Serving, cfg.ClientCAs, cfg.AllowedUsers = serving.ForServer, callers, []string{"kube-apiserver-kubelet-client"}
	if err := o.resources.apply(&cfg); err != nil {
		return nil, err
	}
	return kubelet.New(cfg)
}

// repairedBy returns what records the repair of a part of the node.
func (o *nodeOptions) repairedBy(recorder record.EventRecorder, component string) func(what string) {
	return func(what string) { //nolint:contextcheck // events outlast what causes them
		recorder.Event(&v1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: o.name, UID: types.UID(o.name)}, v1.EventTypeWarning, "Repaired",
			"Another program has removed or changed "+what+" of the node, which "+component+" has made again")
	}
}

// enforce makes what enforces network policies: the proxy runs it, and the kubelet of the same process waits for it.
func (o *nodeOptions) enforce(id *nodeIdentity, log *slog.Logger) error {
	cs, err := kubernetes.NewForConfig(client.As(id.proxier.Config, client.Proxy))
	if err != nil {
		return err
	}
	id.recorder = client.NodeRecorder(cs, "kube-proxy", o.name)
	id.policies, err = netpol.New(netpol.Config{
		Informers: id.shared, NodeName: o.name, Recorder: id.recorder, Repaired: o.repairedBy(id.recorder, "the proxy"), Log: log.With("component", "network-policies"),
		Bridge: network.Bridge, Attached: func(pod types.UID) bool { return network.Attached(string(pod)) },
	})
	return err
}

func (o *nodeOptions) runProxy(ctx context.Context, id nodeIdentity, log *slog.Logger) error {
	recorder, repaired := id.recorder, o.repairedBy(id.recorder, "the proxy")
	p, err := proxy.New(proxy.Config{
		Informers: id.shared, NodeName: o.name, ClusterCIDR: o.clusterCIDR.String(), ServiceCIDR: o.serviceCIDR.String(),
		Recorder: recorder, Repaired: repaired, Journal: id.journal, Log: log.With("component", "proxy"),
	})
	if err != nil {
		return err
	}
	balancers, err := announce.New(announce.Config{
		Informers: id.shared, NodeName: o.name, NodeIP: o.address.Addr, Serves: proxy.Serves, Recorder: recorder, Log: log.With("component", "load-balancers"),
	})
	if err != nil {
		return err
	}
	id.shared.Start(ctx.Done())
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return ended(ctx, "proxy", p.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "network policies", id.policies.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "load balancers", balancers.Run(ctx)) })
	return all.Wait()
}

// clientCAs returns the authorities of a kubelet's clients.
func clientCAs(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the kubeconfig holds no certificate authority")
	}
	return pool, nil
}
