package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
)

// uploadLife is how long an upload may rest before another one takes its place.
const uploadLife = 15 * time.Minute

// upload is a layer that is not complete. The disk's mutex guards its fields but the file and the hash, which
// belong to the one writer that is open.
type upload struct {
	repo   string
	file   *os.File
	sha256 hash.Hash
	size   int64
	used   time.Time
	open   bool
}

// writer is the part of an upload that one request sends.
type writer struct {
	disk   *disk
	id     string
	upload *upload
	offset int64 // where the first write has to be; negative: anywhere
	closed bool
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	return hex.EncodeToString(id)
}

// tooLarge is the error of a request that sends more than is kept.
func tooLarge(err error) error {
	return ociregistry.NewHTTPError(err, http.StatusRequestEntityTooLarge, nil, nil)
}

// PushBlobChunked begins an upload. There are at most maxUploads; one that has rested for long gives way.
func (d *disk) PushBlobChunked(_ context.Context, repo string, _ int) (ociregistry.BlobWriter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, u := range d.uploads {
		if !u.open && time.Since(u.used) > uploadLife {
			if err := d.drop(id, u); err != nil {
				return nil, err
			}
		}
	}
	if len(d.uploads) >= maxUploads {
		return nil, ociregistry.ErrTooManyRequests
	}
	id := newID()
	f, err := d.root.OpenFile(path.Join(uploads, id), os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	u := &upload{repo: repo, file: f, sha256: digest.SHA256.Hash(), used: time.Now(), open: true}
	d.uploads[id] = u
	return &writer{disk: d, id: id, upload: u}, nil
}

// drop removes an upload and its file. Called with mu held.
func (d *disk) drop(id string, u *upload) error {
	delete(d.uploads, id)
	d.used -= u.size
	return errors.Join(u.file.Close(), d.root.Remove(path.Join(uploads, id)))
}

// PushBlobChunkedResume goes on with an upload, which belongs to one request at a time.
func (d *disk) PushBlobChunkedResume(_ context.Context, repo, id string, offset int64, length int) (ociregistry.BlobWriter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.uploads[id]
	if u == nil || u.repo != repo {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	if u.open {
		return nil, fmt.Errorf("%w: another request writes it", ociregistry.ErrBlobUploadInvalid)
	}
	if length > 0 && offset >= 0 && offset != u.size {
		return nil, fmt.Errorf("%w: the upload has %d bytes", ociregistry.ErrRangeInvalid, u.size)
	}
	u.open, u.used = true, time.Now()
	return &writer{disk: d, id: id, upload: u, offset: offset}, nil
}

func (w *writer) ID() string     { return w.id }
func (w *writer) ChunkSize() int { return 0 }

func (w *writer) Size() int64 {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	return w.upload.size
}

// Write adds to the upload, as far as the disk may be filled.
func (w *writer) Write(data []byte) (int, error) {
	d, u := w.disk, w.upload
	d.mu.Lock()
	switch {
	case w.closed:
		d.mu.Unlock()
		return 0, ociregistry.ErrBlobUploadInvalid
	case w.offset >= 0 && w.offset != u.size:
		d.mu.Unlock()
		return 0, fmt.Errorf("%w: the upload has %d bytes", ociregistry.ErrRangeInvalid, u.size)
	case u.size+int64(len(data)) > d.maxBlob:
		d.mu.Unlock()
		return 0, tooLarge(fmt.Errorf("a layer may have %d bytes", d.maxBlob))
	case d.used+int64(len(data)) > d.maxTotal:
		d.mu.Unlock()
		return 0, d.full()
	}
	w.offset = -1
	u.size += int64(len(data))
	d.used += int64(len(data))
	d.mu.Unlock()
	if _, err := u.sha256.Write(data); err != nil {
		return 0, err
	}
	return u.file.Write(data)
}

// Close ends the part; the upload stays.
func (w *writer) Close() error {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	if !w.closed {
		w.closed, w.upload.open, w.upload.used = true, false, time.Now()
	}
	return nil
}

// Cancel removes the upload. After Commit it does nothing.
func (w *writer) Cancel() error {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	return w.disk.drop(w.id, w.upload)
}

// Commit keeps the layer if it has the digest; else the upload is lost.
func (w *writer) Commit(dgst ociregistry.Digest) (ociregistry.Descriptor, error) {
	u := w.upload
	if err := w.verify(dgst); err != nil {
		return ociregistry.Descriptor{}, errors.Join(err, w.Cancel())
	}
	if err := u.file.Sync(); err != nil {
		return ociregistry.Descriptor{}, errors.Join(err, w.Cancel())
	}
	d := w.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.closed {
		return ociregistry.Descriptor{}, ociregistry.ErrBlobUploadInvalid
	}
	w.closed = true
	delete(d.uploads, w.id)
	d.used -= u.size // keep counts the file
	if err := errors.Join(u.file.Close(), d.keep(path.Join(uploads, w.id), fileOf(u.repo, blobs, fileName(dgst)))); err != nil {
		return ociregistry.Descriptor{}, err
	}
	return ociregistry.Descriptor{MediaType: octets, Digest: dgst, Size: u.size}, nil
}

// verify returns an error unless the upload has the digest.
func (w *writer) verify(dgst ociregistry.Digest) error {
	if dgst.Validate() != nil {
		return ociregistry.ErrDigestInvalid
	}
	sum := w.upload.sha256
	if dgst.Algorithm() != digest.SHA256 {
		sum = dgst.Algorithm().Hash()
		if _, err := io.Copy(sum, io.NewSectionReader(w.upload.file, 0, w.Size())); err != nil {
			return err
		}
	}
	if digest.NewDigest(dgst.Algorithm(), sum) != dgst {
		return ociregistry.ErrDigestInvalid
	}
	return nil
}
