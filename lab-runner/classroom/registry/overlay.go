package registry

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
)

// namespaceKey is the key of a request's ?ns=, the registry that a mirror is asked for.
type namespaceKey struct{}

// overlay reads what was pushed, then the base, each under all names of a repository; it writes to the disk only.
type overlay struct {
	*ociregistry.Funcs
	disk *disk                 // nil: nothing can be pushed
	base ociregistry.Interface // nil: there is none
}

// readers are those that there are.
func (o *overlay) readers() []ociregistry.Interface {
	var out []ociregistry.Interface
	if o.disk != nil {
		out = append(out, o.disk)
	}
	if o.base != nil {
		out = append(out, o.base)
	}
	return out
}

// names are those under which a repository may be had, the likeliest first.
func names(ctx context.Context, repo string) []string {
	var out []string
	if ns, _ := ctx.Value(namespaceKey{}).(string); ns != "" {
		out = append(out, ns+"/"+repo)
	}
	out = append(out, repo)
	first, _, deep := strings.Cut(repo, "/")
	switch {
	case !deep:
		out = append(out, "docker.io/library/"+repo)
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		out = append(out, "docker.io/"+repo)
	}
	return out
}

// first returns the first answer that there is.
func first[T any](ctx context.Context, o *overlay, repo string, ask func(ociregistry.Interface, string) (T, error)) (T, error) {
	var none T
	err := error(ociregistry.ErrNameUnknown)
	for _, from := range o.readers() {
		for _, name := range names(ctx, repo) {
			got, e := ask(from, name)
			switch {
			case e == nil:
				return got, nil
			case errors.Is(e, ociregistry.ErrNameUnknown), errors.Is(e, ociregistry.ErrUnsupported):
			case errors.Is(e, ociregistry.ErrBlobUnknown), errors.Is(e, ociregistry.ErrManifestUnknown):
				err = e
			default:
				return none, e
			}
		}
	}
	return none, err
}

func (o *overlay) GetBlob(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.BlobReader, error) {
		return r.GetBlob(ctx, name, d)
	})
}

func (o *overlay) GetBlobRange(ctx context.Context, repo string, d ociregistry.Digest, from, to int64) (ociregistry.BlobReader, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.BlobReader, error) {
		return r.GetBlobRange(ctx, name, d, from, to)
	})
}

func (o *overlay) GetManifest(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.BlobReader, error) {
		return r.GetManifest(ctx, name, d)
	})
}

func (o *overlay) GetTag(ctx context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.BlobReader, error) {
		return r.GetTag(ctx, name, tag)
	})
}

func (o *overlay) ResolveBlob(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.Descriptor, error) {
		return r.ResolveBlob(ctx, name, d)
	})
}

func (o *overlay) ResolveManifest(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.Descriptor, error) {
		return r.ResolveManifest(ctx, name, d)
	})
}

func (o *overlay) ResolveTag(ctx context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	return first(ctx, o, repo, func(r ociregistry.Interface, name string) (ociregistry.Descriptor, error) {
		return r.ResolveTag(ctx, name, tag)
	})
}

// Repositories are those of both.
func (o *overlay) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return o.merged(func(r ociregistry.Interface) iter.Seq2[string, error] { return r.Repositories(ctx, after) }, nil)
}

// Tags are those of both, under all names.
func (o *overlay) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	var lists []func(r ociregistry.Interface) iter.Seq2[string, error]
	for _, name := range names(ctx, repo) {
		lists = append(lists, func(r ociregistry.Interface) iter.Seq2[string, error] { return r.Tags(ctx, name, after) })
	}
	return o.merged(lists[0], ociregistry.ErrNameUnknown, lists[1:]...)
}

// merged sorts several lists into one. A repository that is in none of them is an error if missing is one.
func (o *overlay) merged(list func(ociregistry.Interface) iter.Seq2[string, error], missing error, more ...func(ociregistry.Interface) iter.Seq2[string, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var all []string
		found := missing == nil
		for _, r := range o.readers() {
			for _, list := range slices.Concat([]func(ociregistry.Interface) iter.Seq2[string, error]{list}, more) {
				known := true
				for item, err := range list(r) {
					if errors.Is(err, ociregistry.ErrNameUnknown) || errors.Is(err, ociregistry.ErrUnsupported) {
						known = false
						break
					}
					if err != nil {
						yield("", err)
						return
					}
					all = append(all, item)
				}
				found = found || known
			}
		}
		if !found {
			yield("", missing)
			return
		}
		slices.Sort(all)
		for _, item := range slices.Compact(all) {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// Referrers are those of both, under all names.
func (o *overlay) Referrers(ctx context.Context, repo string, d ociregistry.Digest, kind string) iter.Seq2[ociregistry.Descriptor, error] {
	return func(yield func(ociregistry.Descriptor, error) bool) {
		seen := map[ociregistry.Digest]bool{}
		for _, r := range o.readers() {
			for _, name := range names(ctx, repo) {
				for desc, err := range r.Referrers(ctx, name, d, kind) {
					if errors.Is(err, ociregistry.ErrNameUnknown) || errors.Is(err, ociregistry.ErrUnsupported) {
						break
					}
					if err != nil {
						yield(desc, err)
						return
					}
					if !seen[desc.Digest] && !yield(desc, nil) {
						return
					}
					seen[desc.Digest] = true
				}
			}
		}
	}
}

// writable returns the disk, or an error where there is none.
func (o *overlay) writable(repo string) (*disk, error) {
	if o.disk == nil {
		return nil, ociregistry.ErrUnsupported
	}
	if !validRepository(repo) {
		return nil, ociregistry.ErrNameInvalid
	}
	return o.disk, nil
}

// validRepository reports whether a repository may have that name.
func validRepository(name string) bool { return len(name) <= 255 && ociref.IsValidRepository(name) }

func (o *overlay) PushBlob(ctx context.Context, repo string, desc ociregistry.Descriptor, content io.Reader) (ociregistry.Descriptor, error) {
	d, err := o.writable(repo)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	return d.PushBlob(ctx, repo, desc, content)
}

func (o *overlay) PushBlobChunked(ctx context.Context, repo string, chunk int) (ociregistry.BlobWriter, error) {
	d, err := o.writable(repo)
	if err != nil {
		return nil, err
	}
	return d.PushBlobChunked(ctx, repo, chunk)
}

func (o *overlay) PushBlobChunkedResume(ctx context.Context, repo, id string, offset int64, chunk int) (ociregistry.BlobWriter, error) {
	d, err := o.writable(repo)
	if err != nil {
		return nil, err
	}
	return d.PushBlobChunkedResume(ctx, repo, id, offset, chunk)
}

// MountBlob makes a layer of one repository one of another; of a base it needs nothing but to be there.
func (o *overlay) MountBlob(ctx context.Context, from, to string, digest ociregistry.Digest) (ociregistry.Descriptor, error) {
	d, err := o.writable(to)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	desc, err := d.MountBlob(ctx, from, to, digest)
	if err == nil {
		return desc, nil
	}
	blob, err := o.GetBlob(ctx, from, digest)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	defer blob.Close()
	return d.PushBlob(ctx, to, blob.Descriptor(), blob)
}

func (o *overlay) PushManifest(ctx context.Context, repo, tag string, contents []byte, mediaType string) (ociregistry.Descriptor, error) {
	d, err := o.writable(repo)
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	return d.PushManifest(ctx, repo, tag, contents, mediaType)
}

func (o *overlay) DeleteBlob(ctx context.Context, repo string, digest ociregistry.Digest) error {
	d, err := o.writable(repo)
	if err != nil {
		return err
	}
	return d.DeleteBlob(ctx, repo, digest)
}

func (o *overlay) DeleteManifest(ctx context.Context, repo string, digest ociregistry.Digest) error {
	d, err := o.writable(repo)
	if err != nil {
		return err
	}
	return d.DeleteManifest(ctx, repo, digest)
}

func (o *overlay) DeleteTag(ctx context.Context, repo, tag string) error {
	d, err := o.writable(repo)
	if err != nil {
		return err
	}
	return d.DeleteTag(ctx, repo, tag)
}
