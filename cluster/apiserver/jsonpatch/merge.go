package jsonpatch

import (
	"context"
	"errors"
)

var errBadPatch = errors.New("Invalid JSON Patch") //nolint:staticcheck // the library's text, which clients see

// Merge returns what the merge patch, a JSON object, makes of doc, which is one too.
func Merge(ctx context.Context, doc, patch []byte) ([]byte, error) {
	w := newWork(ctx)
	root, p := newNode(doc), newNode(patch)
	if !p.isObject() {
		return nil, errBadPatch
	}
	if err := p.expand(w, all); err != nil {
		return nil, err
	}
	if err := merge(w, root, p); err != nil {
		return nil, err
	}
	return root.append(make([]byte, 0, len(doc)+len(patch)), 0)
}

// merge changes an object by a patch of which every level is open.
func merge(w *work, doc, patch *node) error {
	if err := doc.expand(w, 1); err != nil {
		return err
	}
	for key, value := range patch.obj {
		if err := w.spend(1); err != nil {
			return err
		}
		present := doc.obj[key]
		switch {
		case value.isNull():
			delete(doc.obj, key)
		case present.isObject() && value.isObject():
			if err := merge(w, present, value); err != nil {
				return err
			}
		default:
			// As upstream: what takes the place of an object keeps its nulls.
			if !present.isObject() {
				value.prune()
			}
			doc.obj[key] = value
		}
	}
	return nil
}

// prune removes the members that are null: null means removal.
func (n *node) prune() {
	for key, child := range n.obj {
		if child.isNull() {
			delete(n.obj, key)
		} else {
			child.prune()
		}
	}
	for _, child := range n.list {
		if child != nil {
			child.prune()
		}
	}
}
