package api

import "k8s.io/apimachinery/pkg/runtime/schema"

// deletedShown are the kinds whose DELETE answers with the object, as upstream; the others answer with a Status.
var deletedShown = map[schema.GroupKind]bool{
	{Kind: "Pod"}: true, {Kind: "PodTemplate"}: true, {Kind: "ResourceQuota"}: true,
	{Kind: "Service"}: true, {Kind: "ServiceAccount"}: true,
	{Kind: "PersistentVolume"}: true, {Kind: "PersistentVolumeClaim"}: true,
	{Group: "storage.k8s.io", Kind: "StorageClass"}: true,
}

// ShowsDeleted reports whether the DELETE of an object of a kind answers with the object.
func ShowsDeleted(k schema.GroupKind) bool { return deletedShown[k] }
