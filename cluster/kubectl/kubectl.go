package kubectl

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"
	"k8s.io/kubectl/pkg/cmd/util"
)

// Command returns the real kubectl for args, the command line without the program's
// name. Old spellings are translated, with a note on standard error. kubeconfig is
// used unless --kubeconfig or $KUBECONFIG names another.
func Command(args []string, kubeconfig string) (*cobra.Command, error) {
	if os.Getenv("KUBECONFIG") == "" && kubeconfig != "" {
		if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
			return nil, fmt.Errorf("naming the kubeconfig %s: %w", kubeconfig, err)
		}
	}
	year, err := parseYear(os.Getenv(yearVariable))
	if err != nil {
		return nil, err
	}
	today, notes := Modernize(args, year)
	for _, n := range notes {
		fmt.Fprintln(os.Stderr, n)
	}
	// kubectl reads os.Args for plugins, its name and its arguments; it has replaced those of a
	// user's alias when the tree is built.
	os.Args = append([]string{"kubectl"}, today...)
	util.BehaviorOnFatal(func(message string, code int) {
		if message = nameSuccessors(message); message != "" {
			fmt.Fprintln(os.Stderr, strings.TrimSuffix(message, "\n"))
		}
		os.Exit(code)
	})
	c := build(today, year, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	return c, nil
}

// build returns kubectl's tree of commands, with the removed commands of this package added.
func build(args []string, year kubectlYear, streams genericiooptions.IOStreams) *cobra.Command {
	streams.Out = year.answers(args, streams.Out)
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(300).WithDiscoveryQPS(50).
		WithWarningPrinter(streams)
	root := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		PluginHandler: cmd.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     os.Args, ConfigFlags: flags, IOStreams: streams,
	})
	f := util.NewFactory(flags)
	root.AddCommand(rollingUpdateCommand(f, streams))
	if verb := verbAt(args); verb >= 0 && args[verb] == "run" && isLegacyRun(args[verb+1:], year) {
		for _, c := range root.Commands() {
			if c.Name() == "run" {
				root.RemoveCommand(c)
			}
		}
		root.AddCommand(runCommand(f, streams, year))
	}
	return root
}
