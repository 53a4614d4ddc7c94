package docker

import (
	"strings"
	"testing"
)

func TestUpperDir(t *testing.T) {
	const proc = "1021 1020 0:95 / /proc rw,nosuid - proc proc rw\n"
	overlay := func(at, options string) string {
		return "1020 976 0:94 / " + at + " rw,relatime master:3 - overlay overlay " + options + "\n"
	}
	for _, c := range []struct{ what, mounts, want string }{
		{"of Docker's own driver", overlay("/", "rw,lowerdir=/d/l/A:/d/l/B,upperdir=/d/x/diff,workdir=/d/x/work") + proc, "/d/x/diff"},
		{"of containerd's store", overlay("/", "rw,lowerdir=8/fs:7/fs,upperdir=/c/snapshots/9/fs,workdir=/c/snapshots/9/work,index=off"), "/c/snapshots/9/fs"},
		{"a directory with a space", overlay("/", `rw,upperdir=/my\040disk/9/fs`), "/my disk/9/fs"},
		{"of a volume", overlay("/data", "rw,upperdir=/v") + proc, ""},
		{"another file system", "1020 976 8:1 / / rw - ext4 /dev/sda rw\n", ""},
		{"a file system over the overlay", overlay("/", "rw,upperdir=/u") + "1022 1020 0:1 / / rw - tmpfs tmpfs rw\n", ""},
		{"read-only", overlay("/", "ro,lowerdir=/a:/b"), ""},
		{"nothing", "", ""},
		{"no mountinfo", "what\n\n - \n", ""},
	} {
		if got := upperDir(strings.NewReader(c.mounts)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
