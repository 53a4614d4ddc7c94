package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sys/unix"
)

// sealed is how an image's files are mounted: read-only, without programs, setuid and devices.
const sealed = unix.MS_RDONLY | unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_NODEV

// MountImage mounts an image's files at dir. With Docker's overlay2 driver they are the
// image's own layers; from an engine that keeps images otherwise they are copied.
func (r *Runtime) MountImage(ctx context.Context, ref, dir string) error {
	i, err := r.docker.ImageInspect(ctx, ref)
	if err != nil {
		return explain("inspect image "+ref, err)
	}
	layers := layersOf(&i)
	options := "lowerdir=" + strings.Join(layers, ":")
	if len(layers) == 0 || len(options) >= os.Getpagesize() { // the kernel takes one page
		if err := r.copyImage(ctx, i.ID, dir); err != nil {
			return fmt.Errorf("copy the files of image %s: %w", ref, err)
		}
		layers = []string{dir}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if len(layers) == 1 { // an overlay takes two at least
		err = unix.Mount(layers[0], dir, "", unix.MS_BIND, "")
		if err == nil {
			err = unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|sealed, "")
		}
	} else {
		err = unix.Mount("overlay", dir, "overlay", sealed, options)
	}
	if err != nil {
		return fmt.Errorf("mount image %s: %w", ref, err)
	}
	return nil
}

// layersOf are the directories of an image's layers, the uppermost first; nil where the
// engine has no such.
func layersOf(i *image.InspectResponse) []string {
	data := i.GraphDriver.Data
	if i.GraphDriver.Name != "overlay2" || data["UpperDir"] == "" {
		return nil
	}
	layers := []string{data["UpperDir"]}
	if lower := data["LowerDir"]; lower != "" {
		layers = append(layers, strings.Split(lower, ":")...)
	}
	for n, layer := range layers {
		if layers[n] = shorter(layer); layers[n] == "" {
			return nil // the engine's directory is elsewhere
		}
	}
	return layers
}

// shorter is the link that Docker keeps for a layer, as a mount's options are bounded.
func shorter(layer string) string {
	if _, err := os.Stat(layer); err != nil {
		return ""
	}
	home := filepath.Dir(layer)
	name, err := os.ReadFile(filepath.Join(home, "link"))
	if err != nil {
		return layer
	}
	return filepath.Join(filepath.Dir(home), "l", strings.TrimSpace(string(name)))
}

// copyImage writes an image's files into dir, which is there only when it is complete. The
// engine gives them out for containers only, so one is made that never runs.
func (r *Runtime) copyImage(ctx context.Context, id, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	c, err := r.docker.ContainerCreate(ctx, &container.Config{Image: id, Cmd: []string{"-"}, NetworkDisabled: true}, nil, nil, nil, "")
	if err != nil {
		return explain("create a container", err)
	}
	defer func() { // also when the caller has given up
		_ = r.docker.ContainerRemove(context.WithoutCancel(ctx), c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	}()
	files, err := r.docker.ContainerExport(ctx, c.ID)
	if err != nil {
		return explain("export a container", err)
	}
	defer files.Close()
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return err
	}
	if err := unpack(files, part); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, dir)
}

// unpack writes the files of an archive below dir; no name or link in it leads out.
func unpack(from io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	in := tar.NewReader(from)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		if name == ".dockerenv" { // the engine's own
			continue
		}
		if err := unpackOne(root, name, h, in); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func unpackOne(root *os.Root, name string, h *tar.Header, content io.Reader) error {
	mode := h.FileInfo().Mode()
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		err = root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if err = root.Symlink(h.Linkname, name); err == nil {
			err = root.Lchown(name, h.Uid, h.Gid)
		}
		return err
	case tar.TypeLink:
		return root.Link(filepath.Clean(h.Linkname), name)
	case tar.TypeReg:
		var f *os.File
		if f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			_, err = io.Copy(f, content)
			err = errors.Join(err, f.Close())
		}
	default: // devices and pipes, which cannot be opened here
		return nil
	}
	if err == nil {
		err = root.Lchown(name, h.Uid, h.Gid)
	}
	if err == nil { // after the owner, whose change takes bits away
		err = root.Chmod(name, mode&(os.ModePerm|os.ModeSetuid|os.ModeSetgid|os.ModeSticky))
	}
	return err
}
