//go:build !quick

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/dockertest"
)

func testRuntime(t *testing.T) *Runtime {
	t.Helper()
	dockertest.Require(t)
	rt, err := New(Config{Cluster: "image-test", Node: fmt.Sprint("n", os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	return rt
}

// An image that has lost its name is none of the node's.
func TestImagesWithoutName(t *testing.T) {
	rt := testRuntime(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	text := fmt.Sprint(os.Getpid(), time.Now())
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := rt.docker.ImageImport(ctx, image.ImportSource{Source: &files, SourceName: "-"}, "", image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := finish("import", out); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	all, err := rt.docker.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("dangling", "true"))})
	if err != nil || len(all) == 0 {
		t.Fatalf("images without a name: %v, %v", all, err)
	}
	nameless := map[string]bool{}
	newest := all[0]
	for _, i := range all {
		nameless[i.ID] = true
		if i.Created > newest.Created {
			newest = i
		}
	}
	defer func() { _, _ = rt.docker.ImageRemove(context.Background(), newest.ID, image.RemoveOptions{}) }()
	list, err := rt.Images(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, i := range list {
		if nameless[i.ID] || slices.ContainsFunc(i.Names, func(name string) bool { return strings.Contains(name, "<none>") }) {
			t.Errorf("listed: %+v", i)
		}
		found = found || slices.Contains(i.Names, dockertest.BusyBox)
	}
	if !found {
		t.Errorf("%s is not listed", dockertest.BusyBox)
	}
}

// An image's files are the same, whether they are its layers or a copy.
func TestMountImage(t *testing.T) {
	rt := testRuntime(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	layers, part := filepath.Join(t.TempDir(), "layers"), filepath.Join(t.TempDir(), "copy")
	if err := rt.MountImage(ctx, dockertest.BusyBox, layers); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(layers, unix.MNT_DETACH) }()
	i, err := rt.docker.ImageInspect(ctx, dockertest.BusyBox)
	if err != nil {
		t.Fatal(err)
	}
	before := containers(ctx, t, rt)
	if err := rt.copyImage(ctx, i.ID, part); err != nil {
		t.Fatal(err)
	}
	if after := containers(ctx, t, rt); after != before {
		t.Errorf("%d containers after a copy, %d before", after, before)
	}
	for _, name := range []string{"bin/busybox", "bin/sh"} {
		a, errA := os.Lstat(filepath.Join(layers, name))
		b, errB := os.Lstat(filepath.Join(part, name))
		if errA != nil || errB != nil {
			t.Errorf("%s: %v, %v", name, errA, errB)
			continue
		}
		if a.Size() != b.Size() || a.Mode() != b.Mode() {
			t.Errorf("%s: %v %d, in the copy %v %d", name, a.Mode(), a.Size(), b.Mode(), b.Size())
		}
	}
	if err := os.WriteFile(filepath.Join(layers, "x"), nil, 0o600); err == nil {
		t.Error("a file could be written into the image")
	}
	if err := rt.MountImage(ctx, "wheelhouse/no-such-image:1", filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("an image that is not there was mounted")
	}
}

// containers counts those that were made of no pod.
func containers(ctx context.Context, t *testing.T, rt *Runtime) int {
	t.Helper()
	list, err := rt.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("status", "created"))})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range list {
		if c.Labels[labelUID] == "" {
			n++
		}
	}
	return n
}

// Paths of an archive must not lead out of the directory.
func TestUnpack(t *testing.T) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	outside := filepath.Join(t.TempDir(), "outside")
	for _, h := range []*tar.Header{
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)},
		{Name: "link/outside", Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unpack(&files, t.TempDir()); err == nil {
		t.Error("an archive led out of its directory, without an error")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file was written outside")
	}
}
