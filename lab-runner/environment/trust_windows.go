package environment

import (
	"io/fs"
	"os"
)

// CheckPath returns an error for a path that is not there. Windows has no owner and mode as Unix has them, so that who
// else can change a file is not looked at: its directories below the user's profile are the user's own.
func (c Caller) CheckPath(path string) error {
	_, err := os.Stat(path)
	return err
}

func (c Caller) checkOne(string, fs.FileInfo, bool) error { return nil }
