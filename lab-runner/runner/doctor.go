package runner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
)

// finding is what doctor says of one thing.
type finding struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Seen string `json:"seen"`
	Try  string `json:"try,omitempty"`
}

func (l *learner) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "look whether everything that labs need is here", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := l.examine(c.Context())
			bad := 0
			for _, f := range all {
				if !f.OK {
					bad++
				}
			}
			if l.json != "" {
				if err := printJSON(c, all); err != nil {
					return err
				}
			} else {
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
				for _, f := range all {
					state := "ok"
					if !f.OK {
						state = "missing"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n", state, f.What, f.Seen)
					if f.Try != "" && !f.OK {
						fmt.Fprintf(w, "\t\ttry: %s\n", f.Try)
					}
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d are missing", bad, len(all))
			}
			return nil
		},
	}
}

// examine looks at the labs, the progress, the programs and the cluster.
func (l *learner) examine(ctx context.Context) []finding {
	var out []finding
	add := func(what string, err error, seen, try string) {
		f := finding{What: what, OK: err == nil, Seen: seen, Try: try}
		if err != nil {
			f.Seen = strings.TrimSpace(err.Error())
		}
		out = append(out, f)
	}
	labs, err := l.pick(nil)
	add("labs", err, fmt.Sprintf("%d labs", len(labs)), "--labs names the directory that has labs/ and features/ in it")
	store, err := l.store()
	if err == nil {
		_, err = store.Progress()
	}
	add("progress file", err, "can be read", "set XDG_STATE_HOME to a directory of your own")
	path, err := environment.Programs()
	add("kubectl", err, "is there", "'make build' builds bin/kubectl")
	for _, program := range []string{"bash", "curl"} {
		at, err := exec.LookPath(program)
		add(program, err, at, "install "+program)
	}
	cluster, err := l.connect(ctx)
	add("kubeconfig", err, "can be read", "'wheelhouse up' brings a cluster up, --kubeconfig names another")
	if err != nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, cluster.Slow.Wait(10*time.Second))
	defer cancel()
	var nodes corev1.NodeList
	err = cluster.Client.List(ctx, "nodes", "", metav1.ListOptions{}, &nodes)
	seen := fmt.Sprintf("%d nodes", len(nodes.Items))
	if only := cluster.Only(); only != "" && apierrors.IsForbidden(err) {
		err, seen = nil, "answers; your account works in namespace "+only+" alone, so labs that need more are left out"
	}
	add("cluster", err, seen, "'wheelhouse status', 'kubectl get nodes'")
	needs := map[string]bool{}
	for _, lab := range labs {
		for _, n := range lab.Needs {
			needs[n] = true
		}
		if lab.Has("docker") && !needs["docker"] {
			needs["docker"] = true
			add("docker, for "+lab.ID(), environment.CheckPrograms(ctx, lab, []string{"PATH=" + path}, cluster.Slow), "an engine answers", "leave the labs out that need it")
		}
	}
	env := []string{"PATH=" + path, "HOME=" + os.Getenv("HOME"), "WHEELHOUSE_CLUSTER=" + os.Getenv("WHEELHOUSE_CLUSTER")}
	if node, _ := environment.ReadyNode(nodes.Items); node != "" {
		env = append(env, "NODE="+node)
	}
	for _, r := range environment.ClusterRequirements {
		if i := slices.IndexFunc(labs, func(lab *catalog.Lab) bool { return lab.Has(r) }); i >= 0 && err == nil {
			add(r+", for "+labs[i].ID(), cluster.CheckRequirement(ctx, labs[i], r, env), "is there", "leave the labs out that need it")
		}
	}
	delete(needs, "docker")
	for n := range needs {
		at, err := exec.LookPath(n)
		add(n, err, at, "install "+n+", or leave the labs out that need it")
	}
	return out
}
