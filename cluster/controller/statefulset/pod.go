package statefulset

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/controller/podcontrol"
)

// podName returns the name of the pod of an ordinal.
func podName(set *apps.StatefulSet, ordinal int) string {
	return fmt.Sprintf("%s-%d", set.Name, ordinal)
}

// ordinalOf returns the ordinal in a pod's name, or -1 for a pod that is not of the set.
func ordinalOf(set *apps.StatefulSet, p *v1.Pod) int {
	text, ok := strings.CutPrefix(p.Name, set.Name+"-")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 0 || strconv.Itoa(n) != text {
		return -1
	}
	return n
}

func firstOrdinal(set *apps.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

func replicas(set *apps.StatefulSet) int {
	if set.Spec.Replicas == nil {
		return 1
	}
	return int(*set.Spec.Replicas)
}

// claimName returns the name of an ordinal's claim from a template.
func claimName(set *apps.StatefulSet, template string, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", template, set.Name, ordinal)
}

// podFor returns the pod of an ordinal, from the template of a revision.
func podFor(set *apps.StatefulSet, t *v1.PodTemplateSpec, revision string, ordinal int) *v1.Pod {
	p := podcontrol.PodFromTemplate(t, set, kind)
	p.GenerateName, p.Name = "", podName(set, ordinal)
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, set.Spec.ServiceName
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[apps.StatefulSetRevisionLabel] = revision
	p.Labels[apps.StatefulSetPodNameLabel] = p.Name
	p.Labels[apps.PodIndexLabel] = strconv.Itoa(ordinal)
	claimed := map[string]bool{}
	var volumes []v1.Volume
	for _, c := range set.Spec.VolumeClaimTemplates {
		claimed[c.Name] = true
		volumes = append(volumes, v1.Volume{Name: c.Name, VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(set, c.Name, ordinal)},
		}})
	}
	for _, v := range p.Spec.Volumes {
		if !claimed[v.Name] {
			volumes = append(volumes, v)
		}
	}
	p.Spec.Volumes = volumes
	return p
}

// claimsFor returns the claims of an ordinal.
func claimsFor(set *apps.StatefulSet, ordinal int) []*v1.PersistentVolumeClaim {
	var out []*v1.PersistentVolumeClaim
	for i := range set.Spec.VolumeClaimTemplates {
		c := set.Spec.VolumeClaimTemplates[i].DeepCopy()
		c.Name, c.Namespace = claimName(set, c.Name, ordinal), set.Namespace
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		maps.Copy(c.Labels, set.Spec.Selector.MatchLabels)
		c.Status = v1.PersistentVolumeClaimStatus{}
		out = append(out, c)
	}
	return out
}
