package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/local"
	"wheelhouse/lab-runner/classroom/capacity"
	"wheelhouse/lab-runner/classroom/clusters"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/workbench"
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

func (o *learnerClusters) modeFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.mode, "per-learner", inNamespaces, "what each learner works in: a namespace of the class's cluster, or a cluster of their own (root, and Docker on this machine)")
}

func (o *learnerClusters) register(c *cobra.Command) {
	o.modeFlag(c)
	c.Flags().IntVar(&o.spare, "spare", 2, "with --per-learner cluster: clusters that are kept ready for those who come next")
	c.Flags().IntVar(&o.nodes, "learner-nodes", 1, "with --per-learner cluster: nodes of each, beside its master")
}

func (o *learnerClusters) wanted() bool { return o.mode == inClusters }

func (o *learnerClusters) checkMode() error {
	if o.mode != inClusters && o.mode != inNamespaces {
		return fmt.Errorf("--per-learner %q: want %s or %s", o.mode, inNamespaces, inClusters)
	}
	return nil
}

// check reports flags that cannot be.
func (o *learnerClusters) check(class string) error {
	switch {
	case o.checkMode() != nil:
		return o.checkMode()
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

// room returns an error if this machine lacks something for one more cluster, beside those that are pending.
func (o *learnerClusters) room(f *classroomFlags, pending int) error {
	short := capacity.Short(o.facts(f), pending+1)
	if short == nil {
		return nil
	}
	return fmt.Errorf("this machine has no room for a further cluster (%s: %s): ask the instructor", short.Name, short.Found)
}

// facts are the figures of this machine that bound how many clusters it takes.
func (o *learnerClusters) facts(f *classroomFlags) capacity.Facts {
	facts := capacity.OfMachine(f.dataDirs())
	if n, err := local.FreeBlocks(f.config()); err == nil {
		facts.Blocks = int64(n)
	}
	return facts
}

// maker returns what makes the clusters of this class's learners.
func (o *learnerClusters) maker(ctx context.Context, f *classroomFlags, cs kubernetes.Interface) (sealedClusters, error) {
	ns, err := cs.CoreV1().Namespaces().Get(ctx, roster.DefaultNamespace, metav1.GetOptions{})
	if err != nil {
		return sealedClusters{}, fmt.Errorf("whose clusters: %w", err)
	}
	m := sealedClusters{clusterFlags: f.clusterFlags, nodes: o.nodes, class: string(ns.UID)}
	if f.kubeconfig == "" {
		m.home = f.name
	}
	return m, nil
}

// pool returns the clusters of the class. Nothing is made before it runs.
func (o *learnerClusters) pool(f *classroomFlags, cs kubernetes.Interface, r *roster.Roster, m sealedClusters) *clusters.Pool {
	return clusters.New(clusters.Config{
		Client: cs, Namespace: roster.DefaultNamespace, Maker: m, Prefix: sealedPrefix(f.name),
		Spare: o.spare, Most: o.most, Room: func(pending int) error { return o.room(f, pending) }, Gives: o.gives(), Log: logger("clusters"),
		Known: func() (ids []string) {
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

// bothPlaces removes what a learner has in either mode: the class may have been served in the other one before.
type bothPlaces struct {
	*clusters.Pool
	namespaces *workbench.Manager
}

// Remove implements server.Benches.
func (b bothPlaces) Remove(ctx context.Context, l workbench.Learner) error {
	return errors.Join(b.Pool.Remove(ctx, l), b.namespaces.Remove(ctx, l))
}

// downLearners removes the clusters of the learners of a class that a cluster of this machine serves.
func (f *clusterFlags) downLearners(ctx context.Context, keep bool, out io.Writer) error {
	s := sealedClusters{clusterFlags: *f, home: f.name}
	names, err := s.Names()
	errs := []error{err}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		began := time.Now()
		if err := s.down(ctx, name, keep); err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", name, err))
			continue
		}
		what := "gone, with all that was in it"
		if keep {
			what = "stopped, and its data are kept"
		}
		fmt.Fprintf(out, "  %-10s %s, in %.1f s\n", name, what, time.Since(began).Seconds())
	}
	return errors.Join(errs...)
}
