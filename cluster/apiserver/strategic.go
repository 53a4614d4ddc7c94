package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
)

// maxMerge bounds what merging lists costs in comparisons: each element of a list, of the
// patch's and of the object's, is compared with all others.
const maxMerge = 16_000_000

// mergeStrategic is a strategic merge of a patch into a document, both of which it changes.
func mergeStrategic(doc, patch map[string]any, of api.Object) (map[string]any, error) {
	schema, err := strategicpatch.NewPatchMetaFromStruct(of)
	if err != nil {
		return nil, fmt.Errorf("preparing a patch: %w", err)
	}
	all := elements(doc) + elements(patch)
	if all*all > maxMerge && mergeBudget(maxMerge, doc, patch, schema) < 0 {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"merging the lists of the patch takes more than %d comparisons; replace the lists, or split it into several patches", maxMerge))
	}
	return strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(doc, patch, schema)
}

// elements is how many all lists within a value have.
func elements(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			n += elements(member)
		}
	case []any:
		n = len(v)
		for _, element := range v {
			n += elements(element)
		}
	}
	return n
}

// mergeBudget is what is left of a budget when the lists of patch have been merged into
// those of doc. Fields that the schema does not have are for the merge to refuse.
func mergeBudget(left int, doc, patch map[string]any, schema strategicpatch.LookupPatchMeta) int {
	for key, value := range patch {
		directive, field, isDirective := strings.Cut(key, "/")
		if !isDirective || !strings.HasPrefix(directive, "$") {
			field = key
		}
		switch value := value.(type) {
		case map[string]any:
			inner, _, err := schema.LookupPatchMetadataForStruct(field)
			if present, ok := doc[field].(map[string]any); ok && err == nil {
				left = mergeBudget(left, present, value, inner)
			}
		case []any:
			inner, meta, err := schema.LookupPatchMetadataForSlice(field)
			if err != nil {
				continue
			}
			present, _ := doc[field].([]any)
			if isDirective || len(present) > 0 && slices.Contains(meta.GetPatchStrategies(), "merge") {
				left -= (len(present) + len(value)) * (len(present) + len(value))
			}
			if left >= 0 {
				left = mergeElements(left, present, value, inner, meta.GetPatchMergeKey())
			}
		}
		if left < 0 {
			return left
		}
	}
	return left
}

// mergeElements continues with the elements that are merged into one another.
func mergeElements(left int, doc, patch []any, schema strategicpatch.LookupPatchMeta, mergeKey string) int {
	if mergeKey == "" || len(doc) == 0 {
		return left
	}
	byKey := make(map[string]map[string]any, len(doc))
	for _, element := range doc {
		if m, ok := element.(map[string]any); ok {
			byKey[fmt.Sprint(m[mergeKey])] = m
		}
	}
	for _, element := range patch {
		m, ok := element.(map[string]any)
		if !ok {
			continue
		}
		if present := byKey[fmt.Sprint(m[mergeKey])]; present != nil {
			if left = mergeBudget(left, present, m, schema); left < 0 {
				return left
			}
		}
	}
	return left
}

// strategicPatch is what a strategic merge patch makes of a document of the kind of `of`.
func strategicPatch(body []byte, of api.Object) (func(doc []byte) ([]byte, error), error) {
	var patch map[string]any
	if err := json.Unmarshal(body, &patch); err != nil {
		return nil, apistatus.BadRequest("error decoding patch: %v", err)
	}
	return func(text []byte) ([]byte, error) {
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("preparing a patch: %w", err)
		}
		merged, err := mergeStrategic(doc, runtime.DeepCopyJSON(patch), of)
		if err != nil {
			return nil, strategicError(err)
		}
		return json.Marshal(merged)
	}, nil
}

func strategicError(err error) error {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return err
	}
	for _, bad := range []error{
		mergepatch.ErrBadJSONDoc, mergepatch.ErrBadPatchFormatForPrimitiveList, mergepatch.ErrBadPatchFormatForRetainKeys,
		mergepatch.ErrBadPatchFormatForSetElementOrderList, mergepatch.ErrUnsupportedStrategicMergePatchFormat,
	} {
		if errors.Is(err, bad) {
			return apistatus.BadRequest("%v", err)
		}
	}
	// Upstream answers 500 with the same text.
	return apistatus.New(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, shortened([]byte(err.Error())))
}

// unprocessable is upstream's answer to a patch that does not fit the object.
func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}
