package docker

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"
)

// capabilities by their numbers, as far as every engine supports them: 20.10 takes no later
// ones by name.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ`)

// reducedCapabilities are those that containers can have on a machine that keeps some
// even from root, as one that is itself a container may; nil where root has all of them.
// The daemon is taken to have those of this process.
func reducedCapabilities() []string {
	var have []string
	lacks := false
	for n, name := range capabilities {
		switch on, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); {
		case err != nil: // the kernel does not support it yet
		case on == 1:
			have = append(have, name)
		default:
			lacks = true
		}
	}
	if !lacks {
		return nil
	}
	return have
}

// reduce drops the capabilities that the machine does not have: with them the container would
// not start. A privileged one gets by name all that there are.
func reduce(host *container.HostConfig, have []string) {
	if have == nil {
		return
	}
	if host.Privileged {
		host.Privileged = false
		host.CapAdd, host.CapDrop = have, nil
		host.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined", "label=disable"}
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
		host.DeviceCgroupRules = []string{"a *:* rwm"}
		return
	}
	if slices.ContainsFunc(host.CapAdd, func(c string) bool { return strings.EqualFold(c, "ALL") }) {
		host.CapAdd = have
	}
}
