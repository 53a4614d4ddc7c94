#!/usr/bin/env bash
# Builds the class's own Vagrant box: Debian 12, its kernel and Docker Engine, and what the archive
# has: the wheelhouse package and the images of the labs. All packages come from where this
# machine's apt has them. Times, names and orders are fixed, so that the
# same inputs shall give the same bytes.
#
#   box.sh [--arch ARCH] [--out DIR] [ARCHIVE]     leaves debian12-PROVIDER-ARCH.box in DIR, and their digests
#
# ARCH      amd64 (libvirt, virtualbox, vmware_desktop and hyperv; BIOS and UEFI) or arm64 (libvirt; UEFI); default: this machine's
# DIR       default: bin/box
# ARCHIVE   as make vagrant-archive writes it; default: wheelhouse-kit.tar beside this script
#
# SOURCE_DATE_EPOCH, in seconds, is the time of every file; default: of this script's last commit.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=$(dpkg --print-architecture)
out=$here/../bin/box
suite=bookworm
size=20 # GiB: of the disk that the machine sees

say() { echo "box: $*"; }
die() { echo "box: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?--arch: amd64 or arm64}; shift 2 ;;
    --out) out=${2:?--out: a directory}; shift 2 ;;
    -*) die "unknown flag $1" ;;
    *) break ;;
  esac
done
archive=${1:-$here/wheelhouse-kit.tar}
[ -f "$archive" ] || die "no archive at $archive: run make vagrant-archive"
[ "$(id -u)" = 0 ] || die "run this as root: it unpacks packages into a root of their own"
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct -- box.sh 2>/dev/null || true)}
[ -n "$epoch" ] || die "SOURCE_DATE_EPOCH is not set, and this script is in no commit"
export SOURCE_DATE_EPOCH=$epoch E2FSPROGS_FAKE_TIME=$epoch LC_ALL=C TZ=UTC

# Names that would be drawn by lot.
root_id=b7f6f3a8-1d20-4a6d-9c4e-5f0c8d6e2a10
boot_id=57484545

packages=(
  systemd systemd-sysv dbus udev kmod initramfs-tools apparmor apt
  openssh-server libpam-systemd sudo iproute2 iptables docker.io nfs-common rsync
  ca-certificates curl procps psmisc util-linux e2fsprogs cloud-guest-utils systemd-resolved systemd-boot-efi less iputils-ping nano vim-tiny jq zstd
)
case $arch in
  # From these daemons Hyper-V has the address of a machine.
  amd64) packages+=(linux-image-amd64 hyperv-daemons) efi=BOOTX64.EFI stub=systemd-bootx64.efi console=ttyS0 ;;
  arm64) packages+=(linux-image-arm64) efi=BOOTAA64.EFI stub=systemd-bootaa64.efi console=ttyAMA0 ;;
  *) die "--arch $arch: amd64 or arm64" ;;
esac

# needs COMMAND=PACKAGE...: installs what is missing on this machine.
needs() {
  local need missing=()
  for need in "$@"; do
    [ -n "$(PATH=$PATH:/usr/sbin type -P "${need%%=*}")" ] || [ -e "${need%%=*}" ] || missing+=("${need#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$out/setup.log" 2>&1 ||
    die "apt-get install ${missing[*]} failed: see $out/setup.log"
}

# mirrors: the lines of apt for the suite, as this machine's apt has them.
mirrors() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(SUITE) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v s="$suite" '$2 == s || $2 == s"-updates" || $2 == s"-security" {print "deb", $3, $2, "main"}' | sort -u
}

# write FILE [MODE]: standard input becomes a file of the machine.
write() {
  mkdir -p "$(dirname "$root$1")"
  cat >"$root$1"
  chmod "${2:-0644}" "$root$1"
}

user() {
  chroot "$root" useradd -m -s /bin/bash -p '*' vagrant
  echo 'vagrant ALL=(ALL) NOPASSWD: ALL' | write /etc/sudoers.d/vagrant 0440
  mkdir -m 0700 "$root/home/vagrant/.ssh"
  # The key that Vagrant replaces at the first start by one of the machine's own.
  write /home/vagrant/.ssh/authorized_keys 0600 <"$here/vagrant.pub"
  chroot "$root" chown -R vagrant:vagrant /home/vagrant
  chroot "$root" usermod -aG docker vagrant
}

configure() {
  echo debian12 | write /etc/hostname
  printf '127.0.0.1 localhost\n' | write /etc/hosts
  printf 'UUID=%s / ext4 defaults,errors=remount-ro 0 1\n' "$root_id" | write /etc/fstab
  # An interface that the provider numbers itself is Vagrant's own to set.
  printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nKeepConfiguration=static\n[DHCPv4]\nClientIdentifier=mac\n' | write /etc/systemd/network/80-dhcp.network
  printf 'UseDNS no\nPasswordAuthentication no\n' | write /etc/ssh/sshd_config.d/vagrant.conf
  cat <<'SCRIPT' | write /usr/local/sbin/first-boot 0755
#!/bin/sh
# The whole disk for the files of this machine, and its own keys, which are the mark of having run.
rm -f /etc/ssh/ssh_host_* # perhaps cut off in the middle
root=$(findmnt -n -o SOURCE /)
growpart "/dev/$(lsblk -n -o PKNAME "$root")" "$(cat "/sys/class/block/${root##*/}/partition")"
resize2fs "$root"
ssh-keygen -A
SCRIPT
  cat <<'UNIT' | write /etc/systemd/system/first-boot.service
[Unit]
Description=The whole disk for this machine's files, and keys of its own
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/first-boot

[Install]
WantedBy=multi-user.target
UNIT
  chroot "$root" systemctl -q enable systemd-networkd systemd-resolved ssh docker first-boot
  # What fetches from a network on its own.
  chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service
  printf 'MODULES=most\nCOMPRESS=zstd\n' | write /etc/initramfs-tools/conf.d/box
  user
}

# kit: the archive as the provisioning finds it unpacked, and its package installed.
kit() {
  local at=$root/var/lib/wheelhouse-kit
  mkdir -p "$at"
  tar -C "$at" -xf "$archive"
  rm -rf "$at/packages" # they are installed
  sha256sum "$archive" | cut -d' ' -f1 >"$at/sum"
  cp "$at"/wheelhouse_*_"$arch".deb "$root/tmp/wheelhouse.deb"
  chroot "$root" dpkg -i /tmp/wheelhouse.deb
  rm "$root/tmp/wheelhouse.deb"
}

# quiet: nothing stays that tells when or where it was built.
quiet() {
  rm -rf "$root"/var/cache/apt/* "$root"/var/cache/{ldconfig/aux-cache,debconf/*-old} "$root"/var/lib/apt/lists/* "$root"/var/log/* \
    "$root"/usr/share/{man,locale,doc}/* "$root"/etc/ssh/ssh_host_* "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/var/lib/systemd/catalog/database \
    "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99* "$root"/etc/resolv.conf "$root"/tmp/* "$root"/run/*
  printf 'deb http://deb.debian.org/debian %s main\ndeb http://deb.debian.org/debian-security %s-security main\n' $suite $suite | write /etc/apt/sources.list
  ln -sf /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
  : >"$root/etc/machine-id"
  # A password's day of change.
  sed -i -E "s/^([^:]*:[^:]*:)[0-9]+/\1$((epoch / 86400))/" "$root/etc/shadow"
  find "$root" -xdev -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
}

# files: the ext4 file system of the root. What mke2fs takes from this machine's file system, the
# times of access and of the inode's change, is set afterwards.
files() { # IMAGE
  local used
  mke2fs -q -t ext4 -L root -U "$root_id" -E "hash_seed=$root_id,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" \
    -d "$root" "$1" "$(($(du -sm "$root" | cut -f1) * 5 / 4 + 256))M"
  used=$(dumpe2fs -h "$1" 2>/dev/null | awk '/^Inode count:/ {n = $3} /^Free inodes:/ {print n - $3}')
  { echo 2; seq 11 "$used"; } | awk -v t="@$epoch" '{for (f = split("ctime atime", field); f; f--) {
    print "sif <" $1 "> " field[f] " " t; print "sif <" $1 "> " field[f] "_extra 0"}}' >"$work/times"
  debugfs -w -f "$work/times" "$1" >"$work/times.log" 2>&1
}

# boot: the FAT file system that both BIOS and UEFI start from.
boot() { # IMAGE
  local options="root=UUID=$root_id ro console=tty0 console=$console,115200 quiet"
  truncate -s 128M "$1"
  mkfs.fat -F 32 -n BOOT -i "$boot_id" --invariant "$1" >/dev/null
  mkdir -p "$work/boot/EFI/BOOT" "$work/boot/loader/entries"
  cp -L "$root"/boot/vmlinuz-* "$work/boot/vmlinuz"
  cp -L "$root"/boot/initrd.img-* "$work/boot/initrd.img"
  cp "$root/usr/lib/systemd/boot/efi/$stub" "$work/boot/EFI/BOOT/$efi"
  printf 'timeout 0\ndefault debian\n' >"$work/boot/loader/loader.conf"
  printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions %s\n' "$options" >"$work/boot/loader/entries/debian.conf"
  printf 'DEFAULT debian\nPROMPT 0\nLABEL debian\nKERNEL /vmlinuz\nAPPEND initrd=/initrd.img %s\n' "$options" >"$work/boot/syslinux.cfg"
  find "$work/boot" -exec touch -d "@$epoch" {} +
  (cd "$work/boot" && for entry in EFI initrd.img loader syslinux.cfg vmlinuz; do mcopy -s -m -i "$1" "$entry" ::/; done)
  [ "$arch" != amd64 ] || syslinux --install "$1"
}

# disk: the partitions, the boot code, and an end as large as the machine shall see.
disk() { # IMAGE
  local start=2048 sectors
  boot "$work/boot.img"
  files "$work/root.img"
  sectors=$(($(stat -c %s "$work/boot.img") / 512))
  truncate -s "${size}G" "$1"
  sfdisk -q "$1" <<END
label: dos
label-id: 0x${boot_id}
start=$start, size=$sectors, type=ef, bootable
start=$((start + sectors)), size=$(($(stat -c %s "$work/root.img") / 512)), type=83
END
  dd status=none conv=notrunc,sparse bs=1M seek=$((start / 2048)) if="$work/boot.img" of="$1"
  dd status=none conv=notrunc,sparse bs=1M seek=$(((start + sectors) / 2048)) if="$work/root.img" of="$1"
  [ "$arch" != amd64 ] || dd status=none conv=notrunc bs=440 count=1 if=/usr/lib/syslinux/mbr/mbr.bin of="$1"
}

# pack PROVIDER FILE...: the box of a provider.
pack() {
  local provider=$1 box
  shift
  box=$out/debian12-$provider-$arch.box
  tar -C "$work/box" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf - "$@" | gzip -n -1 >"$box.new"
  mv "$box.new" "$box"
  (cd "$out" && sha256sum "${box##*/}")
}

libvirt() {
  mkdir -p "$work/box"
  qemu-img convert -c -O qcow2 "$1" "$work/box/box.img"
  printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d, "architecture": "%s"}\n' $size "$arch" >"$work/box/metadata.json"
  pack libvirt box.img metadata.json
}

# content_id VMDK: the disk's number is drawn by lot; all disks of this box may have one.
content_id() { perl -pi -e 's/^CID=[0-9a-f]{8}$/CID=57484545/' "$1"; }

virtualbox() {
  rm -rf "$work/box"
  mkdir -p "$work/box"
  qemu-img convert -O vmdk -o subformat=streamOptimized "$1" "$work/box/box.vmdk"
  content_id "$work/box/box.vmdk"
  printf '{"provider": "virtualbox", "architecture": "%s"}\n' "$arch" >"$work/box/metadata.json"
  sed "s/@CAPACITY@/$((size << 30))/" "$here/box.ovf" >"$work/box/box.ovf"
  pack virtualbox box.ovf box.vmdk metadata.json
}

vmware() {
  rm -rf "$work/box"
  mkdir -p "$work/box"
  qemu-img convert -O vmdk -o subformat=monolithicSparse,adapter_type=lsilogic "$1" "$work/box/box.vmdk"
  content_id "$work/box/box.vmdk"
  printf '{"provider": "vmware_desktop", "architecture": "%s"}\n' "$arch" >"$work/box/metadata.json"
  cp "$here/box.vmx" "$work/box/"
  pack vmware_desktop box.vmdk box.vmx metadata.json
}

# footers VHD: time and number of the disk, which are drawn by lot, and the sum over them; both copies.
footers() {
  perl -e 'open my $f, "+<:raw", $ARGV[0] or die; for my $at (0, (-s $f) - 512) {
    seek $f, $at, 0; read $f, my $b, 512; substr($b, 0, 8) eq "conectix" or die "no footer at $at";
    substr($b, 24, 4) = pack "N", 0; substr($b, 64, 4) = "\0" x 4; substr($b, 68, 16) = pack "H32", "b7f6f3a81d204a6d9c4e5f0c8d6e2a10";
    substr($b, 64, 4) = pack "N", ~unpack("%32C*", $b) & 0xffffffff; seek $f, $at, 0; print $f $b } close $f or die' "$1"
}

hyperv() {
  rm -rf "$work/box"
  mkdir -p "$work/box/Virtual Machines" "$work/box/Virtual Hard Disks"
  qemu-img convert -O vpc -o subformat=dynamic,force_size=on "$1" "$work/box/Virtual Hard Disks/box.vhd"
  footers "$work/box/Virtual Hard Disks/box.vhd"
  printf '{"provider": "hyperv", "architecture": "%s"}\n' "$arch" >"$work/box/metadata.json"
  cp "$here/box-hyperv.xml" "$work/box/Virtual Machines/box.xml"
  pack hyperv "Virtual Hard Disks" "Virtual Machines" metadata.json
}

mkdir -p "$out"
out=$(cd "$out" && pwd)
archive=$(realpath "$archive")
needs mmdebstrap=mmdebstrap mkfs.fat=dosfstools mcopy=mtools sfdisk=fdisk qemu-img=qemu-utils perl=perl
[ "$arch" != amd64 ] || needs syslinux=syslinux /usr/lib/syslinux/mbr/mbr.bin=syslinux-common
[ "$arch" = "$(dpkg --print-architecture)" ] || needs qemu-aarch64-static=qemu-user-static
[ -n "$(mirrors)" ] || die "this machine's apt has no $suite: its settings must name a mirror of Debian 12"
begun=$SECONDS
work=$(mktemp -d "$out/_box.XXXXXX")
root=$work/root
trap 'umount -q "$root" 2>/dev/null; rm -rf --one-file-system "$work"' EXIT
# A file system in memory lists a directory in the order in which it was written.
mkdir "$root"
mount -t tmpfs -o mode=0755,size=4G box "$root"
say "installing Debian $suite for $arch"
list=$(IFS=,; echo "${packages[*]}")
mirrors | mmdebstrap --quiet --mode=root --arch="$arch" --variant=minbase --include="$list" "$suite" "$work/root.tar" - 2>"$out/mmdebstrap.log" ||
  { tail -n 5 "$out/mmdebstrap.log" >&2; die "mmdebstrap failed: see $out/mmdebstrap.log"; }
tar -C "$root" --numeric-owner -xf "$work/root.tar"
rm "$work/root.tar"
for step in configure kit; do
  # Not in a condition, and not before ||: there the shell does not end at the first command that fails.
  set +e
  (set -e; "$step") >"$out/$step.log" 2>&1
  status=$?
  set -e
  [ $status = 0 ] || { tail -n 5 "$out/$step.log" >&2; die "$step failed: see $out/$step.log"; }
done
chroot "$root" update-initramfs -u >"$out/initramfs.log" 2>&1
quiet
say "writing the disk"
disk "$work/disk.raw"
say "packing"
: >"$out/SHA256SUMS.new"
libvirt "$work/disk.raw" | tee -a "$out/SHA256SUMS.new"
[ "$arch" != amd64 ] || for provider in virtualbox vmware hyperv; do "$provider" "$work/disk.raw" | tee -a "$out/SHA256SUMS.new"; done
mv "$out/SHA256SUMS.new" "$out/SHA256SUMS-$arch"
say "$(du -ch "$out"/*-"$arch".box | tail -n 1 | cut -f1) in $out, in $((SECONDS - begun)) s"
