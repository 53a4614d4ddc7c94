package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/mirror"
)

// imageMirror are the flags of a registry that has the images of others, such as a class's.
type imageMirror struct{ address, ca string }

func (m *imageMirror) register(f *pflag.FlagSet) {
	f.StringVar(&m.address, "image-mirror", "", "the registry that is asked first for each image, https://HOST:PORT, by the image's full name (HOST:PORT/docker.io/library/nginx:latest); what it does not have comes from its own registry")
	f.StringVar(&m.ca, "image-mirror-ca", "", "the file with the certificate authority of --image-mirror (default: those of the machine)")
}

// mirrored is an engine whose images come from a mirror first.
type mirrored struct {
	*docker.Runtime
	source mirror.Source
}

func (m mirrored) Pull(ctx context.Context, ref, auth string) error {
	return m.source.Pull(ctx, ref, auth)
}

func (m mirrored) Reach(ctx context.Context, ref, auth string) error {
	return m.source.Reach(ctx, ref, auth)
}

// open returns the runtime with the mirror, if there is one.
func (m *imageMirror) open(engine *docker.Runtime) (kubelet.Runtime, error) {
	if m.address == "" {
		if m.ca != "" {
			return nil, errors.New("--image-mirror-ca is given without --image-mirror")
		}
		return engine, nil
	}
	var ca []byte
	if m.ca != "" {
		var err error
		if ca, err = os.ReadFile(m.ca); err != nil {
			return nil, fmt.Errorf("--image-mirror-ca: %w", err)
		}
	}
	from, err := mirror.New(m.address, ca, goruntime.GOARCH)
	if err != nil {
		return nil, err
	}
	return mirrored{engine, mirror.Source{Mirror: from, Engine: engine}}, nil
}
