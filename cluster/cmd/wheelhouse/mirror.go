package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/mirror"
	"wheelhouse/cluster/local"
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

// forNodes returns the setting of a local cluster's nodes, which have another working directory.
func (m *imageMirror) forNodes() (local.Mirror, error) {
	out := local.Mirror{Address: m.address}
	if m.address != "" {
		var ca []byte
		if m.ca != "" {
			var err error
			if ca, err = os.ReadFile(m.ca); err != nil {
				return out, fmt.Errorf("--image-mirror-ca: %w", err)
			}
		}
		if _, err := mirror.New(m.address, ca, goruntime.GOARCH); err != nil {
			return out, err
		}
	}
	if m.ca == "" {
		return out, nil
	}
	path, err := filepath.Abs(m.ca)
	out.CA = path
	return out, err
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
