#!/usr/bin/env bash
# Checks what card.sh writes, without starting it: partitions, file systems, the kernel's command
# line, who can read what, and that no password is in the image. One line a check, then a summary.
#
#   check.sh PACKAGE.deb [DIR]      DIR: where base.tar is, and where the images are for a while (default: bin/sdcard)
#
# With CARD_ARCH, as for base.sh, it checks the scripts on a machine that runs no programs of arm64.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/emulation.sh"
deb=${1:?the package}
dir=${2:-$here/../../bin/sdcard}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$(mktemp -d "$dir/_check.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check WHAT COMMAND...: the command succeeds.
check() {
  local what=$1
  shift
  if "$@" >"$work/log" 2>&1; then passed=$((passed + 1)); echo "sdcard: pass: $what"; else failed=$((failed + 1)); echo "sdcard: FAIL: $what: $(tail -n 2 "$work/log")"; fi
}
# part IMAGE NUMBER: the first byte of a partition.
part() { echo $(($(sfdisk -J "$1" | sed -n 's/.*"start": *\([0-9]*\).*/\1/p' | sed -n "$2p") * 512)); }
# on IMAGE NUMBER COMMAND: debugfs's answer about a file system of the image.
on() { debugfs -R "$3" "$1?offset=$(part "$1" "$2")" 2>/dev/null; }
mode() { on "$1" "$2" "stat $3" | grep -Eq "Mode: +$4 .*|Mode: +$4$" && on "$1" "$2" "stat $3" | grep -Eq 'User: +0 +Group: +0'; }
has() { on "$1" "$2" "cat $3" | grep -qE -- "$4"; }
present() { on "$1" "$2" "stat $3" | grep -q Inode; }
absent() { ! on "$1" "$2" "stat $3" | grep -q Inode; }
sound() { e2fsck -fn "$1?offset=$(part "$1" "$2")"; }
lacks() { ! grep -aqF -- "$2" "$1"; }
cmdline() { mtype -i "$1@@$(part "$1" 1)" ::/cmdline.txt | grep -E 'root=LABEL=root .*cgroup_enable=memory cgroup_memory=1$'; }
starts() { mdir -b -i "$1@@$(part "$1" 1)" ::/ | tr -d '\r' | grep -E "$2"; }

echo 'a user password 7c1f' >"$work/user"
echo 'a wifi password 93be' >"$work/wifi"
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBnXvGz0nq1bZ0m5m2y1yO3k4m4o9y8u7t6r5e4w3q2a check' >"$work/key"
(umask 022 && touch "$work/worker.img") # an image that was there does not lend its mode
"$here/card.sh" --base "$dir" --role master --class "$work/class" --count 12 --name master --ssh-key "$work/key" --address 192.168.77.1/24 --serve-addresses "$deb" "$work/master.img"
"$here/card.sh" --base "$dir" --role worker --class "$work/class" --password-file "$work/user" --wifi room --wifi-password-file "$work/wifi" --wifi-country DE --read-only "$deb" "$work/worker.img"
m=$work/master.img w=$work/worker.img
code=$(cat "$work/class/code")
for image in "$m" "$w"; do
  name=$(basename "$image")
  check "$name: only its owner reads it" test "$(stat -c %a "$image")" = 600
  check "$name: the root is sound" sound "$image" 2
  check "$name: the kernel starts with the memory control group" cmdline "$image"
  check "$name: the firmware has a kernel" starts "$image" '/vmlinuz-'
  check "$name: the firmware has an initrd" starts "$image" '/initrd.img-'
  check "$name: the firmware is there" starts "$image" '/start4?\.elf'
  check "$name: only root reads the role's settings" mode "$image" 2 /etc/wheelhouse/card 0700
  check "$name: only root reads the code" mode "$image" 2 /etc/wheelhouse/card/code 0600
  check "$name: it has the class's code" has "$image" 2 /etc/wheelhouse/card/code "^$code\$"
  check "$name: each machine makes its own SSH keys" absent "$image" 2 /etc/ssh/ssh_host_ed25519_key
  check "$name: the first start is enabled" present "$image" 2 /etc/systemd/system/multi-user.target.wants/card-first-boot.service
done
check "master: it has the class's keys" mode "$m" 2 /etc/wheelhouse/card/pki/ca.key 0600
check "master: it is announced at its address" has "$m" 2 /etc/wheelhouse/card/settings '^address=192.168.77.1$'
check "master: its address, and others'" has "$m" 2 /etc/systemd/network/40-cable.network '^DHCPServer=yes$'
check "master: no password opens it" has "$m" 2 /etc/ssh/sshd_config.d/card.conf '^PasswordAuthentication no$'
check "master: compressed memory" has "$m" 2 /etc/systemd/zram-generator.conf '^zram-size'
check "worker: it has no keys of the master" absent "$w" 2 /etc/wheelhouse/card/pki
check "worker: /var is sound" sound "$w" 3
check "worker: the root is read-only" has "$w" 2 /etc/fstab '^LABEL=root / ext4 .*,ro '
check "worker: only root reads the wifi's key" mode "$w" 2 /etc/wpa_supplicant/wpa_supplicant-wlan0.conf 0600
check "worker: the wifi's key" has "$w" 2 /etc/wpa_supplicant/wpa_supplicant-wlan0.conf '^[[:space:]]*psk=[0-9a-f]{64}$'
# shellcheck disable=SC2016
check "worker: the user's password is a hash" has "$w" 2 /etc/shadow '^pi:\$6\$'
check "worker: the wifi's password is nowhere in the image" lacks "$w" "a wifi password 93be"
check "worker: the user's password is nowhere in the image" lacks "$w" "a user password 7c1f"
echo "sdcard: $passed passed, $failed failed; $(du -h --apparent-size "$m" | cut -f1) master, $(du -h --apparent-size "$w" | cut -f1) worker"
[ $failed = 0 ]
