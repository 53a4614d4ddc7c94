// Package dockertest gives tests what they need of a real Docker.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// BusyBox is the image that the tests' containers run.
const BusyBox = "wheelhouse/test-busybox:1"

// commands of the image, as links to busybox.
var commands = []string{
	"sh", "sleep", "echo", "cat", "false", "true", "ls", "env", "wget", "nc", "httpd", "dd", "tail", "id", "hostname", "head", "stat", "kill", "test", "touch", "rm", "grep", "readlink", "ip", "mount", "df", "tr", "stty", "seq",
}

// Require skips the test without root or Docker and makes the image if it is
// missing. The image stays: it is small and all tests share it.
func Require(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	ctx := context.Background()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = docker.Close() }()
	if _, err := docker.Ping(ctx); err != nil {
		t.Skipf("needs Docker: %v", err)
	}
	if _, err := docker.ImageInspect(ctx, BusyBox); err == nil {
		return
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox, of the package busybox-static")
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := docker.ImageImport(ctx, image.ImportSource{Source: layer(t, program), SourceName: "-"}, BusyBox, image.ImportOptions{
		Changes: []string{"ENV PATH=/bin", `CMD ["/bin/sh"]`},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
}

func layer(t testing.TB, program []byte) io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, data []byte) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil)
	add(&tar.Header{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755}, nil)
	add(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}, program)
	for _, c := range commands {
		add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + c, Linkname: "busybox", Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}
