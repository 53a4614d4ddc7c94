package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// GitRepo refuses gitRepo volumes, which a node fetches with its own git, to users who do not
// have the right.
type GitRepo struct{ rights }

// Validate implements Validator.
func (p *GitRepo) Validate(ctx context.Context, r *Request) error {
	if r.Verb != Create && r.Verb != Update {
		return nil
	}
	spec := podSpecOf(r.Object)
	if spec == nil {
		return nil
	}
	had := repositories(podSpecOf(r.Old))
	added := slices.ContainsFunc(repositories(spec), func(g *corev1.GitRepoVolumeSource) bool {
		return !slices.ContainsFunc(had, func(h *corev1.GitRepoVolumeSource) bool { return equality.Semantic.DeepEqual(g, h) })
	})
	if !added {
		return nil
	}
	return p.demand(ctx, r, gitRepoRight, "gitRepo volumes are denied by admission control: use an init container that clones into an emptyDir")
}

func repositories(spec *corev1.PodSpec) []*corev1.GitRepoVolumeSource {
	if spec == nil {
		return nil
	}
	var found []*corev1.GitRepoVolumeSource
	for i := range spec.Volumes {
		if g := spec.Volumes[i].GitRepo; g != nil {
			found = append(found, g)
		}
	}
	return found
}
