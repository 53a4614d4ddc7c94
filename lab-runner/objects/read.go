package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"k8s.io/apimachinery/pkg/types"
)

// ErrTooLarge is the error of a Read whose answer has more bytes than the limit.
var ErrTooLarge = errors.New("the answer is too large")

// Read returns the answer to a GET of a path, as it was sent, of any group: for callers that decode it themselves. More than
// limit bytes are not read. Errors are those of the API server, for apierrors. An empty accept asks for JSON.
func (c *Client) Read(ctx context.Context, path string, query url.Values, accept string, limit int64) ([]byte, error) {
	r := c.rest.Get().AbsPath(path)
	for k, vs := range query {
		for _, v := range vs {
			r = r.Param(k, v)
		}
	}
	if accept != "" {
		r = r.SetHeader("Accept", accept)
	}
	body, err := r.Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	return text, nil
}

// URL returns the address of a path with a query, for requests that this client does not make.
func (c *Client) URL(path string, query url.Values) *url.URL {
	r := c.rest.Get().AbsPath(path)
	for k, vs := range query {
		for _, v := range vs {
			r = r.Param(k, v)
		}
	}
	return r.URL()
}

// Post sends an object of any group, as JSON, to a path, and reads the answer into into, which may be nil.
func (c *Client) Post(ctx context.Context, path string, object, into any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	answer, err := c.rest.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(text).Do(ctx).Raw()
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// Merge changes the object at a path by a merge patch.
func (c *Client) Merge(ctx context.Context, path string, patch any) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return c.rest.Patch(types.MergePatchType).AbsPath(path).Body(text).Do(ctx).Error()
}

// Remove deletes the object at a path, and in the background what it owns.
func (c *Client) Remove(ctx context.Context, path string) error {
	background := []byte(`{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}`)
	return c.rest.Delete().AbsPath(path).SetHeader("Content-Type", "application/json").Body(background).Do(ctx).Error()
}
