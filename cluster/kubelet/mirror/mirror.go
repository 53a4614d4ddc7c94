// Package mirror gets images from a mirror on the network of a class, under the names that manifests have. It asks for
// HOST:PORT/docker.io/tutum/influxdb:latest, checks each digest, and gives the engine an archive as `docker save` writes
// it. It never sends a credential: those of a pod's pull secrets are for the registry that the image's name names.
//
// The node pulls itself instead of having Docker pull, for Docker would need the mirror's authority in /etc/docker/certs.d, which
// changes whom the whole machine trusts and stays there when a node ends; a rootless or remote engine does not have that directory.
// The price: a layer that the engine has already is sent again.
//
// An image that is named by its digest is not asked for: an engine cannot give a loaded image such a name.
package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociauth"
	"cuelabs.dev/go/oci/ociregistry/ociclient"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The bounds of what a mirror may answer.
const (
	maxManifest    = 4 << 20 // bytes
	maxLayers      = 128
	maxImage       = 16 << 30 // bytes
	connectTimeout = 5 * time.Second
	answerTimeout  = 15 * time.Second
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// ErrNotThere is the error of an image that the mirror does not have.
var ErrNotThere = errors.New("the mirror does not have it")

// Mirror is a registry that has images of others. Its methods may be called from several goroutines.
type Mirror struct {
	registry     ociregistry.Interface
	architecture string
}

// New returns the mirror at https://HOST:PORT, or http://, which a person has to type. ca are the certificates of its authorities;
// empty: those of the machine. architecture is that of the images, as Go has it.
func New(address string, ca []byte, architecture string) (*Mirror, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, fmt.Errorf("the image mirror %q: want https://HOST:PORT", address)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the image mirror's authority is no certificate")
		}
	}
	// No proxy of the environment: the mirror is on the class's network.
	transport := &http.Transport{
		DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: connectTimeout, ResponseHeaderTimeout: answerTimeout, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
	}
	r, err := ociclient.New(u.Host, &ociclient.Options{
		Transport: ociauth.NewStdTransport(ociauth.StdTransportParams{Transport: transport}), Insecure: u.Scheme == "http",
	})
	if err != nil {
		return nil, fmt.Errorf("the image mirror: %w", err)
	}
	return &Mirror{r, architecture}, nil
}

// found is an image of the mirror.
type found struct {
	repo, tag string // the name that the engine gives it
	manifest  ocispec.Manifest
}

// Has returns nil if the mirror has the image, ErrNotThere if not, or why it cannot be asked.
func (m *Mirror) Has(ctx context.Context, ref string) error {
	_, err := m.find(ctx, ref)
	return err
}

// Fetch gets an image and gives load an archive of it, as `docker save` writes it. The archive is complete only if each digest is right: the
// last file, without which no engine loads it, is written when all others have been checked.
func (m *Mirror) Fetch(ctx context.Context, ref string, load func(ctx context.Context, archive io.Reader) error) error {
	image, err := m.find(ctx, ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := m.archive(ctx, image, ref, w)
		_ = w.CloseWithError(err) // of a pipe, it never fails
		written <- err
	}()
	err = load(ctx, r)
	_ = r.Close() // as above; ends what is still written
	cancel()
	if wrong := <-written; wrong != nil && !errors.Is(wrong, io.ErrClosedPipe) {
		return wrong
	}
	return err
}

// find resolves a name to the manifest for this architecture.
func (m *Mirror) find(ctx context.Context, ref string) (found, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return found{}, err
	}
	tagged, ok := named.(reference.NamedTagged)
	if _, isDigest := named.(reference.Digested); !ok || isDigest {
		return found{}, ErrNotThere
	}
	repos := []string{named.Name()}
	if reference.Domain(named) == "docker.io" { // a mirror of Docker Hub alone
		repos = append(repos, reference.Path(named))
	}
	for _, repo := range repos {
		image := found{repo: repo, tag: tagged.Tag()}
		err := m.resolve(ctx, &image)
		if err == nil || !unknown(err) {
			return image, err
		}
	}
	return found{}, ErrNotThere
}

func unknown(err error) bool {
	var status ociregistry.HTTPError
	return errors.Is(err, ociregistry.ErrManifestUnknown) || errors.Is(err, ociregistry.ErrNameUnknown) ||
		errors.As(err, &status) && status.StatusCode() == http.StatusNotFound
}

// resolve reads the manifest, through the list of architectures if there is one.
func (m *Mirror) resolve(ctx context.Context, image *found) error {
	r, err := m.registry.GetTag(ctx, image.repo, image.tag)
	if err != nil {
		return err
	}
	data, kind, err := manifest(r)
	if err != nil {
		return err
	}
	if kind == ocispec.MediaTypeImageIndex || kind == dockerList {
		var list ocispec.Index
		if err := json.Unmarshal(data, &list); err != nil {
			return fmt.Errorf("the mirror's list of architectures: %w", err)
		}
		d, err := m.choose(list)
		if err != nil {
			return err
		}
		if r, err = m.registry.GetManifest(ctx, image.repo, d); err != nil {
			return err
		}
		if data, _, err = manifest(r); err != nil {
			return err
		}
		if digest.FromBytes(data) != d {
			return fmt.Errorf("the mirror's manifest is not %s", d)
		}
	}
	if err := json.Unmarshal(data, &image.manifest); err != nil {
		return fmt.Errorf("the mirror's manifest: %w", err)
	}
	return check(image.manifest)
}

// manifest reads one within its bound.
func manifest(r ociregistry.BlobReader) ([]byte, string, error) {
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > maxManifest {
		return nil, "", errors.New("the mirror's manifest is too large")
	}
	return data, r.Descriptor().MediaType, nil
}

// choose returns the image for the architecture.
func (m *Mirror) choose(list ocispec.Index) (ociregistry.Digest, error) {
	for _, d := range list.Manifests {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == m.architecture {
			return d.Digest, d.Digest.Validate()
		}
	}
	return "", fmt.Errorf("%w for %s", ErrNotThere, m.architecture)
}

// check returns an error for a manifest that no image has.
func check(m ocispec.Manifest) error {
	if len(m.Layers) == 0 || len(m.Layers) > maxLayers || m.Config.Size > maxManifest {
		return errors.New("the mirror's manifest is none of an image")
	}
	total := int64(0)
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := d.Digest.Validate(); err != nil {
			return fmt.Errorf("the mirror's manifest: %w", err)
		}
		if total += d.Size; d.Size < 0 || total > maxImage {
			return errors.New("the mirror's image is too large")
		}
	}
	return nil
}

// archive writes the image as `docker save` does.
func (m *Mirror) archive(ctx context.Context, image found, ref string, to io.Writer) error {
	a := archive{mirror: m, tar: tar.NewWriter(to), added: map[string]bool{}}
	if err := a.image(ctx, image, ref); err != nil {
		return err
	}
	return a.close()
}

// Save writes an archive of images of a registry, as `docker save` does: those of refs that it has for the architecture, of which
// there has to be one. It returns their full names.
func Save(ctx context.Context, from ociregistry.Interface, architecture string, refs []string, to io.Writer) ([]string, error) {
	m := &Mirror{from, architecture}
	a := archive{mirror: m, tar: tar.NewWriter(to), added: map[string]bool{}}
	for _, ref := range refs {
		image, err := m.find(ctx, ref)
		if err == nil {
			err = a.image(ctx, image, ref)
		}
		if err != nil && !errors.Is(err, ErrNotThere) {
			return nil, fmt.Errorf("save %s: %w", ref, err)
		}
	}
	if len(a.images) == 0 {
		return nil, fmt.Errorf("there is no image for %s", architecture)
	}
	var names []string
	for _, e := range a.images {
		names = append(names, e.RepoTags...)
	}
	return names, a.close()
}

// archive is an archive of `docker save` that is written.
type archive struct {
	mirror *Mirror
	tar    *tar.Writer
	added  map[string]bool // the files in it, of which several images may have one
	images []entry
}

// entry is an image in the archive's manifest.json.
type entry struct {
	Config           string
	RepoTags, Layers []string
}

// image adds the files of one image.
func (a *archive) image(ctx context.Context, image found, ref string) error {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return err
	}
	e := entry{Config: image.manifest.Config.Digest.Encoded() + ".json", RepoTags: []string{named.String()}}
	if !a.added[e.Config] {
		var config bytes.Buffer
		if err := a.mirror.add(ctx, a.tar, image.repo, e.Config, image.manifest.Config, &config); err != nil {
			return err
		}
		var about ocispec.Image
		if err := json.Unmarshal(config.Bytes(), &about); err != nil {
			return fmt.Errorf("the mirror's image: %w", err)
		}
		if about.Architecture != a.mirror.architecture {
			return fmt.Errorf("%w for %s, but for %q", ErrNotThere, a.mirror.architecture, about.Architecture)
		}
		a.added[e.Config] = true
	}
	for _, layer := range image.manifest.Layers {
		name := layer.Digest.Encoded() + ".tar"
		e.Layers = append(e.Layers, name)
		if a.added[name] {
			continue
		}
		a.added[name] = true
		if err := a.mirror.add(ctx, a.tar, image.repo, name, layer, io.Discard); err != nil {
			return err
		}
	}
	a.images = append(a.images, e)
	return nil
}

// close writes the last file.
func (a *archive) close() error {
	data, err := json.Marshal(a.images)
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Name: "manifest.json", Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := a.tar.Write(data); err != nil {
		return err
	}
	return a.tar.Close()
}

// add writes one blob, and returns an error unless it has its digest.
func (m *Mirror) add(ctx context.Context, w *tar.Writer, repo, name string, d ocispec.Descriptor, also io.Writer) error {
	r, err := m.registry.GetBlob(ctx, repo, d.Digest)
	if err != nil {
		return fmt.Errorf("get %s from the mirror: %w", d.Digest, err)
	}
	defer r.Close()
	if err := w.WriteHeader(&tar.Header{Name: name, Size: d.Size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	v := d.Digest.Verifier()
	if _, err := io.CopyN(io.MultiWriter(w, v, also), r, d.Size); err != nil {
		return fmt.Errorf("get %s from the mirror: %w", d.Digest, err)
	}
	if !v.Verified() {
		return fmt.Errorf("what the mirror has sent is not %s", d.Digest)
	}
	return nil
}
