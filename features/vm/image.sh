#!/usr/bin/env bash
# Builds the disk of the virtual machine: Debian 12 as its installer leaves it, with systemd,
# control groups of version 2, AppArmor, the distribution's Docker Engine, an NFS server and an
# SSH server. Packages come from where this machine's own apt has them. What was built from the
# same script is left alone.
#
#   image.sh DIR [SUITE]      leaves disk.raw, vmlinuz, initrd.img and the SSH key id in DIR
#
# SUITE is bookworm (Debian 12, the default), or a later one, such as trixie or sid: a newer
# systemd, kernel and Docker Engine. Its packages are looked for where those of bookworm are.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?the directory of the image}
stock=bookworm
suite=${2:-$stock}

say() { echo "image: $*"; }
die() { echo "image: $*" >&2; exit 1; }

packages=(
  systemd systemd-sysv dbus udev kmod initramfs-tools linux-image-amd64 apparmor
  openssh-server libpam-systemd iproute2 iptables docker.io nfs-kernel-server nfs-common
  ca-certificates curl procps util-linux e2fsprogs less iputils-ping
)
# What later suites have in packages of their own, of which the former depended on or were part.
# Those of systemd are libraries that it loads when it needs them.
later=(docker-cli mount login libpam0g libseccomp2 libapparmor1 libkmod2 libcrypt1 libacl1)

# needs COMMAND=PACKAGE...: installs what is missing on this machine.
needs() {
  local need missing=()
  for need in "$@"; do
    [ -n "$(PATH=$PATH:/usr/sbin type -P "${need%%=*}")" ] || missing+=("${need#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]}"
  say "installing ${missing[*]}"
  { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$dir/setup.log" 2>&1 ||
    die "apt-get install ${missing[*]} failed: see $dir/setup.log"
}

# mirror: where this machine's apt has the suite's packages.
mirror() { # SUITE
  # shellcheck disable=SC2016 # apt's own variables
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$1" '$1 == suite {print $2; exit}'
}

# write FILE [MODE]: standard input becomes a file of the image.
write() {
  mkdir -p "$(dirname "$root$1")"
  cat >"$root$1"
  chmod "${2:-0644}" "$root$1"
}

# unpack: the packages, into the root. Of a later suite dependencies have alternatives that exclude what is listed (dracut
# and initramfs-tools), which debootstrap cannot weigh and apt can.
unpack() {
  if [ "$suite" = "$stock" ]; then
    unshare --mount debootstrap --variant=minbase --include="$list" "$suite" "$root" "$from"
  else
    # A mirror's copy may be older than the week for which sid's index is valid. Its signature is verified.
    unshare --mount mmdebstrap --aptopt='Acquire::Check-Valid-Until "false"' --mode=root --variant=minbase --include="$list" "$suite" "$root" "$from"
  fi
}

configure() {
  echo wheelhouse-vm | write /etc/hostname
  printf '127.0.0.1 localhost\n127.0.1.1 wheelhouse-vm\n' | write /etc/hosts
  printf '/dev/vda / ext4 defaults 0 1\npayload /payload 9p trans=virtio,version=9p2000.L,msize=512000,ro,nofail 0 0\n' | write /etc/fstab
  printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' | write /etc/systemd/network/80-dhcp.network
  printf 'virtio_pci\nvirtio_blk\next4\n' | write /etc/initramfs-tools/modules
  printf 'MODULES=list\n' | write /etc/initramfs-tools/conf.d/modules
  printf '[Journal]\nStorage=persistent\n' | write /etc/systemd/journald.conf.d/persistent.conf
  printf 'UseDNS no\n' | write /etc/ssh/sshd_config.d/local.conf
  mkdir -p "$root/payload"
  mkdir -p "$root/root/.ssh"
  chmod 0700 "$root/root/.ssh"
  write /root/.ssh/authorized_keys 0600 <"$dir/id.pub"
  chroot "$root" systemctl -q enable systemd-networkd ssh docker
  # What fetches from a network, or works on the disk at times of its own.
  chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer systemd-networkd-wait-online.service
  # Started by the check that needs it.
  chroot "$root" systemctl -q disable nfs-server rpcbind.service rpcbind.socket
  chroot "$root" update-initramfs -u >/dev/null
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{man,locale,doc}/*
  : >"$root/etc/machine-id"
}

mkdir -p "$dir"
wanted=$({ cat "$here/image.sh"; [ "$suite" = "$stock" ] || echo "$suite"; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/source" 2>/dev/null)" = "$wanted" ]; then
  say "$dir/disk.raw is there"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "run this as root: it unpacks packages into a root of their own"
needs debootstrap=debootstrap mmdebstrap=mmdebstrap mke2fs=e2fsprogs ssh-keygen=openssh-client
from=$(mirror "$suite")
[ -n "$from" ] || from=$(mirror "$stock")
[ -n "$from" ] || die "this machine's apt has no $stock: its settings must name a mirror of Debian"
[ "$suite" = "$stock" ] || packages+=("${later[@]}")
start=$SECONDS
[ -f "$dir/id" ] || ssh-keygen -q -t ed25519 -N '' -C wheelhouse-vm -f "$dir/id"
# The go command passes over a name with an underscore.
root=$(mktemp -d "$dir/_root.XXXXXX")
# Mounts of the packages' scripts end with the namespace.
trap 'rm -rf --one-file-system "$root"' EXIT
say "installing Debian $suite"
list=$(IFS=,; echo "${packages[*]}")
unpack >"$dir/unpack.log" 2>&1 || { tail -5 "$dir/unpack.log" >&2; die "$suite is not installed: see $dir/unpack.log"; }
configure
cp -L "$root"/boot/vmlinuz-* "$dir/vmlinuz"
cp -L "$root"/boot/initrd.img-* "$dir/initrd.img"
rm -f "$dir/disk.raw" "$dir"/*.qcow2
mke2fs -q -t ext4 -d "$root" "$dir/disk.raw" 10G
echo "$wanted" >"$dir/source"
say "$dir/disk.raw: $(du -h "$dir/disk.raw" | cut -f1), in $((SECONDS - start)) s"
