package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of manifests that may be pushed.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// contents is what the registry reads of a manifest.
type contents struct {
	MediaType    string                   `json:"mediaType"`
	ArtifactType string                   `json:"artifactType"`
	Config       *ociregistry.Descriptor  `json:"config"`
	Layers       []ociregistry.Descriptor `json:"layers"`
	Manifests    []ociregistry.Descriptor `json:"manifests"`
	Subject      *ociregistry.Descriptor  `json:"subject"`
	Annotations  map[string]string        `json:"annotations"`
}

func (c *contents) artifactType() string {
	if c.ArtifactType == "" && c.Config != nil {
		return c.Config.MediaType
	}
	return c.ArtifactType
}

// check returns an error unless all that the manifest refers to is there, but its subject, which may come later, and
// layers that are had elsewhere.
func (d *disk) check(ctx context.Context, repo, mediaType string, data []byte) error {
	var c contents
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%w: %w", ociregistry.ErrManifestInvalid, err)
	}
	if c.MediaType != "" && c.MediaType != mediaType {
		return fmt.Errorf("%w: it is of the media type %s, and was sent as %s", ociregistry.ErrManifestInvalid, c.MediaType, mediaType)
	}
	resolve, refs := d.others.ResolveBlob, c.Layers
	switch mediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest:
		if c.Config == nil {
			return fmt.Errorf("%w: it has no configuration", ociregistry.ErrManifestInvalid)
		}
		refs = append([]ociregistry.Descriptor{*c.Config}, refs...)
	case ocispec.MediaTypeImageIndex, dockerList:
		resolve, refs = d.others.ResolveManifest, c.Manifests
	default:
		return fmt.Errorf("%w: %s is no media type of a manifest", ociregistry.ErrManifestInvalid, mediaType)
	}
	for _, ref := range refs {
		if err := ref.Digest.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ociregistry.ErrManifestInvalid, err)
		}
		if strings.Contains(ref.MediaType, ".nondistributable.") || strings.Contains(ref.MediaType, ".foreign.") {
			continue
		}
		got, err := resolve(ctx, repo, ref.Digest)
		if err != nil {
			return fmt.Errorf("%w: %s", ociregistry.ErrManifestBlobUnknown, ref.Digest)
		}
		if got.Size != ref.Size {
			return fmt.Errorf("%w: %s has %d bytes, not %d", ociregistry.ErrManifestInvalid, ref.Digest, got.Size, ref.Size)
		}
	}
	return nil
}

// PushManifest keeps a manifest, and gives it a tag unless that is "".
func (d *disk) PushManifest(ctx context.Context, repo, tag string, data []byte, mediaType string) (ociregistry.Descriptor, error) {
	if tag != "" && !ociref.IsValidTag(tag) {
		return ociregistry.Descriptor{}, ociregistry.NewError("invalid tag", "TAG_INVALID", nil)
	}
	if err := d.check(ctx, repo, mediaType, data); err != nil {
		return ociregistry.Descriptor{}, err
	}
	desc := ociregistry.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if d, ok := ctx.Value(digestKey{}).(digest.Digest); ok {
		desc.Digest = d
	}
	file, err := json.Marshal(record{mediaType, data})
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.replace(fileOf(repo, manifests, fileName(desc.Digest)), file); err != nil {
		return ociregistry.Descriptor{}, err
	}
	if tag != "" {
		err = d.replace(fileOf(repo, tags, tag), []byte(desc.Digest))
	}
	return desc, err
}

// replace writes a file so that it is there whole or not at all. Called with mu held.
func (d *disk) replace(name string, data []byte) error {
	if d.used+int64(len(data)) > d.maxTotal {
		return d.full()
	}
	part := path.Join(uploads, newID())
	if err := d.root.WriteFile(part, data, fileMode); err != nil {
		return errors.Join(err, d.root.Remove(part))
	}
	return d.keep(part, name)
}

// keep moves a complete file to its place. Called with mu held.
func (d *disk) keep(part, name string) error {
	if info, err := d.root.Lstat(name); err == nil {
		d.used -= info.Size()
	}
	err := d.root.MkdirAll(path.Dir(name), dirMode)
	if err == nil {
		err = d.root.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, d.root.Remove(part))
	}
	info, err := d.root.Lstat(name)
	if err == nil {
		d.used += info.Size()
	}
	return err
}

// full is the error of a disk that holds as much as it may.
func (d *disk) full() error {
	return tooLarge(fmt.Errorf("the registry holds %d bytes, the most that it may; delete images, or start it with more", d.maxTotal))
}

// MountBlob gives a layer of one repository a name in another.
func (d *disk) MountBlob(_ context.Context, from, to string, dgst ociregistry.Digest) (ociregistry.Descriptor, error) {
	f, desc, err := d.blob(from, dgst)
	if err != nil {
		return desc, err
	}
	_ = f.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used+desc.Size > d.maxTotal {
		return desc, d.full()
	}
	name := fileOf(to, blobs, fileName(dgst))
	if err := d.root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return desc, err
	}
	err = d.root.Link(fileOf(from, blobs, fileName(dgst)), name)
	if errors.Is(err, fs.ErrExist) {
		return desc, nil
	}
	if err == nil {
		d.used += desc.Size
	}
	return desc, err
}

// PushBlob keeps a layer that comes in one piece.
func (d *disk) PushBlob(ctx context.Context, repo string, desc ociregistry.Descriptor, content io.Reader) (ociregistry.Descriptor, error) {
	w, err := d.PushBlobChunked(ctx, repo, 0)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	defer func() { _ = w.Cancel() }() // after a commit it does nothing
	n, err := io.Copy(w, content)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	if desc.Size >= 0 && n != desc.Size {
		return ociregistry.Descriptor{}, ociregistry.ErrSizeInvalid
	}
	return w.Commit(desc.Digest)
}

// remove removes a file. Called with mu held.
func (d *disk) remove(repo, name string, unknown error) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return d.missing(err, repo, unknown)
	}
	if err := d.root.Remove(name); err != nil {
		return err
	}
	d.used -= info.Size()
	return nil
}

// DeleteBlob removes a layer from a repository.
func (d *disk) DeleteBlob(_ context.Context, repo string, dgst ociregistry.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(repo, fileOf(repo, blobs, fileName(dgst)), ociregistry.ErrBlobUnknown)
}

// DeleteManifest removes a manifest and its tags.
func (d *disk) DeleteManifest(ctx context.Context, repo string, dgst ociregistry.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.remove(repo, fileOf(repo, manifests, fileName(dgst)), ociregistry.ErrManifestUnknown); err != nil {
		return err
	}
	for tag, err := range d.Tags(ctx, repo, "") {
		if err != nil {
			return err
		}
		if of, err := d.digest(repo, tag); err == nil && of == dgst {
			if err := d.remove(repo, fileOf(repo, tags, tag), ociregistry.ErrManifestUnknown); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteTag removes a tag; its manifest stays.
func (d *disk) DeleteTag(_ context.Context, repo, tag string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(repo, fileOf(repo, tags, tag), ociregistry.ErrManifestUnknown)
}
