package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/docker/pause"
)

// PauseImage is what sandboxes run.
const PauseImage = "wheelhouse/pause:2"

// EnsurePause makes the sandbox image if the machine does not have it.
func (r *Runtime) EnsurePause(ctx context.Context) error {
	_, err := r.Image(ctx, PauseImage)
	if err == nil || !cri.IsNotFound(err) {
		return err
	}
	var layer bytes.Buffer
	program := pause.Program()
	w := tar.NewWriter(&layer)
	err = w.WriteHeader(&tar.Header{Name: pause.Path[1:], Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(program)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("pack the sandbox program: %w", err)
	}
	out, err := r.docker.ImageImport(ctx,
		image.ImportSource{Source: &layer, SourceName: "-"}, PauseImage,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["` + pause.Path + `"]`}, Message: "the sandbox of a pod"})
	if err != nil {
		return explain("import "+PauseImage, err)
	}
	defer out.Close()
	return finish("import "+PauseImage, out)
}

// Image returns one image of the machine.
func (r *Runtime) Image(ctx context.Context, ref string) (cri.Image, error) {
	i, err := r.docker.ImageInspect(ctx, ref)
	if err != nil {
		return cri.Image{}, explain("inspect image "+ref, err)
	}
	out := cri.Image{ID: i.ID, Names: slices.Concat(i.RepoDigests, i.RepoTags), Digests: i.RepoDigests, Size: i.Size}
	if i.Config != nil {
		out.User, out.Entrypoint, out.Cmd, out.WorkingDir = i.Config.User, i.Config.Entrypoint, i.Config.Cmd, i.Config.WorkingDir
	}
	return out, nil
}

// Images lists the images of the machine that have a name.
func (r *Runtime) Images(ctx context.Context) ([]cri.Image, error) {
	all, err := r.docker.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, explain("list images", err)
	}
	var out []cri.Image
	for _, i := range all {
		digests := onlyNames(i.RepoDigests)
		if names := slices.Concat(digests, onlyNames(i.RepoTags)); len(names) > 0 {
			out = append(out, cri.Image{ID: i.ID, Names: names, Digests: digests, Size: i.Size})
		}
	}
	return out, nil
}

// onlyNames leaves out the placeholder of engines before version 24 for an image without a name.
func onlyNames(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return strings.HasPrefix(name, "<none>") })
}

// Reach requests the manifest of the image from its registry.
func (r *Runtime) Reach(ctx context.Context, ref, auth string) error {
	if _, err := r.docker.DistributionInspect(ctx, ref, auth); err != nil {
		return explain("ask the registry for "+ref, err)
	}
	return nil
}

// Pull fetches an image and waits for it.
func (r *Runtime) Pull(ctx context.Context, ref, auth string) error {
	out, err := r.docker.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return explain("pull "+ref, err)
	}
	defer out.Close()
	return finish("pull "+ref, out)
}

// Load takes the images of an archive as `docker save` writes it, under the names that it has.
func (r *Runtime) Load(ctx context.Context, archive io.Reader) error {
	out, err := r.docker.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return explain("load an image", err)
	}
	defer out.Body.Close()
	return finish("load an image", out.Body)
}

// finish reads a progress stream to its end; an error in it is the outcome.
func finish(doing string, stream io.Reader) error {
	d := json.NewDecoder(stream)
	for {
		var m struct {
			Error string `json:"error"`
		}
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if m.Error != "" {
			return fmt.Errorf("%s: %s", doing, m.Error)
		}
	}
}

// RemoveImage removes an image's name. The daemon itself would take a name from an image
// in use, as long as it has another one.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	users, err := r.docker.ContainerList(ctx, container.ListOptions{All: true, Limit: 1, Filters: filters.NewArgs(filters.Arg("ancestor", ref))})
	if err != nil && !errdefs.IsNotFound(err) {
		return explain("list the containers of image "+ref, err)
	}
	if len(users) > 0 {
		return fmt.Errorf("remove image %s: %w", ref, cri.ErrInUse)
	}
	_, err = r.docker.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
	switch {
	case err == nil || errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		return fmt.Errorf("remove image %s: %w: %w", ref, cri.ErrInUse, err)
	}
	return explain("remove image "+ref, err)
}

// ImageDir is the daemon's directory.
func (r *Runtime) ImageDir(ctx context.Context) (string, error) {
	info, err := r.daemonInfo(ctx)
	if err != nil {
		return "", err
	}
	return info.dir, nil
}
