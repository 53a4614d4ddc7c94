package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"wheelhouse/cluster/api"
)

// Clients ask for the protobuf by a name that is no media type ("@" may not be in one),
// and the answer says it properly.
const (
	v2Asked  = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	v2Answer = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
)

// Handler answers /openapi/v2, /openapi/v3 and the documents that the latter lists, for the
// kinds of a table.
func Handler(t *api.Table) http.Handler {
	kinds := t.Served()
	h := &handler{
		v3: sync.OnceValues(func() (map[string]*file, error) { return v3Files(kinds) }),
		v2: sync.OnceValues(func() (*v2Files, error) { return newV2Files(kinds) }),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi/v2", h.serveV2)
	mux.HandleFunc("GET /openapi/v3", h.serveIndex)
	mux.HandleFunc("GET /openapi/v3/{path...}", h.serveV3)
	return mux
}

type handler struct {
	v3 func() (map[string]*file, error)
	v2 func() (*v2Files, error)
}

// file is one document, ready to be sent.
type file struct {
	contentType, etag string
	plain, zipped     []byte
}

func newFile(contentType string, b []byte) (*file, error) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return &file{contentType: contentType, etag: fmt.Sprintf("%X", sha512.Sum512(b)), plain: b, zipped: zipped.Bytes()}, nil
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", `"`+f.etag+`"`)
	h.Add("Vary", "Accept, Accept-Encoding")
	b := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b = f.zipped
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func v3Files(kinds []*api.Kind) (map[string]*file, error) {
	docs, err := V3(kinds)
	if err != nil {
		return nil, err
	}
	files := map[string]*file{}
	index := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		f, err := newFile("application/json", docs[path])
		if err != nil {
			return nil, err
		}
		files[path] = f
		index[path] = doc{"serverRelativeURL": "/openapi/v3/" + path + "?hash=" + f.etag}
	}
	b, err := json.Marshal(doc{"paths": index})
	if err != nil {
		return nil, fmt.Errorf("encode the list of documents: %w", err)
	}
	files[""], err = newFile("application/json", b)
	return files, err
}

func (h *handler) serveIndex(w http.ResponseWriter, r *http.Request) {
	files, err := h.v3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	files[""].serve(w, r)
}

func (h *handler) serveV3(w http.ResponseWriter, r *http.Request) {
	files, err := h.v3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	f, ok := files[r.PathValue("path")]
	if !ok || r.PathValue("path") == "" {
		http.NotFound(w, r)
		return
	}
	// The hash in the address makes the document one that never changes.
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != f.etag {
			u := *r.URL
			q := u.Query()
			q.Set("hash", f.etag)
			u.RawQuery = q.Encode()
			http.Redirect(w, r, u.RequestURI(), http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	f.serve(w, r)
}

type v2Files struct{ json, protobuf *file }

func newV2Files(kinds []*api.Kind) (*v2Files, error) {
	j, p, err := V2(kinds)
	if err != nil {
		return nil, err
	}
	var files v2Files
	if files.json, err = newFile("application/json", j); err != nil {
		return nil, err
	}
	files.protobuf, err = newFile(v2Answer, p)
	return &files, err
}

func (h *handler) serveV2(w http.ResponseWriter, r *http.Request) {
	files, err := h.v2()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a := r.Header.Get("Accept"); strings.Contains(a, v2Asked) || strings.Contains(a, v2Answer) {
		files.protobuf.serve(w, r)
		return
	}
	files.json.serve(w, r)
}
