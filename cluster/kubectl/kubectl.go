package kubectl

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/kubectl/pkg/cmd"
)

// Command is the real kubectl for args, the command line without the program's
// name. Old spellings are translated and told on standard error. kubeconfig is
// used when the person names no other: not by --kubeconfig and not by $KUBECONFIG.
func Command(args []string, kubeconfig string) (*cobra.Command, error) {
	if os.Getenv("KUBECONFIG") == "" && kubeconfig != "" {
		if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
			return nil, fmt.Errorf("naming the kubeconfig %s: %w", kubeconfig, err)
		}
	}
	today, notes := Modernize(args)
	for _, n := range notes {
		fmt.Fprintln(os.Stderr, n)
	}
	// kubectl looks for plugins, and for itself, in os.Args.
	os.Args = append([]string{"kubectl"}, today...)
	c := cmd.NewDefaultKubectlCommand()
	c.SetArgs(today)
	return c, nil
}
