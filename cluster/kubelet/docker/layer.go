package docker

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// writableLayer returns the directory that a running container writes into, by the mount of its root; "" where that
// is no overlay. An engine that keeps images in containerd's store, as those from version 29 on do,
// does not name it.
func writableLayer(pid int) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return "" // it has terminated meanwhile
	}
	defer func() { _ = f.Close() }()
	return upperDir(f)
}

// upperDir returns the upper directory of the overlay at / in the format of /proc/PID/mountinfo.
func upperDir(mounts io.Reader) (dir string) {
	lines := bufio.NewScanner(mounts)
	for lines.Scan() {
		at, of, ok := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(at), strings.Fields(of)
		if !ok || len(place) < 5 || len(kind) < 3 || place[4] != "/" {
			continue
		}
		dir = "" // a later mount covers the former
		if kind[0] != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(kind[2], ",") {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				dir = unescape.Replace(upper)
			}
		}
	}
	return dir
}

// unescape undoes what the kernel writes for characters that separate.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
