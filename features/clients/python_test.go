package clients

import (
	"testing"
)

// python is the distribution's interpreter, which has its package python3-kubernetes.
const python = "/usr/bin/python3"

// TestPython: a script with the Python client creates, watches, patches by all media types, pages, applies and lists, and
// its models find each required field.
func TestPython(t *testing.T) {
	c := startServer(t)
	c.kubectl(t, "create", "-f", "testdata/kinds.yaml")
	holds(t, c.run(t, python, "testdata/client.py"), "37 kinds listed")
}
