package objects

import (
	"context"
	"encoding/json"
	"fmt"
)

// rightsPath is where a SelfSubjectAccessReview is answered; it is not stored.
const rightsPath = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

// MayAll reports whether the user of this client may do everything in the cluster, as `kubectl auth can-i '*' '*' --all-namespaces`.
func (c *Client) MayAll(ctx context.Context) (bool, error) {
	asked := []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",` +
		`"spec":{"resourceAttributes":{"verb":"*","group":"*","resource":"*"}}}`)
	text, err := c.rest.Post().AbsPath(rightsPath).SetHeader("Content-Type", "application/json").Body(asked).Do(ctx).Raw()
	if err != nil {
		return false, err
	}
	var answer struct {
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return false, fmt.Errorf("reading the answer of %s: %w", rightsPath, err)
	}
	return answer.Status.Allowed, nil
}
