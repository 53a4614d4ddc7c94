package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/spf13/cobra"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/mirror"
	"wheelhouse/lab-runner/bundle"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/registry"
	"wheelhouse/lab-runner/classroom/server"
)

// classBundle are the flags of what a class gives out beside its pages, and what they lead to.
type classBundle struct {
	file, registryDir string

	bundle   *bundle.Bundle // nil: none
	password string         // of who pushes images; "": nobody does
}

func (b *classBundle) register(c *cobra.Command) {
	c.Flags().StringVar(&b.file, "bundle", "", "a bundle (wheelhouse bundle create): its labs and slides are the class's, learners download the program lab, and nodes pull its images with --image-mirror")
	c.Flags().StringVar(&b.registryDir, "registry-dir", "", "a directory for the images that the instructor pushes, and the password for that (default with --bundle: in the directory of this machine's cluster, with which `down` removes it)")
}

// open verifies the bundle and writes its labs and slides into a directory. root is where the labs and slides of the class are; end removes
// what open has made.
func (b *classBundle) open(c *cobra.Command) (root string, end func(), err error) {
	if b.file == "" {
		root, err = catalog.Root("")
		return root, func() {}, err
	}
	fmt.Fprintln(c.OutOrStdout(), "verifying the bundle ...")
	if b.bundle, err = bundle.Verify(b.file); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "wheelhouse-class-")
	if err != nil {
		return "", nil, errors.Join(err, b.bundle.Close())
	}
	end = func() { _ = errors.Join(os.RemoveAll(dir), b.bundle.Close()) } // both are of this process
	if err = b.bundle.Extract(dir, "labs", "features", "slides"); err == nil {
		root, err = catalog.Root(dir)
	}
	if err != nil {
		end()
		return "", nil, fmt.Errorf("--bundle %s: %w", b.file, err)
	}
	return root, end, nil
}

// load gives the Docker Engine of this machine, which its cluster's nodes use, the images that it lacks.
func (b *classBundle) load(c *cobra.Command) error {
	if b.bundle == nil {
		return nil
	}
	names, err := b.bundle.ImageNames()
	if err != nil {
		return err
	}
	engine, err := docker.New(docker.Config{Cluster: defaultCluster(), Node: "class"})
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	var missing []string
	for _, name := range names {
		_, err := engine.Image(c.Context(), name)
		if cri.IsNotFound(err) {
			missing = append(missing, name)
		} else if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	images, err := b.bundle.Images()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "loading %d images of the bundle ...\n", len(missing))
	from, to := io.Pipe()
	go func() {
		_, err := mirror.Save(c.Context(), images, goruntime.GOARCH, missing, to)
		_ = to.CloseWithError(err) // Load returns it
	}()
	err = engine.Load(c.Context(), from)
	_ = from.Close() // ends what still writes
	return err
}

// takings returns what the server gives out: the bundle, and a registry of its images and of those that were pushed.
func (b *classBundle) takings(dir string) (server.Takings, error) {
	var out server.Takings
	if b.bundle == nil && b.registryDir == "" {
		return out, nil
	}
	config := registry.Config{Log: logger("registry")}
	if b.bundle != nil {
		images, err := b.bundle.Images()
		if err != nil {
			return out, err
		}
		config.Base = images
		out.Files, out.Programs = b.bundle.Takings(), programs(b.bundle)
	}
	if b.registryDir != "" {
		dir = b.registryDir
	}
	if dir != "" {
		var err error
		if b.password, err = pushPassword(dir); err != nil {
			return out, fmt.Errorf("--registry-dir: %w", err)
		}
		config.Dir, config.Password = filepath.Join(dir, "images"), b.password
	}
	images, err := registry.New(config)
	out.Images = images
	return out, err
}

// programs lists the programs lab of a bundle.
func programs(b *bundle.Bundle) []server.Program {
	var out []server.Program
	for _, m := range b.Members() {
		dir, name := path.Split(m.Name)
		system, arch, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "lab-"), ".exe"), "-")
		if dir == "lab/" && ok && strings.HasPrefix(name, "lab-") {
			out = append(out, server.Program{System: system, Arch: arch, Path: "bundle/files/" + m.Name, Bytes: m.Size})
		}
	}
	return out
}

// pushPassword returns the password that the directory has, which is made if there is none. Its owner alone reads it.
func pushPassword(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := filepath.Join(dir, "password")
	text, err := os.ReadFile(name)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := rand.Text()
	return password, os.WriteFile(name, []byte(password+"\n"), 0o600)
}

// print shows how nodes pull and the instructor pushes. host is HOST:PORT.
func (b *classBundle) print(c *cobra.Command, scheme, host, url string, authority bool) {
	out, ca := c.OutOrStdout(), ""
	if authority {
		ca = " --image-mirror-ca ca.crt   (ca.crt: " + url + "trust/ca.crt; compare its fingerprint)"
	}
	fmt.Fprintf(out, "images:     --image-mirror %s://%s%s\n", scheme, host, ca)
	if b.password != "" {
		fmt.Fprintf(out, "push:       docker login %s -u %s, password %s; then docker push %s/NAME\n", host, registry.Instructor, b.password, host)
	}
}
