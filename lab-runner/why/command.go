package why

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/rest"
)

// Namespace writes what is wrong in a namespace, and why: the command why without KIND/NAME.
func Namespace(ctx context.Context, config *rest.Config, namespace string, out io.Writer) error {
	cluster, err := New(config)
	if err != nil {
		return fmt.Errorf("the kubeconfig: %w", err)
	}
	return survey(ctx, cluster, namespace, out, Format{})
}

func survey(ctx context.Context, cluster *Cluster, namespace string, out io.Writer, f Format) error {
	facts, err := cluster.Snapshot(ctx, namespace)
	if err != nil {
		return err
	}
	return PrintSurvey(out, namespace, cluster.SurveyDeep(ctx, facts), f)
}

// Command returns the command why. fallback names the kubeconfig that is used where neither --kubeconfig nor $KUBECONFIG
// names one, and namespace the namespace of a learner's lab, for when neither --namespace nor $KUBECONFIG says one. Both may be nil.
func Command(fallback, namespace func() string) *cobra.Command {
	var place Place
	var output string
	c := &cobra.Command{
		Use:   "why [KIND/NAME]",
		Short: "why an object is in its state: the first broken hop of its way, and one thing to do",
		Long: "Why follows the way of an object through the cluster, shows the hops that are fine, names the first one\n" +
			"that is broken, and ends with one thing to do. KIND is as for kubectl: pod, service, deploy, pvc, hpa,\n" +
			"ingress, node ...; dns/NAME is a name that should resolve. Without KIND/NAME it looks at all objects of\n" +
			"the namespace. It changes nothing.",
		Example: "  why pod/web\n  why service web -n shop\n  why dns/web.shop\n  why",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output %s is not supported: use --output json", output)
			}
			if place.namespace == "" && os.Getenv("KUBECONFIG") == "" && namespace != nil {
				place.namespace = namespace()
			}
			config, namespace, err := place.Open(fallback)
			if err != nil {
				return err
			}
			cluster, err := New(config)
			if err != nil {
				return fmt.Errorf("the kubeconfig: %w", err)
			}
			f := format(c, output == "json")
			if len(args) == 0 {
				return survey(c.Context(), cluster, namespace, c.OutOrStdout(), f)
			}
			target, err := ParseTarget(args)
			if err != nil {
				return err
			}
			e, _, err := cluster.Ask(c.Context(), namespace, target)
			if err != nil {
				return err
			}
			return Print(c.OutOrStdout(), e, f)
		},
	}
	place.Register(c)
	c.Flags().StringVarP(&output, "output", "o", "", "json: for programs")
	return c
}

func format(c *cobra.Command, asJSON bool) Format {
	f := Format{JSON: asJSON}
	if out, ok := c.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		f.Color = os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(out.Fd())); err == nil {
			f.Width = min(width, 120)
		}
	}
	return f
}
