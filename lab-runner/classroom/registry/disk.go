package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"cuelabs.dev/go/oci/ociregistry"
)

// disk has the images that were pushed, below one directory that no name can lead out of:
//
//	repositories/NAME/_blobs/sha256-HEX        a layer or a configuration; a file with several names if it is mounted
//	repositories/NAME/_manifests/sha256-HEX    a record with media type and content
//	repositories/NAME/_tags/TAG                the digest of a manifest
//	uploads/ID                                 what is not complete; removed at the next start
type disk struct {
	*ociregistry.Funcs
	root     *os.Root
	maxBlob  int64
	maxTotal int64
	others   ociregistry.Reader // has what a manifest may refer to beside the disk

	mu      sync.Mutex // of writes
	used    int64      // bytes of all files
	uploads map[string]*upload
}

const (
	repositories, uploads   = "repositories", "uploads"
	blobs, manifests, tags  = "_blobs", "_manifests", "_tags"
	octets                  = "application/octet-stream"
	dirMode, fileMode       = 0o700, 0o600
	maxUploads              = 16
	maxManifestsOfOneListed = 10_000
)

func openDisk(dir string, maxBlob, maxTotal int64) (*disk, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("open the registry's directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the registry's directory: %w", err)
	}
	d := &disk{root: root, maxBlob: maxBlob, maxTotal: maxTotal, uploads: map[string]*upload{}}
	err = errors.Join(root.RemoveAll(uploads), root.MkdirAll(uploads, dirMode), root.MkdirAll(repositories, dirMode))
	if err == nil {
		err = fs.WalkDir(root.FS(), repositories, func(_ string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				d.used += info.Size()
			}
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the registry's directory: %w", err), root.Close())
	}
	return d, nil
}

func fileOf(repo, kind, name string) string { return path.Join(repositories, repo, kind, name) }

// fileName is a digest as a file's name. It has been checked, so it has no slash.
func fileName(d ociregistry.Digest) string { return strings.Replace(string(d), ":", "-", 1) }

// missing makes the protocol's error of a file that is not there.
func (d *disk) missing(err error, repo string, unknown error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	for _, kind := range []string{blobs, manifests} {
		if _, err := d.root.Lstat(path.Join(repositories, repo, kind)); err == nil {
			return unknown
		}
	}
	return ociregistry.ErrNameUnknown
}

// blob opens a layer.
func (d *disk) blob(repo string, digest ociregistry.Digest) (*os.File, ociregistry.Descriptor, error) {
	if digest.Validate() != nil {
		return nil, ociregistry.Descriptor{}, ociregistry.ErrDigestInvalid
	}
	f, err := d.root.Open(fileOf(repo, blobs, fileName(digest)))
	if err != nil {
		return nil, ociregistry.Descriptor{}, d.missing(err, repo, ociregistry.ErrBlobUnknown)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, ociregistry.Descriptor{}, errors.Join(err, f.Close())
	}
	return f, ociregistry.Descriptor{MediaType: octets, Digest: digest, Size: info.Size()}, nil
}

// reader is a part of a layer, or a manifest.
type reader struct {
	io.Reader
	io.Closer
	desc ociregistry.Descriptor
}

func (r reader) Descriptor() ociregistry.Descriptor { return r.desc }

func (d *disk) GetBlob(_ context.Context, repo string, digest ociregistry.Digest) (ociregistry.BlobReader, error) {
	f, desc, err := d.blob(repo, digest)
	if err != nil {
		return nil, err
	}
	return reader{f, f, desc}, nil
}

func (d *disk) GetBlobRange(_ context.Context, repo string, digest ociregistry.Digest, from, to int64) (ociregistry.BlobReader, error) {
	f, desc, err := d.blob(repo, digest)
	if err != nil {
		return nil, err
	}
	if to < 0 || to > desc.Size {
		to = desc.Size
	}
	if from < 0 || from > to {
		return nil, errors.Join(ociregistry.ErrRangeInvalid, f.Close())
	}
	return reader{io.NewSectionReader(f, from, to-from), f, desc}, nil
}

func (d *disk) ResolveBlob(_ context.Context, repo string, digest ociregistry.Digest) (ociregistry.Descriptor, error) {
	f, desc, err := d.blob(repo, digest)
	if err != nil {
		return desc, err
	}
	return desc, f.Close()
}

// record is a manifest as it is kept.
type record struct {
	MediaType string `json:"mediaType"`
	Content   []byte `json:"content"`
}

func (d *disk) manifest(repo string, digest ociregistry.Digest) (record, ociregistry.Descriptor, error) {
	var m record
	if digest.Validate() != nil {
		return m, ociregistry.Descriptor{}, ociregistry.ErrDigestInvalid
	}
	data, err := d.root.ReadFile(fileOf(repo, manifests, fileName(digest)))
	if err != nil {
		return m, ociregistry.Descriptor{}, d.missing(err, repo, ociregistry.ErrManifestUnknown)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, ociregistry.Descriptor{}, fmt.Errorf("read manifest %s of %s: %w", digest, repo, err)
	}
	return m, ociregistry.Descriptor{MediaType: m.MediaType, Digest: digest, Size: int64(len(m.Content))}, nil
}

func (d *disk) GetManifest(_ context.Context, repo string, digest ociregistry.Digest) (ociregistry.BlobReader, error) {
	m, desc, err := d.manifest(repo, digest)
	if err != nil {
		return nil, err
	}
	return reader{bytes.NewReader(m.Content), io.NopCloser(nil), desc}, nil
}

func (d *disk) ResolveManifest(_ context.Context, repo string, digest ociregistry.Digest) (ociregistry.Descriptor, error) {
	_, desc, err := d.manifest(repo, digest)
	return desc, err
}

// digest is what a tag stands for.
func (d *disk) digest(repo, tag string) (ociregistry.Digest, error) {
	data, err := d.root.ReadFile(fileOf(repo, tags, tag))
	if err != nil {
		return "", d.missing(err, repo, ociregistry.ErrManifestUnknown)
	}
	return ociregistry.Digest(data), nil
}

func (d *disk) GetTag(ctx context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	digest, err := d.digest(repo, tag)
	if err != nil {
		return nil, err
	}
	return d.GetManifest(ctx, repo, digest)
}

func (d *disk) ResolveTag(ctx context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	digest, err := d.digest(repo, tag)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	return d.ResolveManifest(ctx, repo, digest)
}

// Repositories lists those with a manifest.
func (d *disk) Repositories(_ context.Context, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var all []string
		err := fs.WalkDir(d.root.FS(), repositories, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return err
			}
			repo, ok := strings.CutSuffix(strings.TrimPrefix(name, repositories+"/"), "/"+manifests)
			if ok && repo > after {
				all = append(all, repo)
			}
			if strings.HasPrefix(e.Name(), "_") {
				return fs.SkipDir
			}
			return nil
		})
		yieldSorted(all, err, yield)
	}
}

func yieldSorted(all []string, err error, yield func(string, error) bool) {
	if err != nil {
		yield("", err)
		return
	}
	slices.Sort(all)
	for _, item := range all {
		if !yield(item, nil) {
			return
		}
	}
}

// Tags lists the tags of a repository.
func (d *disk) Tags(_ context.Context, repo, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var all []string
		entries, err := fs.ReadDir(d.root.FS(), path.Join(repositories, repo, tags))
		if err != nil {
			err = d.missing(err, repo, nil)
		}
		for _, e := range entries {
			if e.Name() > after {
				all = append(all, e.Name())
			}
		}
		yieldSorted(all, err, yield)
	}
}

// Referrers lists the manifests that name digest as their subject.
func (d *disk) Referrers(_ context.Context, repo string, digest ociregistry.Digest, kind string) iter.Seq2[ociregistry.Descriptor, error] {
	return func(yield func(ociregistry.Descriptor, error) bool) {
		entries, err := fs.ReadDir(d.root.FS(), path.Join(repositories, repo, manifests))
		if err != nil {
			if err = d.missing(err, repo, nil); err != nil {
				yield(ociregistry.Descriptor{}, err)
			}
			return
		}
		for _, e := range entries[:min(len(entries), maxManifestsOfOneListed)] {
			m, desc, err := d.manifest(repo, ociregistry.Digest(strings.Replace(e.Name(), "-", ":", 1)))
			if err != nil {
				yield(desc, err)
				return
			}
			var c contents
			if json.Unmarshal(m.Content, &c) != nil || c.Subject == nil || c.Subject.Digest != digest {
				continue
			}
			desc.ArtifactType, desc.Annotations = c.artifactType(), c.Annotations
			if (kind == "" || kind == desc.ArtifactType) && !yield(desc, nil) {
				return
			}
		}
	}
}
