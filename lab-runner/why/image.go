package why

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/near"
)

// splitImage splits off the tag, or the digest, of an image's name.
func splitImage(image string) (repository, tag string) {
	if at := strings.Index(image, "@"); at >= 0 {
		return image[:at], image[at+1:]
	}
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		return image[:colon], image[colon+1:]
	}
	return image, "latest"
}

// familiar strips what Docker adds to a short name.
func familiar(repository string) string {
	repository = strings.TrimPrefix(repository, "docker.io/")
	repository = strings.TrimPrefix(repository, "index.docker.io/")
	return strings.TrimPrefix(repository, "library/")
}

// known returns the tags of each repository that the nodes' status lists: at most 50 images of each node.
func (f *Facts) known() map[string][]string {
	out := map[string][]string{}
	for i := range f.Nodes {
		for _, img := range f.Nodes[i].Status.Images {
			for _, name := range img.Names {
				if strings.Contains(name, "@") || strings.Contains(name, "<none>") {
					continue
				}
				repository, tag := splitImage(name)
				if repository = familiar(repository); !slices.Contains(out[repository], tag) {
					out[repository] = append(out[repository], tag)
				}
			}
		}
	}
	for _, tags := range out {
		sort.Strings(tags)
	}
	return out
}

var pullReasons = []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}

// image is the hop in which the node gets the container's image.
func (c *chain) image(ct *container) {
	if c.over() || ct.status == nil {
		return
	}
	reason, message := ct.waitingFor()
	if !slices.Contains(pullReasons, reason) {
		if ct.status.ImageID != "" || ct.last() != nil || ct.status.State.Running != nil {
			c.fine(ct.hop("image"), "node %s has the image %s", ct.pod.Spec.NodeName, ct.spec.Image)
		}
		return
	}
	if e := c.f.podEventWith(ct.pod, ct.spec.Image, "Failed"); e != nil {
		message = e.Message
	}
	c.broken(c.pull(ct, reason, message))
}

// pull names why an image is not there.
func (c *chain) pull(ct *container, reason, message string) cause {
	image := ct.spec.Image
	repository, tag := splitImage(image)
	w := cause{hop: ct.hop("image"), reason: "ImagePull", text: "the image " + image + " cannot be pulled", details: []string{"the kubelet: " + short(message, 400)}}
	w.do = "Correct the image: " + c.setImage(ct.pod, ct.spec.Name, "NAME:TAG")
	known := c.f.known()
	tags := known[familiar(repository)]
	lower := strings.ToLower(message)
	if reason == "InvalidImageName" {
		w.reason, w.text = "ImageName", fmt.Sprintf("%q is no image name: it has lower-case letters, digits and .-_/ before the tag", image)
		if low := strings.ToLower(image); low != image && len(known[familiar(strings.ToLower(repository))]) > 0 {
			w.do = "Correct the image: " + c.setImage(ct.pod, ct.spec.Name, low)
		}
		return w
	}
	if missing := c.pullSecret(ct.pod); missing != "" {
		w.reason, w.text = "PullSecretMissing", w.text+": the pod's imagePullSecrets name the Secret "+missing+", which does not exist"
		w.do = "Create it: " + c.kubectl("create secret docker-registry %s --docker-server=... --docker-username=... --docker-password=...", missing)
		if other := near.Name(missing, c.f.Secrets); other != "" {
			w.text += "; there is a Secret " + other
			w.do = "Correct imagePullSecrets to " + other + ": " + c.edit(ct.pod)
		}
		return w
	}
	if slices.Contains(tags, tag) && ct.spec.ImagePullPolicy == corev1.PullAlways {
		w.reason, w.text = "PullAlways", "imagePullPolicy Always asks the registry each time, and the registry does not give "+image+"; a node has this image already"
		w.do = "Set imagePullPolicy: IfNotPresent: " + c.edit(ct.pod)
		return w
	}
	if len(tags) > 0 && !slices.Contains(tags, tag) {
		w.reason, w.text = "ImageTag", fmt.Sprintf("there is no image %s; a node has %s with the tag %s", image, familiar(repository), strings.Join(tags, " and "))
		best := newest(tags)
		if n := near.Name(tag, tags); n != "" {
			best = n
		}
		w.do = "Correct the tag: " + c.setImage(ct.pod, ct.spec.Name, repository+":"+best)
		return w
	}
	if other := near.Name(familiar(repository), slices.Collect(keysOf(known))); other != "" {
		have := known[other]
		best := newest(have)
		if slices.Contains(have, tag) {
			best = tag
		}
		w.reason, w.text = "ImageNear", fmt.Sprintf("there is no image %s; a node has the image %s:%s", image, other, best)
		w.do = "Correct the image: " + c.setImage(ct.pod, ct.spec.Name, other+":"+best)
		return w
	}
	switch {
	case reason == "ErrImageNeverPull":
		w.reason, w.text = "NeverPull", fmt.Sprintf("imagePullPolicy is Never, and node %s does not have the image %s", ct.pod.Spec.NodeName, image)
		w.do = "Load the image onto the node, or set imagePullPolicy: IfNotPresent: " + c.edit(ct.pod)
	case strings.Contains(lower, "no such host") || strings.Contains(lower, "i/o timeout") || strings.Contains(lower, "connection refused") || strings.Contains(lower, "deadline exceeded") ||
		strings.Contains(lower, "network is unreachable") || strings.Contains(lower, "awaiting headers") || strings.Contains(lower, "server misbehaving"):
		w.reason, w.text = "RegistryUnreachable", fmt.Sprintf("node %s cannot reach the registry of the image %s", ct.pod.Spec.NodeName, image)
		w.do = "Use an image that the node has, or let the node reach the registry. Correct the image: " + c.setImage(ct.pod, ct.spec.Name, "NAME:TAG")
	case strings.Contains(lower, "manifest unknown") || strings.Contains(lower, "not found"):
		w.reason, w.text = "ImageUnknown", "the registry has no image "+image
	case strings.Contains(lower, "denied") || strings.Contains(lower, "unauthorized") || strings.Contains(lower, "authentication"):
		w.reason, w.text = "PullDenied", "the registry does not give the image "+image+": it does not exist, or needs credentials"
		w.do = "Check the name; for a private registry name a Secret in imagePullSecrets: " + c.edit(ct.pod)
	}
	return w
}

// pullSecret returns the first of the pod's imagePullSecrets that does not exist.
func (c *chain) pullSecret(p *corev1.Pod) string {
	for _, s := range p.Spec.ImagePullSecrets {
		if c.f.Unread["secrets"] == "" && !slices.Contains(c.f.Secrets, s.Name) {
			return s.Name
		}
	}
	return ""
}

// newest returns the last of some sorted tags that names a version.
func newest(tags []string) string {
	for i := len(tags) - 1; i >= 0; i-- {
		if tags[i] != "latest" {
			return tags[i]
		}
	}
	return tags[0]
}
