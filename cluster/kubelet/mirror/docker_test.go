//go:build !quick

package mirror_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/mirror"
	"wheelhouse/lab-runner/bundle"
)

// An image that is nowhere but in a bundle gets onto the machine under its old name, and is the very image that was packed.
func TestOnlyInTheMirror(t *testing.T) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = api.Close() }()
	ref := fmt.Sprintf("b.gcr.io/only-in-the-mirror/app:%d", os.Getpid())
	remove := func() error {
		_, err := api.ImageRemove(context.Background(), ref, image.RemoveOptions{})
		return err
	}
	in, err := api.ImageImport(t.Context(), image.ImportSource{Source: layer(t), SourceName: "-"}, ref, image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	before, err := api.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	b := pack(t, api, ref)
	defer func() { _ = b.Close() }()
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	handler, err := b.Registry()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(handler)
	defer s.Close()
	m, err := mirror.New(s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := docker.New(docker.Config{Cluster: "mirror-test", Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	source := mirror.Source{Mirror: m, Engine: engine}
	if err := source.Reach(t.Context(), ref, ""); err != nil {
		t.Error(err)
	}
	if err := source.Pull(t.Context(), ref, ""); err != nil {
		t.Fatal(err)
	}
	after, err := engine.Image(t.Context(), ref)
	if err != nil || after.ID != before.ID {
		t.Errorf("the image is %s, %v; it was %s", after.ID, err, before.ID)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
}

// layer is one file that no other image has.
func layer(t *testing.T) io.Reader {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	text, err := json.Marshal([]any{t.Name(), os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// pack makes a bundle of one image.
func pack(t *testing.T, api *client.Client, ref string) *bundle.Bundle {
	t.Helper()
	dir := t.TempDir()
	saved, err := api.ImageSave(t.Context(), []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	data, err := io.ReadAll(saved)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "images", runtime.GOARCH+".tar"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Create{From: dir}.Write(t.Context(), filepath.Join(dir, "class.tar"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
