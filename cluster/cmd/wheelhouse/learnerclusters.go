package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/local"
	"wheelhouse/lab-runner/classroom/capacity"
	"wheelhouse/lab-runner/classroom/clusters"
	"wheelhouse/lab-runner/classroom/roster"
)

// Where learners work.
const (
	inNamespaces = "namespace"
	inClusters   = "cluster"
)

// learnerClusters are the flags of clusters that learners have for themselves.
type learnerClusters struct {
	mode         string
	spare, nodes int
	most         int // clusters, ready ones included; 0: any number
}

func (o *learnerClusters) register(c *cobra.Command) {
	c.Flags().StringVar(&o.mode, "per-learner", inNamespaces, "what each learner works in: a namespace of the class's cluster, or a cluster of their own (root, and Docker on this machine)")
	c.Flags().IntVar(&o.spare, "spare", 2, "with --per-learner cluster: clusters that are kept ready for those who come next")
	c.Flags().IntVar(&o.nodes, "learner-nodes", 1, "with --per-learner cluster: nodes of each, beside its master")
}

func (o *learnerClusters) wanted() bool { return o.mode == inClusters }

// check reports flags that cannot be.
func (o *learnerClusters) check(class string) error {
	switch {
	case o.mode != inClusters && o.mode != inNamespaces:
		return fmt.Errorf("--per-learner %q: want %s or %s", o.mode, inNamespaces, inClusters)
	case o.spare < 0 || o.spare > 100 || o.nodes < 1 || o.nodes > 4:
		return errors.New("--spare is 0 to 100, and --learner-nodes 1 to 4")
	case o.wanted() && len(class) > maxClassName:
		return fmt.Errorf("--name %s: with --per-learner cluster at most %d characters, since learners' clusters are named after it", class, maxClassName)
	case o.wanted() && os.Geteuid() != 0:
		return errors.New("--per-learner cluster makes network namespaces and needs root: run it with sudo")
	}
	return nil
}

// gives returns the requirements of labs that are met; nil: those that a namespace meets.
func (o *learnerClusters) gives() []string {
	switch {
	case !o.wanted():
		return nil
	case o.nodes == 1:
		return []string{"cluster-admin", "own-limits"}
	}
	return []string{"cluster-admin", "own-limits", "many-nodes"}
}

// room returns an error if this machine is short of memory for one more cluster.
func (o *learnerClusters) room() error {
	need, have := int64(capacity.MemoryOfCluster), capacity.Memory()
	if have == capacity.Unknown || have >= need {
		return nil
	}
	return fmt.Errorf("this machine has no memory for a further cluster (%d MB are available, and one needs %d): ask the instructor", have>>20, need>>20)
}

// pool returns the clusters of the class. Nothing is made before it runs.
func (o *learnerClusters) pool(f *classroomFlags, cs kubernetes.Interface, r *roster.Roster) *clusters.Pool {
	return clusters.New(clusters.Config{
		Client: cs, Namespace: roster.DefaultNamespace, Maker: sealedClusters{f.clusterFlags, o.nodes}, Prefix: sealedPrefix(f.name),
		Spare: o.spare, Most: o.most, Room: o.room, Gives: o.gives(), Log: logger("clusters"), Known: func() (ids []string) {
			for _, l := range r.Learners() {
				ids = append(ids, l.ID)
			}
			return ids
		},
	})
}

// maxClassName leaves room for what is added to it.
const maxClassName = 20

// sealedPrefix is what the names of a class's learners' clusters begin with; six characters follow.
func sealedPrefix(class string) string { return class + "-l-" }

// sealedClusters makes clusters of this machine for learners. It implements clusters.Maker.
type sealedClusters struct {
	clusterFlags
	nodes int
}

// Up implements clusters.Maker.
func (s sealedClusters) Up(ctx context.Context, name string) (*rest.Config, error) {
	sealed := true
	cfg := local.Config{Name: name, StateDir: s.stateDir, Nodes: s.nodes, Sealed: &sealed, Timeout: s.timeout}
	if err := local.Up(ctx, cfg, io.Discard); err != nil {
		return nil, err
	}
	rc, err := client.FromKubeconfig(local.KubeconfigPath(name, s.stateDir))
	if err != nil {
		return nil, err
	}
	rc.Wrap(func(rt http.RoundTripper) http.RoundTripper { return guarded{rt} })
	return rc, nil
}

// mostAnswer bounds, in bytes, one answer of a learner's API server. A workbench needs less than a hundredth of it.
const mostAnswer = 16 << 20

// guarded refuses answers that lead elsewhere, and the end of those that are too long: the cluster's administrator is not
// trusted, and this process is on the machine's network and serves everybody.
type guarded struct{ http.RoundTripper }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the learner's API server answers with a redirection (%s)", resp.Status)
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, mostAnswer)
	return resp, nil
}

// WrappedRoundTripper is for upgrades of connections, which look for the transport.
func (g guarded) WrappedRoundTripper() http.RoundTripper { return g.RoundTripper }

// Down implements clusters.Maker.
func (s sealedClusters) Down(ctx context.Context, name string) error {
	if !s.ours(name) {
		return fmt.Errorf("%s is no cluster of a learner", name)
	}
	return local.Down(ctx, local.Config{Name: name, StateDir: s.stateDir, Timeout: s.timeout}, io.Discard)
}

// Names implements clusters.Maker.
func (s sealedClusters) Names() ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(s.stateDir, sealedPrefix(s.name)+"*"))
	var names []string
	for _, d := range dirs {
		if name := filepath.Base(d); s.ours(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// ours reports whether a cluster of that name is one of this class's learners.
func (s sealedClusters) ours(name string) bool {
	return regexp.MustCompile("^" + regexp.QuoteMeta(sealedPrefix(s.name)) + "[a-z0-9]{6}$").MatchString(name)
}

// downLearners removes the clusters of a class's learners.
func (f *clusterFlags) downLearners(ctx context.Context, out io.Writer) error {
	s := sealedClusters{*f, 0}
	names, err := s.Names()
	errs := []error{err}
	for _, name := range names {
		began := time.Now()
		if err := s.Down(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", name, err))
			continue
		}
		fmt.Fprintf(out, "  %-10s gone, with all that was in it, in %.1f s\n", name, time.Since(began).Seconds())
	}
	return errors.Join(errs...)
}
