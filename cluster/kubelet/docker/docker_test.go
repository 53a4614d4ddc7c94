//go:build !quick

package docker_test

import (
	"fmt"
	"os"
	"testing"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/kubelet/runtimetest"
)

func TestDockerContract(t *testing.T) {
	dockertest.Require(t)
	rt, err := docker.New(docker.Config{Cluster: "contract-test", Node: fmt.Sprint("n", os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rt.Close() }()
	runtimetest.Contract(t, rt, dockertest.BusyBox, cri.PodRef{Namespace: "default", Name: "contract", UID: fmt.Sprint("contract-", os.Getpid())})
}
