package clustermap

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Source reads a path of the API as a stream, as objects.Client does. Errors are those of the API
// server, for apierrors.
type Source interface {
	Open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error)
}

// maxObject bounds the bytes of one list or event.
const maxObject = 64 << 20

// retry is the time between two attempts: the API server may be restarting.
const retry = time.Second

// Follow calls changed with what happens in the namespace until ctx is done: for each kind first
// a Reset, then each change as its event arrives. Calls come one at a time. A kind that cannot be
// read, because the rights are missing or the server does not answer, is reported as Denied and
// tried again every second.
func Follow(ctx context.Context, from Source, namespace string, changed func(Change)) {
	var lock sync.Mutex
	report := func(c Change) {
		lock.Lock()
		defer lock.Unlock()
		if ctx.Err() == nil {
			changed(c)
		}
	}
	in := "/namespaces/" + url.PathEscape(namespace)
	var all sync.WaitGroup
	for kind, path := range map[Kind]string{
		Nodes: "/api/v1/nodes", Pods: "/api/v1" + in + "/pods", Services: "/api/v1" + in + "/services",
		Endpoints: "/apis/discovery.k8s.io/v1" + in + "/endpointslices",
	} {
		all.Go(func() { follow(ctx, from, kind, path, report) })
	}
	all.Wait()
}

// follow lists and watches one kind until ctx is done.
func follow(ctx context.Context, from Source, kind Kind, path string, report func(Change)) {
	for ctx.Err() == nil {
		version, err := list(ctx, from, kind, path, report)
		for err == nil && ctx.Err() == nil {
			version, err = watch(ctx, from, kind, path, version, report)
		}
		if err == nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			continue
		}
		report(Change{Kind: kind, Denied: denial(err)})
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

func denial(err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return "not permitted"
	case apierrors.IsUnauthorized(err):
		return "not authenticated"
	}
	return "no answer: " + err.Error()
}

func list(ctx context.Context, from Source, kind Kind, path string, report func(Change)) (version string, err error) {
	body, err := from.Open(ctx, path, url.Values{"limit": {strconv.Itoa(Limit + 1)}})
	if err != nil {
		return "", err
	}
	defer body.Close()
	var all struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []Object `json:"items"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxObject)).Decode(&all); err != nil {
		return "", fmt.Errorf("listing %s: %w", kind, err)
	}
	if all.Items == nil {
		all.Items = []Object{}
	}
	report(Change{Kind: kind, Reset: all.Items})
	return all.Metadata.ResourceVersion, nil
}

// watch reports events until the server ends the watch, and returns the version to go on from.
func watch(ctx context.Context, from Source, kind Kind, path, version string, report func(Change)) (string, error) {
	body, err := from.Open(ctx, path, url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version}})
	if err != nil {
		return "", err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: bufio.NewReader(body)}
	events := json.NewDecoder(limited)
	for {
		var e struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		limited.N = maxObject
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return version, nil
		} else if err != nil {
			return "", fmt.Errorf("watching %s: %w", kind, err)
		}
		if e.Type == "ERROR" {
			status := &apierrors.StatusError{ErrStatus: metav1.Status{Message: "the watch ended"}}
			if err := json.Unmarshal(e.Object, &status.ErrStatus); err != nil {
				return "", fmt.Errorf("watching %s: %w", kind, err)
			}
			return "", status
		}
		object := &Object{}
		if err := json.Unmarshal(e.Object, object); err != nil {
			return "", fmt.Errorf("watching %s: %w", kind, err)
		}
		version = object.Metadata.ResourceVersion
		if e.Type != "BOOKMARK" {
			report(Change{Kind: kind, Object: object, Deleted: e.Type == "DELETED"})
		}
	}
}
