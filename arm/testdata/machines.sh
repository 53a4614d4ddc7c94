#!/bin/bash
# Runs as the first process of namespaces of its own: makes the machines, each with this machine's
# disk below and a layer of its own that is written, then waits until its input ends.
#
#   machines.sh DIR PACKAGE SYSTEMCTL NAME...
set -euo pipefail
dir=$1 package=$2 systemctl=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 machines "$dir"
cp "$package" "$dir/package.deb"
ip link set lo up
for n in 2 3 4; do ip address add "10.245.9.$n/24" dev lo; done

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

layer base /
rm -rf "$dir/base/var/lib/wheelhouse" "$dir/base/etc/wheelhouse"
cp "$dir/package.deb" "$dir/base/tmp/"
mkdir -p "$dir/base/usr/local/sbin"
cp "$systemctl" "$dir/base/usr/local/sbin/systemctl"
chroot "$dir/base" dpkg --force-unsafe-io --force-depends --force-conflicts --force-overwrite -i /tmp/package.deb >"$dir/dpkg.log" 2>&1 || { cat "$dir/dpkg.log" >&2; exit 1; }
umount -R "$dir/base"
for name; do
  layer "$name" "$dir/base.upper:/"
  cp "$dir/package.deb" "$dir/$name/tmp/package.deb"
done
echo ready
while read -r _; do :; done
