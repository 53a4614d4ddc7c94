package node

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// statusPatch returns the strategic merge patch from before to after, for the node with before's uid. It
// has no resourceVersion, as upstream's: controllers write to a new Node at the same time. Addresses are replaced
// as a list, since their merge key, the type, may occur twice.
func statusPatch(before *v1.Node, after *v1.NodeStatus) ([]byte, error) {
	old, err := json.Marshal(v1.Node{Status: before.Status})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	next := v1.Node{ObjectMeta: metav1.ObjectMeta{UID: before.UID}, Status: *after}
	next.Status.Addresses = before.Status.Addresses
	now, err := json.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(old, now, v1.Node{})
	if err != nil {
		return nil, fmt.Errorf("compute the status patch: %w", err)
	}
	return withAddresses(patch, after.Addresses)
}

// withAddresses adds the whole list of addresses to a patch.
func withAddresses(patch []byte, addresses []v1.NodeAddress) ([]byte, error) {
	var all, status map[string]any
	if err := json.Unmarshal(patch, &all); err != nil {
		return nil, fmt.Errorf("read the status patch: %w", err)
	}
	if status, _ = all["status"].(map[string]any); status == nil {
		status = map[string]any{}
	}
	list := []any{map[string]string{"$patch": "replace"}}
	for _, a := range addresses {
		list = append(list, a)
	}
	status["addresses"], all["status"] = list, status
	return json.Marshal(all)
}
