package budget_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/budget"
)

func repeat(n int, between string, f func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, between)
}

func same(s string) func(int) string { return func(int) string { return s } }

func TestJSON(t *testing.T) {
	member := func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) }
	for _, c := range []struct {
		name, body string
		want       error
	}{
		{"members", "{" + repeat(budget.MaxValues, ",", member) + "}", nil},
		{"too many members", "{" + repeat(budget.MaxValues+1, ",", member) + "}", budget.ErrTooManyValues},
		{"elements", "[" + repeat(budget.MaxValues, ",", same("1")) + "]", nil},
		{"too many elements", "[" + repeat(budget.MaxValues+1, ",", same("1")) + "]", budget.ErrTooManyValues},
		{"too many objects", `{"c":[` + repeat(budget.MaxValues/10, ",", same("{}")) + "]}", budget.ErrTooManyValues},
		{"objects that are members", `{` + repeat(budget.MaxValues/2, ",", same(`"a":{}`)) + "}", nil},
		{"too many small objects", `{` + repeat(budget.MaxValues, ",", same(`"a":{}`)) + "}", budget.ErrTooManyValues},
		{"text", `{"a":"` + strings.Repeat(`,{[\"`, 200_000) + `"}`, nil},
		{"damaged", strings.Repeat(`]}"`, 100_000), nil},
		{"an open string", `{"` + strings.Repeat(`,`, 1_000_000), nil},
		{"deep", strings.Repeat("[", 1_000_000), nil}, // the decoder gives up at 10,000
	} {
		if err := budget.JSON([]byte(c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	operations := "[" + repeat(10_000, ",", same(`{"op":"add","path":"/a","value":1}`)) + "]"
	if err := budget.JSONPatch([]byte(operations)); err != nil {
		t.Errorf("as many operations as a patch may have: %v", err)
	}
}

func TestYAML(t *testing.T) {
	const most = 3 << 20
	text := "a: |\n" + repeat(30_000, "\n", same("  a line, of thirty characters."))
	laughs := "a: &a [x,x,x,x,x,x,x,x]\n" + repeat(5, "\n", func(i int) string {
		return fmt.Sprintf("%c: &%c [%s]", 'b'+i, 'b'+i, repeat(8, ",", same(fmt.Sprintf("*%c", 'a'+i))))
	})
	for _, c := range []struct {
		name, body string
		want       error
	}{
		{"text", text, nil},
		{"too many keys", repeat(budget.MaxValues+2, "\n", func(i int) string { return fmt.Sprintf("k%d: v", i) }), budget.ErrTooManyLines},
		{"too many elements in a line", "a: [" + strings.Repeat("1,", budget.MaxValues+1) + "]", budget.ErrTooManyLines},
		{"lists in lists", repeat(100, "\n", same(strings.Repeat("- ", 5000))), budget.ErrTooManyLines},
		{"an alias", "a: &a x\nb: *a", nil},
		{"no alias", "a: b && c\nd: '*'", nil},
		{"a string many times", "a: &a " + strings.Repeat("x", 100_000) + "\nb: [" + repeat(40, ",", same("*a")) + "]", budget.ErrExpansion},
		{"a key many times", "a: &a " + strings.Repeat("x", 100_000) + "\nb: [" + repeat(40, ",", same("{*a : 1}")) + "]", budget.ErrExpansion},
		{"a billion laughs", laughs, nil}, // the parser refuses it
		{"too many short values", "a: &a [" + repeat(1000, ",", same("1")) + "]\nb: [" + repeat(101, ",", same("*a")) + "]", budget.ErrExpansion},
		{"damaged", "a: &a [\nb: *a", nil},
	} {
		if err := budget.YAML([]byte(c.body), most); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestProtobuf(t *testing.T) {
	encode := func(o interface{ Marshal() ([]byte, error) }) []byte {
		b, err := o.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	configMap := corev1.ConfigMap{Data: map[string]string{}}
	for i := range 20_000 {
		configMap.Data[fmt.Sprintf("key%d", i)] = "some value of forty characters, or so..."
	}
	named := corev1.Pod{Spec: corev1.PodSpec{Containers: make([]corev1.Container, 100_000)}}
	for i := range named.Spec.Containers {
		named.Spec.Containers[i].Name = "c"
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	for _, c := range []struct {
		name string
		of   any
		body []byte
		want error
	}{
		{"a map", &corev1.ConfigMap{}, encode(&configMap), nil},
		{"data that could be fields", &corev1.Secret{}, encode(&corev1.Secret{Data: map[string][]byte{"a": []byte(strings.Repeat("x", 1<<20)), "b": []byte(strings.Repeat("\x0a\x01x", 300_000))}}), nil},
		{"text", &corev1.ConfigMap{}, encode(&corev1.ConfigMap{Data: map[string]string{"a": strings.Repeat("Some text, and more of it.\n", 40_000)}}), nil},
		{"containers", &corev1.Pod{}, encode(&named), budget.ErrTooManyValues},
		{"empty containers", &corev1.Pod{}, append(encode(&pod), []byte("\x12\xc0\x9a\x0c"+strings.Repeat("\x12\x00", 100_000))...), budget.ErrTooManyValues},
		{"damaged", &corev1.Pod{}, []byte(strings.Repeat("\x12\xff", 100_000)), nil},
	} {
		if err := budget.Protobuf(c.body, c.of); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFields(t *testing.T) {
	wide := func(n int) map[string]any {
		m := map[string]any{}
		for i := range n {
			m[fmt.Sprint(i)] = "v"
		}
		return m
	}
	deep := []any{}
	for range 100 {
		deep = append(deep, wide(1000))
	}
	for _, c := range []struct {
		name string
		v    any
		want error
	}{
		{"many", map[string]any{"data": wide(budget.MaxFields - 1)}, nil},
		{"too many", map[string]any{"data": wide(budget.MaxFields + 1)}, budget.ErrTooManyFields},
		{"too many elements", []any{make([]any, budget.MaxFields+1)}, budget.ErrTooManyFields},
		{"many in many", deep, nil},
	} {
		if err := budget.Fields(c.v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestManagedFields(t *testing.T) {
	fields := func(name func(i int) string) []metav1.ManagedFieldsEntry {
		set := `{"f:data":{` + repeat(50_000, ",", func(i int) string { return `"` + name(i) + `":{}` }) + `}}`
		return []metav1.ManagedFieldsEntry{{Manager: "m", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(set)}}}
	}
	if err := budget.ManagedFields(fields(func(i int) string { return fmt.Sprintf("f:%07d", i) })); err != nil {
		t.Errorf("sorted: %v", err)
	}
	if err := budget.ManagedFields(fields(func(i int) string { return fmt.Sprintf("f:%07d", 50_000-i) })); !errors.Is(err, budget.ErrTooManyFields) {
		t.Errorf("in disorder: %v", err)
	}
	damaged := []metav1.ManagedFieldsEntry{{FieldsV1: &metav1.FieldsV1{Raw: []byte(strings.Repeat(`}"\`, 30_000))}}}
	if err := budget.ManagedFields(damaged); err != nil {
		t.Errorf("damaged: %v", err)
	}
}
