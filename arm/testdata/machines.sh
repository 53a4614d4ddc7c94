#!/bin/bash
# Runs as the first process of namespaces of its own: makes the machines, each with this machine's
# disk below and a layer of its own that is written, and with a network of its own, /run/netns/NAME,
# on a bridge: 10.245.9.2 is the first, 10.245.9.3 the second. Then it waits until its input ends.
#
#   machines.sh DIR PACKAGE SYSTEMCTL NAME...
set -euo pipefail
dir=$1 package=$2 systemctl=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 machines "$dir"
mount -t tmpfs -o mode=755 netns /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs -o mode=755 netns /run/netns; }
cp "$package" "$dir/package.deb"
ip link add switch type bridge
ip link set switch up

# layer NAME LOWER: mounts the machine's disk, and what every machine has there.
layer() {
  mkdir -p "$dir/$1.upper" "$dir/$1.work" "$dir/$1"
  mount -t overlay -o "lowerdir=$2,upperdir=$dir/$1.upper,workdir=$dir/$1.work" overlay "$dir/$1"
  mount -t proc proc "$dir/$1/proc"
  mount --rbind /sys "$dir/$1/sys"
  mount --rbind /dev "$dir/$1/dev"
  mount -t tmpfs tmpfs "$dir/$1/run"
  mount -t tmpfs tmpfs "$dir/$1/tmp"
}

# plug NAME NUMBER: a cable to the switch.
plug() {
  ip netns add "$1"
  ip link add "port$2" type veth peer name eth0 netns "$1"
  ip link set "port$2" master switch up
  ip -n "$1" link set lo up
  ip -n "$1" address add "10.245.9.$2/24" dev eth0
  ip -n "$1" link set eth0 up
}

layer base /
rm -rf "$dir/base/var/lib/wheelhouse" "$dir/base/etc/wheelhouse"
cp "$dir/package.deb" "$dir/base/tmp/"
mkdir -p "$dir/base/usr/local/sbin"
cp "$systemctl" "$dir/base/usr/local/sbin/systemctl"
chroot "$dir/base" dpkg --force-unsafe-io --force-depends --force-conflicts --force-overwrite -i /tmp/package.deb >"$dir/dpkg.log" 2>&1 || { cat "$dir/dpkg.log" >&2; exit 1; }
umount -R "$dir/base"
number=2
for name; do
  layer "$name" "$dir/base.upper:/"
  cp "$dir/package.deb" "$dir/$name/tmp/package.deb"
  plug "$name" "$number"
  number=$((number + 1))
done
echo ready
while read -r _; do :; done
