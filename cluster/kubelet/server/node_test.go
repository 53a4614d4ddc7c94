package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// noVolumes is a disk of which no volume may be removed.
type noVolumes struct {
	Disk
	t *testing.T
}

func (d noVolumes) RemoveProvisioned(volume string) error {
	d.t.Errorf("removed %q", volume)
	return nil
}

// Only the name of a volume is removed, not a path.
func TestNamesOfProvisionedVolumes(t *testing.T) {
	s := New(Config{Disk: noVolumes{t: t}})
	for _, bad := range []string{"..", "../../precious", "a/b", ""} {
		r := httptest.NewRequest(http.MethodDelete, "/provisionedVolumes/x", nil)
		r.SetPathValue("name", bad)
		w := httptest.NewRecorder()
		s.serveRemoveProvisioned(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%q: status %d", bad, w.Code)
		}
	}
}
