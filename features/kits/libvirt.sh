#!/usr/bin/env bash
# Runs libvirt's daemons where no init system does, apart from the machine (apart.sh): bridges,
# DHCP, firewall rules and virtual machines are in there, and end with it. Files are below DIR.
#
#   libvirt.sh start DIR          starts it, if it does not run
#   libvirt.sh run DIR CMD...     runs a command in there
#   libvirt.sh stop DIR           ends it, with the machines in it: as if their power was cut
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "libvirt: $*" >&2; exit 1; }

verb=${1:?start, run or stop}
mkdir -p "${2:?a directory}"
dir=$(realpath "$2")
shift 2

# daemons: the first process in there. It ends when libvirtd does.
daemons() {
  mount -t tmpfs libvirt /run/libvirt
  mount --bind "$dir/etc" /etc/libvirt
  mount --bind "$dir/lib" /var/lib/libvirt
  mount --bind "$dir/log" /var/log/libvirt
  mount --bind "$dir/cache" /var/cache/libvirt
  # Users that the package libvirt-daemon-system would have created.
  mount --bind "$dir/passwd" /etc/passwd
  mount --bind "$dir/group" /etc/group
  sysctl -q -w net.ipv4.ip_forward=1
  virtlogd --daemon
  exec libvirtd --timeout 0
}

start() {
  mkdir -p "$dir"/{etc,lib,log,cache} /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
  # Control groups and a security driver are an init system's to have set up.
  printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'cgroup_controllers = []' 'remember_owner = 0' \
    'namespaces = []' 'stdio_handler = "file"' >"$dir/etc/qemu.conf"
  printf '%s\n' 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0700"' >"$dir/etc/libvirtd.conf"
  { cat /etc/passwd && echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin'; } >"$dir/passwd"
  { cat /etc/group && printf '%s\n' 'libvirt-qemu:x:64055:' 'libvirt:x:64056:'; } >"$dir/group"
  "$here/apart.sh" start "$dir" "$0" daemons "$dir"
  for _ in $(seq 300); do
    if "$here/apart.sh" run "$dir" virsh -q -c qemu:///system version >/dev/null 2>&1; then return 0; fi
    sleep 1
  done
  die "libvirtd does not answer: $(tail -n 5 "$dir/first.out")"
}

case $verb in
start) start ;;
run | stop) exec "$here/apart.sh" "$verb" "$dir" "$@" ;;
daemons) daemons ;;
*) die "$verb: want start, run or stop" ;;
esac
