// Package machine sets up a machine of its own, such as a Raspberry Pi, as the master or a
// worker of a cluster. It is the command kube-config.
//
// It owns what the Debian package leaves open: the settings below /etc/wheelhouse that the
// systemd units wheelhouse-server and wheelhouse-node read, whether these are enabled, the
// credentials of a worker, and the memory control group in the kernel's command line.
// It starts and stops through systemctl only, and never touches a container: stopping a unit
// leaves pods running.
//
// The caller runs it as root. Every path is below Config.Root, and every program is run by
// Config.Run, so that a test has a machine of its own.
package machine
