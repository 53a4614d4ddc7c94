//go:build !quick

package slides_test

import (
	"os"
	"testing"

	"wheelhouse/cluster/kubelet/network/nettest"
)

// TestMain runs the tests in a network namespace of their own: Chromium breaks off all requests whenever an interface of
// its namespace comes or goes, as tests beside these have it.
func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }
