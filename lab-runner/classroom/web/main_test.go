//go:build !quick

package web

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"wheelhouse/cluster/kubelet/network/nettest"
)

// TestMain builds the pages, which may need the network, and runs the tests in a network namespace of their own:
// Chromium breaks off all requests whenever an interface of its namespace comes or goes, as tests beside these have it.
func TestMain(m *testing.M) {
	if !nettest.Inside() {
		if out, err := exec.Command("./build.sh", "--require").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the pages: %v\n%s", err, out)
			os.Exit(1)
		}
	}
	os.Exit(nettest.Main(m))
}
