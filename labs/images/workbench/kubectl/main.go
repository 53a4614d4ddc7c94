// Kubectl is the kubectl of the workbench: `wheelhouse kubectl` without the rest of wheelhouse. It has 63 MB instead of 90,
// and a call of it takes 55 MB of memory instead of 86, which counts where forty learners call it.
package main

import (
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd/util"

	"wheelhouse/cluster/kubectl"
)

func main() {
	command, err := kubectl.Command(os.Args[1:], "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubectl:", err)
		os.Exit(1)
	}
	if err := cli.RunNoErrOutput(command); err != nil {
		util.CheckErr(err)
	}
}
