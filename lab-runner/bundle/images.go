package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxManifest = 4 << 20 // bytes of a manifest, an index or a configuration
	layoutFile  = imagesDirectory + "/oci-layout"
	layoutIndex = imagesDirectory + "/index.json"
	// elsewhere ends the first part of the name of an image for another architecture: a Docker Engine has
	// one image of a name, so that of arm64 is arm64.bundle/docker.io/library/nginx there.
	elsewhere = ".bundle"
)

// layout is the OCI layout that is made from archives of `docker save`.
type layout struct {
	ctx    context.Context               // of Write
	work   string                        // has the blobs that are made
	blobs  map[digest.Digest]source      // by digest
	layers map[string]ocispec.Descriptor // compressed, by the digest of what is in them
	names  map[string][]ocispec.Descriptor
}

// images makes the layout of the archives images/ARCH.tar.
func (c Create) images(ctx context.Context, work string) ([]source, error) {
	archives, err := filepath.Glob(filepath.Join(c.From, imagesDirectory, "*.tar"))
	if err != nil {
		return nil, fmt.Errorf("create the bundle: %w", err)
	}
	l := &layout{ctx, work, map[digest.Digest]source{}, map[string]ocispec.Descriptor{}, map[string][]ocispec.Descriptor{}}
	slices.Sort(archives)
	for _, a := range archives {
		if arch := strings.TrimSuffix(filepath.Base(a), ".tar"); len(c.Arches) > 0 && !slices.Contains(c.Arches, arch) {
			continue
		}
		if err := l.archive(a); err != nil {
			return nil, fmt.Errorf("create the bundle: read the images of %s: %w", a, err)
		}
	}
	if len(l.names) == 0 {
		return nil, nil
	}
	if err := l.finish(); err != nil {
		return nil, fmt.Errorf("create the bundle: %w", err)
	}
	var out []source
	for _, s := range l.blobs {
		out = append(out, s)
	}
	return out, nil
}

// saved is an archive of `docker save`: its files by name.
type saved struct {
	file  *os.File
	at    map[string]*io.SectionReader
	links map[string]string
}

func openSaved(name string) (*saved, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &saved{f, map[string]*io.SectionReader{}, map[string]string{}}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		at, seekErr := f.Seek(0, io.SeekCurrent)
		if err = errors.Join(err, seekErr); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		switch h.Typeflag {
		case tar.TypeReg:
			s.at[path.Clean(h.Name)] = io.NewSectionReader(f, at, h.Size)
		case tar.TypeSymlink: // a layer that another image of the archive has
			s.links[path.Clean(h.Name)] = path.Join(path.Dir(h.Name), h.Linkname)
		}
	}
}

// open returns a file of the archive.
func (s *saved) open(name string) (*io.SectionReader, error) {
	name = path.Clean(name)
	if to, ok := s.links[name]; ok {
		name = to
	}
	r := s.at[name]
	if r == nil {
		return nil, fmt.Errorf("%s is missing in it", name)
	}
	return io.NewSectionReader(r, 0, r.Size()), nil
}

// read returns a small file.
func (s *saved) read(name string) ([]byte, error) {
	r, err := s.open(name)
	if err != nil {
		return nil, err
	}
	if r.Size() > maxManifest {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, r.Size(), maxManifest)
	}
	return io.ReadAll(r)
}

// archive adds the images of an archive.
func (l *layout) archive(name string) error {
	s, err := openSaved(name)
	if err != nil {
		return err
	}
	defer s.file.Close()
	data, err := s.read("manifest.json")
	if err != nil {
		return err
	}
	var list []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	for _, i := range list {
		if err := l.image(s, i.Config, i.RepoTags, i.Layers); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(i.RepoTags, ", "), err)
		}
	}
	return nil
}

// image adds one image under its names.
func (l *layout) image(s *saved, config string, tags, layers []string) error {
	data, err := s.read(config)
	if err != nil {
		return err
	}
	var about ocispec.Image
	if err := json.Unmarshal(data, &about); err != nil {
		return fmt.Errorf("%s: %w", config, err)
	}
	if len(about.RootFS.DiffIDs) != len(layers) {
		return fmt.Errorf("it has %d layers, its configuration %d", len(layers), len(about.RootFS.DiffIDs))
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	if m.Config, err = l.blob(ocispec.MediaTypeImageConfig, data); err != nil {
		return err
	}
	for n, name := range layers {
		layer, err := l.layer(s, name, about.RootFS.DiffIDs[n])
		if err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
		m.Layers = append(m.Layers, layer)
	}
	desc, err := l.json(ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	desc.Platform = &ocispec.Platform{Architecture: about.Architecture, OS: about.OS, Variant: about.Variant}
	for _, tag := range tags {
		if first, rest, ok := strings.Cut(tag, "/"); ok && first == about.Architecture+elsewhere {
			tag = rest
		}
		full, err := reference.ParseDockerRef(tag)
		if err != nil {
			return err
		}
		l.names[full.String()] = append(l.names[full.String()], desc)
	}
	return nil
}

// layer compresses a layer and checks that it is what its image says. The header of gzip has no time.
func (l *layout) layer(s *saved, name string, content digest.Digest) (ocispec.Descriptor, error) {
	if done, ok := l.layers[content.String()]; ok {
		return done, nil
	}
	in, err := s.open(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	f, err := os.CreateTemp(l.work, "layer-*")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer f.Close()
	sum, whole := digest.SHA256.Digester(), digest.SHA256.Digester()
	z := gzip.NewWriter(io.MultiWriter(f, sum.Hash()))
	if _, err := io.Copy(io.MultiWriter(z, whole.Hash()), reads(l.ctx, in)); err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := z.Close(); err != nil {
		return ocispec.Descriptor{}, err
	}
	if whole.Digest() != content {
		return ocispec.Descriptor{}, fmt.Errorf("it is %s, its image says %s", whole.Digest(), content)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: sum.Digest(), Size: size}
	l.layers[content.String()] = desc
	l.blobs[desc.Digest] = source{Member{Name: blobName(desc.Digest.Encoded()), Size: size, SHA256: desc.Digest.Encoded()}, f.Name()}
	return desc, nil
}

// file keeps some bytes as a member.
func (l *layout) file(name string, data []byte) error {
	d := digest.FromBytes(data)
	at := filepath.Join(l.work, "file-"+digest.FromString(name).Encoded())
	l.blobs[digest.FromString(name)] = source{Member{Name: name, Size: int64(len(data)), SHA256: d.Encoded()}, at}
	return os.WriteFile(at, data, 0o600)
}

func (l *layout) blob(kind string, data []byte) (ocispec.Descriptor, error) {
	d := digest.FromBytes(data)
	return ocispec.Descriptor{MediaType: kind, Digest: d, Size: int64(len(data))}, l.file(blobName(d.Encoded()), data)
}

func (l *layout) json(kind string, value any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.blob(kind, data)
}

// finish writes an index for each name, which has the image of each architecture, and the layout's own index of the names.
func (l *layout) finish() error {
	all := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for name, images := range l.names {
		i := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: images}
		slices.SortStableFunc(i.Manifests, func(a, b ocispec.Descriptor) int {
			return strings.Compare(a.Platform.Architecture+a.Platform.Variant, b.Platform.Architecture+b.Platform.Variant)
		})
		i.Manifests = slices.CompactFunc(i.Manifests, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
		desc, err := l.json(ocispec.MediaTypeImageIndex, i)
		if err != nil {
			return err
		}
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		all.Manifests = append(all.Manifests, desc)
	}
	slices.SortFunc(all.Manifests, func(a, b ocispec.Descriptor) int {
		return strings.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName])
	})
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return errors.Join(l.file(layoutIndex, data), l.file(layoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)))
}
