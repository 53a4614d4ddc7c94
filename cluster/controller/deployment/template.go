package deployment

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/rand"
)

// templateHash returns the value of the label pod-template-hash. Fields that a later version
// of the API adds do not change it while they are not set. collisions is the number of name
// collisions.
func templateHash(t *v1.PodTemplateSpec, collisions *int32) string {
	h := fnv.New32a()
	// A template came as JSON or protobuf and can be encoded.
	text, _ := json.Marshal(t)
	h.Write(text)
	if collisions != nil {
		var n [8]byte
		binary.LittleEndian.PutUint32(n[:], uint32(*collisions))
		h.Write(n[:])
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// sameTemplate compares two templates without the hash label.
func sameTemplate(a, b *v1.PodTemplateSpec) bool {
	x, y := *a, *b
	x.Labels, y.Labels = withoutHash(a.Labels), withoutHash(b.Labels)
	return equality.Semantic.DeepEqual(&x, &y)
}

func withoutHash(in map[string]string) map[string]string {
	if _, ok := in[apps.DefaultDeploymentUniqueLabelKey]; !ok {
		return in
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		if k != apps.DefaultDeploymentUniqueLabelKey {
			out[k] = v
		}
	}
	return out
}
