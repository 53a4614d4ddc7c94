// Package dockertest gives tests what they need of a real Docker.
package dockertest

import (
	"context"
	"testing"

	"github.com/docker/docker/client"
)

// BusyBox is the image that the tests' containers run, one of those of the labs.
const BusyBox = "busybox:1.35"

// Require ends the test where Docker does not answer or has no BusyBox.
func Require(t testing.TB) {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = docker.Close() }()
	if _, err := docker.ImageInspect(context.Background(), BusyBox); err != nil {
		t.Fatalf("%v; as root, `make images` sets Docker up and builds the image", err)
	}
}
