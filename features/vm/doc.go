// Package vm proves on a stock Debian 12, booted with systemd and control groups of version 2, what
// a machine without these cannot show. Its test binary runs inside the virtual machine, as root:
// run.sh copies it there, and reboots between two of its tests. Each test reports what it saw.
// It changes the whole machine and must run on no other.
package vm
