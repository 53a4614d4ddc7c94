package kubectl

import (
	"reflect"
	"strings"
	"testing"
)

func TestModernize(t *testing.T) {
	for _, tc := range []struct{ name, old, today, note string }{
		{"stop", "stop|pod/influxdb", "delete|pod/influxdb", "kubectl delete pod/influxdb"},
		{"stop with a namespace before it", "-n|stop|stop|pod|influxdb", "-n|stop|delete|pod|influxdb", "kubectl delete pod influxdb"},
		{"template flag", "get|svc/inspector|-o|template|-t|{{.spec.ports}}", "get|svc/inspector|-o|template|--template|{{.spec.ports}}", "--template '{{.spec.ports}}'"},
		{"template flag with equals", "get|pod|-o|template|-t={{.kind}}", "get|pod|-o|template|--template={{.kind}}", "--template={{.kind}}"},
		{"today's get", "get|pod|-o|wide", "get|pod|-o|wide", ""},
		{"-t of another verb", "exec|-i|-t|nginx|--|sh", "exec|-i|-t|nginx|--|sh", ""},
		{"a pod called stop", "get|pod|stop", "get|pod|stop", ""},
		{"flags alone", "--help", "--help", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			today, notes := Modernize(strings.Split(tc.old, "|"))
			if want := strings.Split(tc.today, "|"); !reflect.DeepEqual(today, want) {
				t.Errorf("got %q, want %q", today, want)
			}
			if got := strings.Join(notes, "\n"); (tc.note == "") != (got == "") || !strings.Contains(got, tc.note) {
				t.Errorf("note is %q, want it to contain %q", got, tc.note)
			}
		})
	}
}
