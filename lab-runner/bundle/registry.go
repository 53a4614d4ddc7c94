package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"wheelhouse/lab-runner/classroom/registry"
)

// images reads the OCI layout of a bundle in place. A repository has its tags; a blob is found in each repository, since
// all that is in a bundle may be read by whoever may read the bundle.
type images struct {
	*ociregistry.Funcs
	bundle    *Bundle
	tags      map[string]map[string]ociregistry.Descriptor // by repository and tag
	manifests map[ociregistry.Digest]string                // the media types of those that a tag leads to
}

// Images are the images of the bundle, for a registry that serves them beside others. A bundle without images has none.
func (b *Bundle) Images() (ociregistry.Interface, error) {
	i := &images{bundle: b, tags: map[string]map[string]ociregistry.Descriptor{}, manifests: map[ociregistry.Digest]string{}}
	var all ocispec.Index
	switch err := b.readJSON(layoutIndex, &all); {
	case errors.Is(err, fs.ErrNotExist):
		return i, nil
	case err != nil:
		return nil, err
	}
	for _, desc := range all.Manifests {
		name := desc.Annotations[ocispec.AnnotationRefName]
		named, err := reference.ParseDockerRef(name)
		if err != nil {
			return nil, fmt.Errorf("the bundle has an image with the name %q: %w", name, err)
		}
		tagged, ok := named.(reference.NamedTagged)
		if !ok {
			return nil, fmt.Errorf("the bundle has an image with the name %q, which has no tag", name)
		}
		if i.tags[named.Name()] == nil {
			i.tags[named.Name()] = map[string]ociregistry.Descriptor{}
		}
		i.tags[named.Name()][tagged.Tag()] = ociregistry.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
		i.manifests[desc.Digest] = desc.MediaType
		var index ocispec.Index
		if err := b.readJSON(blobName(desc.Digest.Encoded()), &index); err != nil {
			return nil, err
		}
		for _, m := range index.Manifests {
			i.manifests[m.Digest] = m.MediaType
		}
	}
	return i, nil
}

// readJSON reads a small member.
func (b *Bundle) readJSON(name string, into any) error {
	r, err := b.section(name)
	if err != nil {
		return err
	}
	if r.Size() > maxManifest {
		return fmt.Errorf("%s has %d bytes, more than %d", name, r.Size(), maxManifest)
	}
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Registry serves the images of the bundle to everybody; none can be pushed.
func (b *Bundle) Registry() (http.Handler, error) {
	i, err := b.Images()
	if err != nil {
		return nil, err
	}
	return registry.New(registry.Config{Base: i})
}

// blob is a part of a member.
type blob struct {
	io.Reader
	desc ociregistry.Descriptor
}

func (blob) Close() error                         { return nil }
func (b blob) Descriptor() ociregistry.Descriptor { return b.desc }

// find returns a blob of a repository, or the error that it is unknown.
func (i *images) find(repo string, d ociregistry.Digest, unknown error) (*io.SectionReader, ociregistry.Descriptor, error) {
	if i.tags[repo] == nil {
		return nil, ociregistry.Descriptor{}, ociregistry.ErrNameUnknown
	}
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return nil, ociregistry.Descriptor{}, unknown
	}
	r, err := i.bundle.section(blobName(d.Encoded()))
	if err != nil {
		return nil, ociregistry.Descriptor{}, unknown
	}
	return r, ociregistry.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: r.Size()}, nil
}

func (i *images) GetBlob(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	return i.GetBlobRange(ctx, repo, d, 0, -1)
}

func (i *images) GetBlobRange(_ context.Context, repo string, d ociregistry.Digest, from, to int64) (ociregistry.BlobReader, error) {
	r, desc, err := i.find(repo, d, ociregistry.ErrBlobUnknown)
	if err != nil {
		return nil, err
	}
	if to < 0 || to > desc.Size {
		to = desc.Size
	}
	if from < 0 || from > to {
		return nil, ociregistry.ErrRangeInvalid
	}
	return blob{io.NewSectionReader(r, from, to-from), desc}, nil
}

func (i *images) ResolveBlob(_ context.Context, repo string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	_, desc, err := i.find(repo, d, ociregistry.ErrBlobUnknown)
	return desc, err
}

func (i *images) GetManifest(_ context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	r, desc, err := i.find(repo, d, ociregistry.ErrManifestUnknown)
	if err != nil {
		return nil, err
	}
	if desc.MediaType = i.manifests[d]; desc.MediaType == "" {
		return nil, ociregistry.ErrManifestUnknown
	}
	return blob{r, desc}, nil
}

func (i *images) ResolveManifest(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	m, err := i.GetManifest(ctx, repo, d)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	return m.Descriptor(), nil
}

func (i *images) GetTag(ctx context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	desc, err := i.ResolveTag(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	return i.GetManifest(ctx, repo, desc.Digest)
}

func (i *images) ResolveTag(_ context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	if i.tags[repo] == nil {
		return ociregistry.Descriptor{}, ociregistry.ErrNameUnknown
	}
	desc, ok := i.tags[repo][tag]
	if !ok {
		return ociregistry.Descriptor{}, ociregistry.ErrManifestUnknown
	}
	return desc, nil
}

func (i *images) Repositories(_ context.Context, after string) iter.Seq2[string, error] {
	return listed(i.tags, after)
}

func (i *images) Tags(_ context.Context, repo, after string) iter.Seq2[string, error] {
	if i.tags[repo] == nil {
		return func(yield func(string, error) bool) { yield("", ociregistry.ErrNameUnknown) }
	}
	return listed(i.tags[repo], after)
}

// Referrers are none: no image of a bundle refers to another.
func (*images) Referrers(context.Context, string, ociregistry.Digest, string) iter.Seq2[ociregistry.Descriptor, error] {
	return func(func(ociregistry.Descriptor, error) bool) {}
}

// listed are the keys of a map behind one, sorted.
func listed[T any](m map[string]T, after string) iter.Seq2[string, error] {
	var names []string
	for name := range m {
		if strings.Compare(name, after) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}
