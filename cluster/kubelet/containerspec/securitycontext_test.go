package containerspec

import "testing"

func TestWorkingDirThatIsAnOpenFile(t *testing.T) {
	for dir, ok := range map[string]bool{
		"": true, "/": true, "/app": true, "/proc": true, "/proc/self": true, "/dev": true, "/data/proc/self/fd/7": true, "/proc/sys/fs": true,
		"/proc/self/fd/8": false, "/proc/self/fd": false, "//proc//self/./fd/8/../..": false, "/a/../proc/1/fd/7/../../..": false, "/proc/../dev": true,
		"/proc/1/task/1/fd/3": false, "proc/thread-self/fd/9": false, "/dev/fd/8": false, "/x/../dev/fd/8": false,
	} {
		if err := CheckWorkingDir(dir); (err == nil) != ok {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
