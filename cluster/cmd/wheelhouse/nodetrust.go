package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/api/podsecurity"
	"wheelhouse/cluster/kubelet"
)

// The levels of --pod-security.
const (
	levelPrivileged = "privileged"
	levelBaseline   = "baseline"
)

// nodeTrust are the flags of a node whose API's administrators are not trusted with the machine.
type nodeTrust struct {
	podSecurity string
	registries  []string
}

func (t *nodeTrust) register(f *pflag.FlagSet) {
	f.StringVar(&t.podSecurity, "pod-security", levelPrivileged, "what the node gives to pods, whatever the API server admits: privileged, or baseline, for an API whose administrators are not trusted with the machine; then the kinds of volumes are those of restricted, and persistent volumes those of the cluster's provisioner")
	f.StringSliceVar(&t.registries, "image-registries", nil, "the hosts of registries that images are pulled from (docker.io,quay.io); none is any")
}

func (t *nodeTrust) apply(c *kubelet.Config) (err error) {
	c.Registries = t.registries
	switch t.podSecurity {
	case levelPrivileged:
		return nil
	case levelBaseline:
		c.PodSecurity, err = podsecurity.NewNode()
		return err
	}
	return fmt.Errorf("--pod-security %q: want %s or %s", t.podSecurity, levelPrivileged, levelBaseline)
}
