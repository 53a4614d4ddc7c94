package fieldmanager

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const (
	fieldsType = "FieldsV1"
	unknown    = "unknown"         // the manager who does not say who he is
	ancient    = "ancient-changes" // whom the oldest updates are merged into
	// maxUpdates is how many entries of updates an object has, as upstream.
	maxUpdates = 10
)

// owner is an entry of managedFields. Its fields are decoded when they are needed.
type owner struct {
	metav1.ManagedFieldsEntry
	set     *fieldpath.Set
	changed bool // set differs from the entry's fields
}

// fields returns the set of an owner, which must not be changed.
func (o *owner) fields() (*fieldpath.Set, error) {
	if o.set != nil {
		return o.set, nil
	}
	o.set = &fieldpath.Set{}
	if o.FieldsV1 == nil {
		return o.set, nil
	}
	if err := o.set.FromJSON(bytes.NewReader(o.FieldsV1.Raw)); err != nil {
		return nil, fmt.Errorf("reading the fields of %s: %w", o.Manager, err)
	}
	return o.set, nil
}

func (o *owner) replace(s *fieldpath.Set) { o.set, o.changed = s, true }

// encode brings an owner's entry up to date.
func (o *owner) encode() error {
	if !o.changed {
		return nil
	}
	raw, err := o.set.ToJSON()
	if err != nil {
		return fmt.Errorf("encoding the fields of %s: %w", o.Manager, err)
	}
	o.FieldsV1 = &metav1.FieldsV1{Raw: raw}
	return nil
}

// same reports whether two entries are of the same manager: they are one entry then.
func (o *owner) same(e *metav1.ManagedFieldsEntry) bool {
	return o.Manager == e.Manager && o.Operation == e.Operation && o.Subresource == e.Subresource &&
		(o.APIVersion == e.APIVersion || o.Operation == metav1.ManagedFieldsOperationApply)
}

// inOrder compares entries as managedFields are sorted.
func inOrder(a, b *metav1.ManagedFieldsEntry) int {
	return cmp.Or(
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(seconds(a.Time), seconds(b.Time)), cmp.Compare(a.Manager, b.Manager),
		cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Subresource, b.Subresource),
	)
}

func seconds(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}

// now is the time of an entry, in the precision in which it is stored.
func now() *metav1.Time {
	t := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	return &t
}

// capped merges the oldest entries of updates when there are too many, by version.
func capped(owners []*owner) ([]*owner, error) {
	updates := slices.DeleteFunc(slices.Clone(owners), func(o *owner) bool { return o.Operation != metav1.ManagedFieldsOperationUpdate })
	left := len(updates)
	if left <= maxUpdates {
		return owners, nil
	}
	slices.SortFunc(updates, func(a, b *owner) int {
		return cmp.Or(cmp.Compare(seconds(a.Time), seconds(b.Time)), cmp.Compare(identifier(a), identifier(b)))
	})
	first := map[string]*owner{} // of a version
	for _, o := range updates {
		if left <= maxUpdates {
			break
		}
		into := first[o.APIVersion]
		if into == nil {
			first[o.APIVersion] = o
			continue
		}
		bucket := metav1.ManagedFieldsEntry{
			Manager: ancient, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: o.APIVersion, FieldsType: fieldsType, FieldsV1: into.FieldsV1,
		}
		if i := slices.IndexFunc(owners, func(o *owner) bool { return o.same(&bucket) }); i >= 0 {
			into = owners[i]
		} else {
			into.ManagedFieldsEntry = bucket
		}
		if err := into.merge(o); err != nil {
			return nil, err
		}
		into.Time = o.Time
		owners = slices.DeleteFunc(owners, func(other *owner) bool { return other == o })
		left--
	}
	return owners, nil
}

func (o *owner) merge(other *owner) error {
	mine, err := o.fields()
	if err != nil {
		return err
	}
	theirs, err := other.fields()
	if err == nil {
		o.replace(mine.Union(theirs))
	}
	return err
}

// identifier sorts the updates of the same second, as upstream: by their JSON.
func identifier(o *owner) string {
	return o.Manager + "\x00" + string(o.Operation) + "\x00" + o.APIVersion + "\x00" + o.Subresource
}
