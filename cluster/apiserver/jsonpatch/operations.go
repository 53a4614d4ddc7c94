package jsonpatch

import (
	"fmt"
	"slices"
	"strconv"
)

func (a *applier) add(op Operation) error {
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("add operation failed to decode path: %w", errMissing)
	}
	container, key, err := a.find(path)
	if err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("add operation does not apply: doc is missing path: \"%s\": %w", path, errMissing)
	}
	if err := a.insert(container, key, op.value()); err != nil {
		return fmt.Errorf("error in add for path: '%s': %w", path, err)
	}
	return nil
}

// insert adds a value to an object, or before an element of a list.
func (a *applier) insert(container *node, key string, value *node) error {
	if container.obj != nil {
		container.obj[key] = value
		return nil
	}
	size := len(container.list)
	if key == "-" {
		container.list = append(container.list, value)
		return nil
	}
	i, err := strconv.Atoi(key)
	if err != nil {
		return fmt.Errorf("value was not a proper array index: '%s': %w", key, err)
	}
	// -1 is behind the last element.
	if i > size || i < -size-1 {
		return badIndex(i)
	}
	if i < 0 {
		i += size + 1
	}
	container.list = slices.Insert(container.list, i, value)
	return a.spendMove(size - i)
}

// spendMove counts the elements of a list that one more or less has moved. That is
// quicker by far than to read them.
func (a *applier) spendMove(elements int) error { return a.spend(1 + elements/8) }

func (a *applier) remove(op Operation) error {
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("remove operation failed to decode path: %w", errMissing)
	}
	container, key, err := a.find(path)
	if err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("remove operation does not apply: doc is missing path: \"%s\": %w", path, errMissing)
	}
	if err := a.drop(container, key); err != nil {
		return fmt.Errorf("error in remove for path: '%s': %w", path, err)
	}
	return nil
}

func (a *applier) drop(container *node, key string) error {
	if container.obj != nil {
		if _, ok := container.obj[key]; !ok {
			return fmt.Errorf("Unable to remove nonexistent key: %s: %w", key, errMissing) //nolint:staticcheck // the library's text, which clients see
		}
		delete(container.obj, key)
		return nil
	}
	i, err := strconv.Atoi(key)
	if err != nil {
		return err
	}
	at, err := index(i, len(container.list))
	if err != nil || at == len(container.list) {
		return badIndex(i)
	}
	container.list = slices.Delete(container.list, at, at+1)
	return a.spendMove(len(container.list) - at)
}

// replace takes a key of an object that is not there for an empty one, as upstream.
func (a *applier) replace(op Operation) error {
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("replace operation failed to decode path: %w", err)
	}
	value := op.value()
	if path == "" {
		if !value.isObject() && !value.isList() {
			return fmt.Errorf("replace operation value must be object or array")
		}
		a.root = value
		return nil
	}
	container, key, err := a.find(path)
	if err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("replace operation does not apply: doc is missing path: %s: %w", path, errMissing)
	}
	if _, err := container.get(key); err != nil {
		return fmt.Errorf("replace operation does not apply: doc is missing key: %s: %w", path, errMissing)
	}
	if container.obj != nil {
		container.obj[key] = value
		return nil
	}
	i, err := strconv.Atoi(key)
	if err != nil {
		return err
	}
	if i, err = index(i, len(container.list)); err == nil {
		container.list[i] = value
	}
	return err
}

func (a *applier) move(op Operation) error {
	from, err := op.pointer("from")
	if err != nil {
		return fmt.Errorf("move operation failed to decode from: %w", err)
	}
	container, key, err := a.find(from)
	if err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("move operation does not apply: doc is missing from path: %s: %w", from, errMissing)
	}
	value, err := container.get(key)
	if err == nil {
		err = a.drop(container, key)
	}
	if err != nil {
		return fmt.Errorf("error in move for path: '%s': %w", key, err)
	}
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("move operation failed to decode path: %w", err)
	}
	if container, key, err = a.find(path); err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("move operation does not apply: doc is missing destination path: %s: %w", path, errMissing)
	}
	if err := a.insert(container, key, value); err != nil {
		return fmt.Errorf("error in move for path: '%s': %w", path, err)
	}
	return nil
}

func (a *applier) copy(op Operation) error {
	from, err := op.pointer("from")
	if err != nil {
		return fmt.Errorf("copy operation failed to decode from: %w", err)
	}
	container, key, err := a.find(from)
	if err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("copy operation does not apply: doc is missing from path: %s: %w", from, errMissing)
	}
	value, err := container.get(key)
	if err != nil {
		return fmt.Errorf("error in copy for from: '%s': %w", from, err)
	}
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("copy operation failed to decode path: %w", errMissing)
	}
	if container, key, err = a.find(path); err != nil {
		return err
	}
	if container == nil {
		return fmt.Errorf("copy operation does not apply: doc is missing destination path: %s: %w", path, errMissing)
	}
	duplicate, err := a.duplicate(value)
	if err != nil {
		return err
	}
	if err := a.insert(container, key, duplicate); err != nil {
		return fmt.Errorf("error while adding value during copy: %w", err)
	}
	return nil
}

// duplicate counts what a copy adds.
func (a *applier) duplicate(value *node) (*node, error) {
	if value == nil {
		return nil, nil
	}
	text := value.raw
	if value.open {
		var err error
		if text, err = value.append(nil, 0); err != nil {
			return nil, fmt.Errorf("error while performing deep copy: %w", err)
		}
	}
	if a.copied += len(text); a.copied > MaxCopied {
		return nil, fmt.Errorf("Unable to complete the copy, the accumulated size increase of copy is %d, exceeding the limit %d", a.copied, MaxCopied) //nolint:staticcheck // the library's text, which clients see
	}
	return &node{raw: text}, a.spend(len(text))
}

func (a *applier) test(op Operation) error {
	path, err := op.pointer("path")
	if err != nil {
		return fmt.Errorf("test operation failed to decode path: %w", err)
	}
	target := a.root
	if path != "" {
		container, key, err := a.find(path)
		if err != nil {
			return err
		}
		if container == nil {
			return fmt.Errorf("test operation does not apply: is missing path: %s: %w", path, errMissing)
		}
		if target, err = container.get(key); err != nil {
			return fmt.Errorf("error in test for path: '%s': %w", path, err)
		}
	}
	same, err := equal(a.work, target, op.value(), 0)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("testing value %s failed: %w", path, errTestFailed)
	}
	return nil
}
