package kubelet

import (
	"io/fs"
	"os"
)

// eachBelow calls f for a folder and all that is in it. Nothing outside is touched, whatever
// links there are.
func eachBelow(path string, f func(root *os.Root, name string, info fs.FileInfo) error) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return f(root, name, info)
	})
}
