#!/usr/bin/env bash
# Builds what all SD cards have in common: Debian 12 for arm64 with the Raspberry Pi's firmware, the
# distribution's Docker Engine, wifi by wpa_supplicant and networks by systemd-networkd. Packages come
# from where this machine's apt has them. What was built from the same script is left alone.
#
#   base.sh [DIR]      leaves base.tar in DIR (default: bin/sdcard)
#
# CARD_ARCH   for the checks of these scripts: another architecture than arm64. No Pi starts from it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../bin/sdcard}
suite=bookworm
arch=${CARD_ARCH:-arm64}

. "$here/emulation.sh"

packages=(
  systemd systemd-sysv systemd-resolved systemd-timesyncd dbus udev kmod initramfs-tools apt linux-image-"$arch" raspi-firmware
  docker.io iptables nfs-common iproute2 wpasupplicant firmware-brcm80211 wireless-regdb rfkill iw
  openssh-server libpam-systemd sudo ca-certificates curl procps psmisc util-linux e2fsprogs cloud-guest-utils fdisk dosfstools
  fake-hwclock systemd-zram-generator less nano iputils-ping conntrack
)

# mirrors: apt's lines for the suite, where this machine's apt has it. The firmware is not free software.
mirrors() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(SUITE) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v s="$suite" '$2 == s || $2 == s"-updates" || $2 == s"-security" {print "deb", $3, $2, "main non-free-firmware"}' | sort -u
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
wanted=$arch-$(sha256sum <"$here/base.sh" | cut -d' ' -f1)
if [ "$(cat "$dir/base.source" 2>/dev/null)" = "$wanted" ] && [ -f "$dir/base.tar" ]; then
  say "$dir/base.tar is there"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "run this as root: it unpacks packages into a root of their own"
needs mmdebstrap=mmdebstrap
emulation
[ -n "$(mirrors)" ] || die "this machine's apt has no $suite: its settings must name a mirror of Debian 12"
begun=$SECONDS
say "installing Debian $suite for $arch"
list=$(IFS=,; echo "${packages[*]}")
# shellcheck disable=SC2016
mirrors | mmdebstrap --quiet --mode=root --format=tar --arch="$arch" --variant=minbase --include="$list" \
  --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" && printf "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n" >"$1/etc/initramfs-tools/conf.d/card"' \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list "$1"/etc/apt/apt.conf.d/99*' \
  "$suite" "$dir/base.tar.new" - 2>"$dir/mmdebstrap.log" || { tail -n 5 "$dir/mmdebstrap.log" >&2; die "mmdebstrap failed: see $dir/mmdebstrap.log"; }
mv "$dir/base.tar.new" "$dir/base.tar"
echo "$wanted" >"$dir/base.source"
say "$dir/base.tar: $(du -h "$dir/base.tar" | cut -f1), in $((SECONDS - begun)) s"
