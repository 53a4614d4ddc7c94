package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
	"github.com/opencontainers/go-digest"
)

// digestKey is the key of the digest under which a manifest is pushed, where it is not SHA-256's.
type digestKey struct{}

// adapt changes a request so that the server's library answers it as the protocol requires; the library leaves these out.
func (r *Registry) adapt(req *http.Request) (*http.Request, error) {
	switch req.Method {
	case http.MethodPost:
		r.withoutMount(req)
	case http.MethodGet:
		r.fromEnd(req)
	case http.MethodPut:
		return byDigest(req)
	}
	return req, nil
}

// withoutMount makes an ordinary upload of a mount whose layer is not there.
func (r *Registry) withoutMount(req *http.Request) {
	q := req.URL.Query()
	from, mounted := q.Get("from"), q.Get("mount")
	if !ociref.IsValidDigest(mounted) || !validRepository(from) {
		return
	}
	if _, err := r.backend.ResolveBlob(req.Context(), from, ociregistry.Digest(mounted)); err != nil {
		q.Del("from")
		q.Del("mount")
		req.URL.RawQuery = q.Encode()
	}
}

// fromEnd makes a range of the last bytes of a layer one that has a beginning.
func (r *Registry) fromEnd(req *http.Request) {
	count, isLast := strings.CutPrefix(req.Header.Get("Range"), "bytes=-")
	n, err := strconv.ParseInt(count, 10, 64)
	repo, of, isBlob := cutLast(req.URL.Path, "/blobs/")
	if !isLast || err != nil || n <= 0 || !isBlob || !validRepository(repo) || !ociref.IsValidDigest(of) {
		return
	}
	if desc, err := r.backend.ResolveBlob(req.Context(), repo, ociregistry.Digest(of)); err == nil && desc.Size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", max(desc.Size-n, 0)))
	}
}

// byDigest checks the digest under which a manifest is pushed, where it is not SHA-256's.
func byDigest(req *http.Request) (*http.Request, error) {
	repo, ref, ok := cutLast(req.URL.Path, "/manifests/")
	if !ok || !strings.Contains(ref, ":") {
		return req, nil
	}
	d, err := digest.Parse(ref)
	if err != nil {
		return nil, ociregistry.ErrDigestInvalid
	}
	if d.Algorithm() == digest.SHA256 {
		return req, nil
	}
	data, err := io.ReadAll(req.Body) // at most MaxManifest
	if err != nil {
		return nil, tooLarge(err)
	}
	if d.Algorithm().FromBytes(data) != d {
		return nil, ociregistry.ErrDigestInvalid
	}
	req = req.WithContext(context.WithValue(req.Context(), digestKey{}, d))
	req.URL.Path = "/v2/" + repo + "/manifests/" + digest.FromBytes(data).String()
	req.Body = io.NopCloser(bytes.NewReader(data))
	return req, nil
}

// cutLast returns the repository and the last element of a path of the protocol.
func cutLast(path, kind string) (repo, last string, ok bool) {
	path, ok = strings.CutPrefix(path, "/v2/")
	at := strings.LastIndex(path, kind)
	if !ok || at < 0 {
		return "", "", false
	}
	return path[:at], path[at+len(kind):], true
}
