//go:build !quick

package environment

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A lab runs only if nobody but root and its caller can change what it runs.
func TestLabsThatOthersCanChange(t *testing.T) {
	const stranger = 12345
	chmod := func(mode os.FileMode) func(string) error { return func(p string) error { return os.Chmod(p, mode) } }
	give := func(p string) error { return os.Lchown(p, stranger, stranger) }
	for _, c := range []struct {
		name, path string
		change     func(string) error
		sudo       string
		why        string // it is refused, empty: it is not
	}{
		{"as it is", ".", func(string) error { return nil }, "", ""},
		{"a text for all", "labs/track/01-first/text.md", chmod(0o666), "", "can be written by others"},
		{"a manifest for all", "labs/track/01-first/manifests/pod.yaml", chmod(0o646), "", "can be written by others"},
		{"a directory for all", "labs/track/01-first", chmod(0o777), "", "can be written by others"},
		{"a sticky directory of the lab's own", "labs/track/01-first", chmod(0o777 | os.ModeSticky), "", "can be written by others"},
		{"a directory above for all", "labs", chmod(0o777), "", "can be written by others"},
		{"a sticky directory above", "labs", chmod(0o777 | os.ModeSticky), "", ""},
		{"a feature for all", "features/track/first.feature", chmod(0o666), "", "can be written by others"},
		{"a directory of features for all", "features", chmod(0o777), "", "can be written by others"},
		{"the caller's own group", "labs/track", chmod(0o775), "", ""},
		{"a stranger's file", "labs/track/01-first/text.md", give, "", "belongs to user 12345"},
		{"a stranger's directory above", "labs", give, "", "belongs to user 12345"},
		{"the file of who has become root", "labs/track/01-first/text.md", give, "12345", ""},
		{"the file of somebody else than who has become root", "labs/track/01-first/text.md", give, "12346", "belongs to user 12345"},
		{"a group of others", "labs/track", func(p string) error {
			return errorsOf(os.Chown(p, 0, stranger), os.Chmod(p, 0o775))
		}, "", "can be written by others"},
		{"manifests that are a link into a directory for all", "labs/track/01-first/manifests", func(p string) error {
			elsewhere := filepath.Join(filepath.Dir(p), "../../../elsewhere")
			return errorsOf(os.Rename(p, p+".was"), os.Mkdir(elsewhere, 0o755), os.Mkdir(elsewhere+"/m", 0o755), os.Chmod(elsewhere, 0o777), os.Symlink("../../../elsewhere/m", p))
		}, "", "can be written by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SUDO_UID", c.sudo)
			l := lab(t)
			if err := errorsOf(os.Mkdir(filepath.Join(l.Dir, "manifests"), 0o755), os.WriteFile(filepath.Join(l.Dir, "manifests/pod.yaml"), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			err := c.change(filepath.Join(l.Root(), c.path))
			if os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission) {
				t.Skip("giving a file away takes root")
			}
			if err != nil {
				t.Fatal(err)
			}
			err = CurrentCaller().CheckFiles(l)
			switch {
			case c.why == "" && err != nil:
				t.Error(err)
			case c.why != "" && (err == nil || !strings.Contains(err.Error(), "lab first is not run: ") || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "chmod go-w")):
				t.Error(err)
			}
		})
	}
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
