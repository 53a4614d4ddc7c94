package volume

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A server's name is no option of mount, nor a file system's the path of a program.
func TestMountArguments(t *testing.T) {
	if args, err := nfsMount(t.Context(), &v1.NFSVolumeSource{Server: "-T/srv/fstab", Path: "/x"}, nil, "/dir"); err == nil {
		t.Errorf("%q", args)
	}
	args, err := nfsMount(t.Context(), &v1.NFSVolumeSource{Server: "127.0.0.1", Path: "/x"}, []string{"soft"}, "/dir")
	if said := strings.Join(args, " "); err != nil || !strings.HasSuffix(said, " -- 127.0.0.1:/x /dir") {
		t.Errorf("%s, %v", said, err)
	}
	args, err = nfsMount(t.Context(), &v1.NFSVolumeSource{Server: "127.0.0.1", Path: "/x", ReadOnly: true}, []string{"soft"}, "/dir")
	if said := strings.Join(args, " "); err != nil || !strings.Contains(said, "soft,ro") {
		t.Errorf("read-only: %s, %v", said, err)
	}
}
