package kubelet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podEvent tells about the pod.
func (w *worker) podEvent(kind, reason, message string) { w.event("", kind, reason, message) }

// containerEvent tells about one container of the pod.
func (w *worker) containerEvent(c *v1.Container, kind, reason, message string) {
	field := ""
	if c != nil {
		field = "spec.containers{" + c.Name + "}"
		w.mu.Lock()
		for i := range w.pod.Spec.InitContainers {
			if w.pod.Spec.InitContainers[i].Name == c.Name {
				field = "spec.initContainers{" + c.Name + "}"
			}
		}
		if ephemeralNamed(w.pod, c.Name) != nil {
			field = "spec.ephemeralContainers{" + c.Name + "}"
		}
		w.mu.Unlock()
	}
	w.event(field, kind, reason, message)
}

func (w *worker) event(field, kind, reason, message string) {
	if w.ref.Namespace == "" { // only a folder is known of it
		return
	}
	w.mu.Lock()
	version := w.pod.ResourceVersion
	w.mu.Unlock()
	w.k.config.Recorder.Event(&v1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: w.ref.Namespace, Name: w.ref.Name,
		UID: types.UID(w.ref.UID), ResourceVersion: version, FieldPath: field,
	}, kind, reason, message)
}

// registryAuth is what the pod's pull secrets hold for the image's registry, in
// the form that the runtime passes on.
func (w *worker) registryAuth(ctx context.Context, pod *v1.Pod, image string) (string, error) {
	host := registryOf(image)
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := w.k.objects.Secret(ctx, pod.Namespace, ref.Name)
		if err != nil { // as upstream: the image may be had without it
			w.podEvent(v1.EventTypeWarning, "FailedToRetrieveImagePullSecret", "Unable to retrieve image pull secret "+ref.Name+"; attempting to pull the image may not succeed.")
			continue
		}
		var config struct {
			Auths map[string]struct {
				Username, Password, Auth string
			}
		}
		if json.Unmarshal(s.Data[v1.DockerConfigJsonKey], &config) != nil {
			continue
		}
		for server, a := range config.Auths {
			if registryHost(server) != host {
				continue
			}
			if a.Username == "" {
				if text, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
					a.Username, a.Password, _ = strings.Cut(string(text), ":")
				}
			}
			out, err := json.Marshal(map[string]string{"username": a.Username, "password": a.Password, "serveraddress": server})
			return base64.URLEncoding.EncodeToString(out), err
		}
	}
	return "", nil
}

// registryHost is the registry that a server's address in a pull secret means.
func registryHost(server string) string {
	_, rest, ok := strings.Cut(server, "://")
	if !ok {
		rest = server
	}
	host, _, _ := strings.Cut(rest, "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}
