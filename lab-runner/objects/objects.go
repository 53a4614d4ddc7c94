// Package objects is a client of the core group: client-go's clientset links the types and the clients of all groups. Of
// other groups it reads paths as streams, without types. Objects are read and written as JSON. Errors are those of the
// API server, for apierrors. Warnings of the API server are dropped: they would be written to the terminal.
package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// Client speaks to one API server. A resource is a plural such as "pods"; the namespace is empty where there is none.
type Client struct {
	rest   rest.Interface
	params runtime.ParameterCodec
}

// New returns a client for a configuration, which it does not change.
func New(config *rest.Config) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	own := rest.CopyConfig(config)
	own.APIPath, own.GroupVersion = "/api", &corev1.SchemeGroupVersion
	own.WarningHandler = rest.NoWarnings{}
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, err
	}
	return &Client{c, runtime.NewParameterCodec(scheme)}, nil
}

// Get reads an object into one of its type.
func (c *Client) Get(ctx context.Context, resource, namespace, name string, into runtime.Object) error {
	return c.rest.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Name(name).Do(ctx).Into(into)
}

// List reads objects into a list of their type.
func (c *Client) List(ctx context.Context, resource, namespace string, opts metav1.ListOptions, into runtime.Object) error {
	return c.rest.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).VersionedParams(&opts, c.params).Do(ctx).Into(into)
}

// Create creates an object.
func (c *Client) Create(ctx context.Context, resource, namespace string, obj runtime.Object) error {
	return c.rest.Post().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Body(obj).Do(ctx).Error()
}

// Delete deletes an object.
func (c *Client) Delete(ctx context.Context, resource, namespace, name string) error {
	return c.rest.Delete().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Name(name).Do(ctx).Error()
}

// DeleteAll deletes all objects of a resource in a namespace, with a period of grace in seconds.
func (c *Client) DeleteAll(ctx context.Context, resource, namespace string, grace int64) error {
	opts := &metav1.DeleteOptions{GracePeriodSeconds: &grace}
	return c.rest.Delete().Namespace(namespace).Resource(resource).Body(opts).Do(ctx).Error()
}

// Open reads a path of any group as a stream of JSON, such as a list or a watch. The caller closes it; it ends with ctx.
func (c *Client) Open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	r := c.rest.Get().AbsPath(path)
	for name, values := range query {
		for _, value := range values {
			r = r.Param(name, value)
		}
	}
	return r.Stream(ctx)
}

// Find returns the names, labels and namespaces of the objects of a resource of any group, whose API is a path such as
// /apis/apps/v1. In an empty namespace it looks in all.
func (c *Client) Find(ctx context.Context, api, resource, namespace string, opts metav1.ListOptions) ([]metav1.ObjectMeta, error) {
	path := api + "/" + resource
	if namespace != "" {
		path = api + "/namespaces/" + namespace + "/" + resource
	}
	text, err := c.rest.Get().AbsPath(path).VersionedParams(&opts, c.params).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var out []metav1.ObjectMeta
	for i := range list.Items {
		out = append(out, list.Items[i].ObjectMeta)
	}
	return out, nil
}
