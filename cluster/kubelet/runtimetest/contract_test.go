package runtimetest_test

import (
	"testing"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/runtimetest"
)

func TestFakeContract(t *testing.T) {
	runtimetest.Contract(t, runtimetest.New("img:1"), "img:1", cri.PodRef{Namespace: "default", Name: "contract", UID: "u1"})
}
