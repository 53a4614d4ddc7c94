// Package jsonpatch applies JSON patches (RFC 6902) and merge patches (RFC 7386) as
// upstream's API server does, which uses gopkg.in/evanphx/json-patch.v4: the same
// results and the same errors, an operation's refusal included.
//
// It exists because the work of that library is not bounded. Its copies grow without limit
// unless a global variable is set, each level of a document is read again for
// every level above it, and nothing ends the work when the client is gone. Here a patch
// may copy MaxCopied bytes, read MaxWork bytes, and go on as long as its context.
//
// The package is independent of kinds and does no I/O. Documents are valid JSON.
package jsonpatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxCopied is how many bytes the copy operations of a patch may add, as upstream.
	MaxCopied = 3 << 20
	// MaxWork bounds what one patch may cost, in bytes of JSON that are read. A patch
	// reads each part of the document that it goes through once, so 10,000 operations on
	// the largest object need a small part of it.
	MaxWork = 32 << 20
)

// ErrTooMuchWork refuses a patch that costs more than MaxWork.
var ErrTooMuchWork = fmt.Errorf("applying the patch reads more than %d bytes of JSON", MaxWork)

// The causes that upstream's errors end with.
var (
	errTestFailed   = errors.New("test failed")
	errMissing      = errors.New("missing value")
	errInvalidIndex = errors.New("invalid index referenced")
)

// Operation is one step of a patch, by its members.
type Operation map[string]*json.RawMessage

// Patch is a list of operations.
type Patch []Operation

// Decode reads a JSON patch. Operations are checked when they are applied.
func Decode(body []byte) (Patch, error) {
	var p Patch
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	return p, nil
}

// work is the bound of one patch.
type work struct {
	ctx        context.Context
	left       int // of MaxWork
	copied     int
	sinceCheck int // bytes of work since ctx was checked
}

func newWork(ctx context.Context) *work { return &work{ctx: ctx, left: MaxWork} }

// spend counts n bytes.
func (w *work) spend(n int) error {
	if w.left -= n; w.left < 0 {
		return ErrTooMuchWork
	}
	if w.sinceCheck += n; w.sinceCheck > 64<<10 {
		w.sinceCheck = 0
		return w.ctx.Err()
	}
	return nil
}

// Apply returns the document that the patch makes of doc. An error of ctx ends it and is
// returned as it is.
func (p Patch) Apply(ctx context.Context, doc []byte) ([]byte, error) {
	a := &applier{work: newWork(ctx), root: newNode(doc)}
	for _, op := range p {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := a.apply(op); err != nil {
			return nil, err
		}
	}
	return a.root.append(make([]byte, 0, len(doc)+256), 0)
}

type applier struct {
	*work
	root *node
}

func (a *applier) apply(op Operation) error {
	switch kind := op.text("op"); kind {
	case "add":
		return a.add(op)
	case "remove":
		return a.remove(op)
	case "replace":
		return a.replace(op)
	case "move":
		return a.move(op)
	case "test":
		return a.test(op)
	case "copy":
		return a.copy(op)
	default:
		return fmt.Errorf("Unexpected kind: %s", kind) //nolint:staticcheck // the library's text, which clients see
	}
}

// text returns a member that is a string, "unknown" if it is not.
func (op Operation) text(member string) string {
	s := "unknown"
	if raw := op[member]; raw != nil && json.Unmarshal(*raw, &s) != nil {
		return "unknown"
	}
	return s
}

// pointer returns a member that is the path of a value.
func (op Operation) pointer(member string) (string, error) {
	raw := op[member]
	if raw == nil {
		if member == "from" {
			return "", fmt.Errorf("operation, missing from field: %w", errMissing)
		}
		return "", fmt.Errorf("operation missing %s field: %w", member, errMissing)
	}
	var s string
	return s, json.Unmarshal(*raw, &s)
}

// value returns nil if it is null or missing.
func (op Operation) value() *node {
	if raw := op["value"]; raw != nil {
		return newNode(*raw)
	}
	return nil
}

// find opens the containers that lead to a path, and returns the last with the key in
// it; nil if there is none.
func (a *applier) find(path string) (container *node, key string, err error) {
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return nil, "", nil
	}
	if err := a.spend(len(path)); err != nil {
		return nil, "", err
	}
	n := a.root
	for _, part := range parts[1:] {
		if !n.isObject() && !n.isList() {
			return nil, "", nil
		}
		if err := n.expand(a.work, 1); err != nil {
			return nil, "", err
		}
		container, key = n, unescape(part)
		n, _ = container.get(key)
	}
	return container, key, nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~").Replace

// get returns nil without an error if an object has no such key.
func (n *node) get(key string) (*node, error) {
	if n.obj != nil {
		return n.obj[key], nil
	}
	i, err := strconv.Atoi(key)
	if err != nil {
		return nil, err
	}
	if i, err = index(i, len(n.list)); err != nil || i == len(n.list) {
		return nil, badIndex(i)
	}
	return n.list[i], nil
}

// index counts negative indices from the end.
func index(i, size int) (int, error) {
	if i > size || i < -size {
		return i, badIndex(i)
	}
	if i < 0 {
		i += size
	}
	return i, nil
}

func badIndex(i int) error {
	return fmt.Errorf("Unable to access invalid index: %d: %w", i, errInvalidIndex) //nolint:staticcheck // the library's text, which clients see
}
