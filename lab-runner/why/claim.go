package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"wheelhouse/lab-runner/near"
)

const defaultClass = "storageclass.kubernetes.io/is-default-class"

// classOf returns the name of a claim's class, and the class if it exists. A claim that names none gets the default one.
func (c *chain) classOf(claim *corev1.PersistentVolumeClaim) (name string, class *storagev1.StorageClass) {
	name = c.standardClass()
	if claim.Spec.StorageClassName != nil {
		name = *claim.Spec.StorageClassName
	}
	return name, find(c.f.StorageClasses, name)
}

// waitsForPod reports whether a claim is bound only when a pod that uses it is scheduled.
func (c *chain) waitsForPod(claim *corev1.PersistentVolumeClaim) bool {
	_, class := c.classOf(claim)
	return claim.Status.Phase == corev1.ClaimPending && class != nil && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer &&
		c.f.event("PersistentVolumeClaim", claim.Name, string(claim.UID), "ProvisioningFailed") == nil
}

func (c *chain) usersOf(claim string) []string {
	var out []string
	for i := range c.f.Pods {
		for _, v := range c.f.Pods[i].Spec.Volumes {
			if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim {
				out = append(out, c.f.Pods[i].Name)
			}
		}
	}
	return out
}

// claim follows a PersistentVolumeClaim to its volume.
func (c *chain) claim(claim *corev1.PersistentVolumeClaim) {
	c.of("persistentvolumeclaim/"+claim.Name, func() {
		want := claim.Spec.Resources.Requests[corev1.ResourceStorage]
		c.fine("object", "claim %s asks for %s, %s", claim.Name, want.String(), modes(claim.Spec.AccessModes))
		if users := c.usersOf(claim.Name); claim.DeletionTimestamp != nil && len(users) > 0 {
			c.broken(cause{
				hop: "deletion", reason: "ClaimInUse", text: "the claim was deleted, and stays while a pod uses it: " + strings.Join(users, ", "),
				do: "Delete the pod: " + c.kubectl("delete pod %s", users[0]),
			})
		}
		c.deletion(nil, "PersistentVolumeClaim", &claim.ObjectMeta)
		switch {
		case c.over():
		case claim.Status.Phase == corev1.ClaimLost:
			c.broken(cause{
				hop: "volume", reason: "ClaimLost", text: "the claim's volume " + claim.Spec.VolumeName + " no longer exists",
				do: "Restore the volume, or delete the claim and create it again.",
			})
		case claim.Status.Phase == corev1.ClaimBound:
			c.fine("volume", "it is bound to volume %s", claim.Spec.VolumeName)
		default:
			c.unbound(claim)
		}
	})
}

func modes(list []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range list {
		out = append(out, string(m))
	}
	return strings.Join(out, ", ")
}

func (c *chain) unbound(claim *corev1.PersistentVolumeClaim) {
	name, class := c.classOf(claim)
	if c.f.Unread["persistentvolumes"] == "" {
		if v := claim.Spec.VolumeName; v != "" && find(c.f.Volumes, v) == nil {
			text := "the claim names volume " + v + ", which does not exist"
			if other := near.Name(v, names(c.f.Volumes)); other != "" {
				text += "; there is a volume " + other
			}
			c.broken(cause{hop: "volume", reason: "VolumeMissing", text: text, do: "Delete the claim and create it with the right volumeName."})
			return
		}
	}
	candidates, details := c.candidates(claim)
	if e := c.f.event("PersistentVolumeClaim", claim.Name, string(claim.UID), "ProvisioningFailed"); e != nil && class != nil {
		c.broken(cause{hop: "provisioner", reason: "ProvisioningFailed", text: "the provisioner " + class.Provisioner + " cannot make a volume", do: "Mend what the event says.", details: []string{quote(e)}})
		return
	}
	ofClass := slices.ContainsFunc(c.f.Volumes, func(v corev1.PersistentVolume) bool { return v.Spec.StorageClassName == name })
	if name != "" && class == nil && c.f.Unread["storageclasses"] == "" && !ofClass {
		w := cause{hop: "class", reason: "StorageClassMissing", text: "the claim asks for StorageClass " + name + ", which does not exist", do: "Delete the claim and create it with a StorageClass that exists: kubectl get storageclass", details: details}
		if other := near.Name(name, names(c.f.StorageClasses)); other != "" {
			w.text += "; there is a StorageClass " + other
		} else if have := names(c.f.StorageClasses); len(have) > 0 {
			w.details = append(w.details, "StorageClasses: "+strings.Join(have, ", "))
		}
		c.broken(w)
		return
	}
	if class != nil && class.Provisioner != "kubernetes.io/no-provisioner" {
		c.provisioned(claim, class)
		return
	}
	if candidates || c.waitsForPod(claim) {
		w := cause{hop: "volume", reason: "NotBoundYet", text: "the claim is not bound yet", do: "Wait a few seconds and ask again.", details: details}
		if c.waitsForPod(claim) {
			w.reason, w.text, w.do = "WaitsForPod", "StorageClass "+name+" binds a claim when a pod uses it (WaitForFirstConsumer), and none does", "Create the pod that uses the claim."
		}
		c.waiting(w)
		return
	}
	if text := c.f.Unread["persistentvolumes"]; text != "" {
		c.broken(cause{hop: "volume", reason: "NoVolume", text: "the claim is not bound to a volume, and the volumes could not be read: " + text, do: "Let someone who may read PersistentVolumes look."})
		return
	}
	w := cause{hop: "volume", reason: "NoVolume", text: "no volume fits the claim", do: "Create a PersistentVolume that fits, or delete the claim and create one that fits a volume.", details: details}
	if len(c.f.Volumes) == 0 {
		w.text = "the cluster has no volume, and the claim's class has no provisioner that makes one"
		w.do = "Create a PersistentVolume, or use a StorageClass with a provisioner."
	}
	if claim.Spec.StorageClassName == nil {
		w.text += "; the claim names no StorageClass, and there is no default one"
	}
	if len(details) == 1 {
		w.text += ": " + details[0]
	}
	c.broken(w)
}

// provisioned is a claim whose class makes volumes.
func (c *chain) provisioned(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) {
	users := c.usersOf(claim.Name)
	if c.waitsForPod(claim) && len(users) == 0 {
		c.waiting(cause{
			hop: "class", reason: "WaitsForPod", text: "StorageClass " + class.Name + " makes a volume when a pod uses the claim (WaitForFirstConsumer), and none does",
			do: "Create the pod that uses the claim.",
		})
		return
	}
	c.fine("class", "StorageClass %s has the provisioner %s", class.Name, class.Provisioner)
	w := cause{
		hop: "provisioner", reason: "NoProvisioner", text: "nothing has made a volume: the provisioner " + class.Provisioner + " has not answered",
		do: "See whether the provisioner runs, or use another StorageClass: kubectl get storageclass", details: []string{quote(c.f.event("PersistentVolumeClaim", claim.Name, string(claim.UID), "ExternalProvisioning"))},
	}
	if c.f.age(claim.CreationTimestamp).Seconds() < 20 {
		w.do = "Wait a few seconds and ask again."
		c.waiting(w)
		return
	}
	c.broken(w)
}

// candidates reports whether some volume fits a claim, and why each of the others does not.
func (c *chain) candidates(claim *corev1.PersistentVolumeClaim) (some bool, why []string) {
	class := ""
	if claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	want := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	for i := range c.f.Volumes {
		v := &c.f.Volumes[i]
		size := v.Spec.Capacity[corev1.ResourceStorage]
		reason := ""
		switch ref := v.Spec.ClaimRef; {
		case claim.Spec.VolumeName != "" && claim.Spec.VolumeName != v.Name:
			continue
		case v.Status.Phase == corev1.VolumeReleased:
			reason = fmt.Sprintf("is Released: it still has the data of claim %s/%s, and is kept for that", ref.Namespace, ref.Name)
		case ref != nil && (ref.Namespace != claim.Namespace || ref.Name != claim.Name):
			reason = fmt.Sprintf("belongs to claim %s/%s", ref.Namespace, ref.Name)
		case v.Spec.StorageClassName != class:
			reason = fmt.Sprintf("has StorageClass %q, the claim asks for %q", v.Spec.StorageClassName, class)
		case size.Cmp(want) < 0:
			reason = fmt.Sprintf("has %s, the claim asks for %s", size.String(), want.String())
		case slices.ContainsFunc(claim.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return !slices.Contains(v.Spec.AccessModes, m) }):
			reason = fmt.Sprintf("has the access modes %s, the claim asks for %s", modes(v.Spec.AccessModes), modes(claim.Spec.AccessModes))
		case claim.Spec.Selector != nil && !selects(claim.Spec.Selector, v.Labels):
			reason = "does not have the labels of the claim's selector, " + pairs(claim.Spec.Selector.MatchLabels)
			if d := nearLabels(claim.Spec.Selector.MatchLabels, []map[string]string{v.Labels}); d != "" {
				reason += "; nearly: it has " + d
			}
		default:
			some = true
			continue
		}
		why = append(why, "volume "+v.Name+" "+reason)
	}
	return some, why
}

func (c *chain) volume(v *corev1.PersistentVolume) {
	c.of("persistentvolume/"+v.Name, func() {
		c.fine("object", "volume %s exists, reclaim policy %s", v.Name, v.Spec.PersistentVolumeReclaimPolicy)
		switch ref := v.Spec.ClaimRef; {
		case v.DeletionTimestamp != nil && v.Status.Phase == corev1.VolumeBound:
			c.broken(cause{hop: "deletion", reason: "VolumeInUse", text: fmt.Sprintf("the volume was deleted, and stays while claim %s/%s is bound to it", ref.Namespace, ref.Name), do: fmt.Sprintf("Delete the claim: kubectl -n %s delete pvc %s", ref.Namespace, ref.Name)})
		case v.Status.Phase == corev1.VolumeReleased:
			c.broken(cause{
				hop: "claim", reason: "Released", text: fmt.Sprintf("the claim %s/%s was deleted, and the volume keeps its data (Retain): no other claim gets it", ref.Namespace, ref.Name),
				do: fmt.Sprintf(`If the data may go to a new claim: kubectl patch pv %s --type=merge -p '{"spec":{"claimRef":null}}'`, v.Name),
			})
		case v.Status.Phase == corev1.VolumeFailed:
			c.broken(cause{hop: "claim", reason: "ReclaimFailed", text: "the volume could not be reclaimed: " + short(v.Status.Message, 300), do: "Free it by hand, then delete the volume: kubectl delete pv " + v.Name})
		case v.Status.Phase == corev1.VolumeBound:
			c.fine("claim", "it is bound to claim %s/%s", ref.Namespace, ref.Name)
		default:
			c.fine("claim", "it is available")
		}
		c.deletion(nil, "PersistentVolume", &v.ObjectMeta)
	})
}

// standardClass returns the name of the default StorageClass, "" if there is none.
func (c *chain) standardClass() string {
	for i := range c.f.StorageClasses {
		if c.f.StorageClasses[i].Annotations[defaultClass] == "true" {
			return c.f.StorageClasses[i].Name
		}
	}
	return ""
}
