#!/usr/bin/env bash
# Writes the image of an SD card for a Raspberry Pi 3 or 4: Debian 12, the wheelhouse package, a
# user, a network, and a role that the machine takes at its first start, without internet. People
# write the image to a card with dd or rpi-imager.
#
#   card.sh [FLAG...] PACKAGE.deb IMAGE        PACKAGE.deb: for arm64, as make deb writes it
#
# --role master|worker|none     default none
# --class DIR                   for master and worker: the class's keys and code, made in DIR if they are not there. One
#                               image of a worker serves for all workers
# --count N, --ttl TIME         with a new DIR: for how many workers, and for how long after the master's first start
#                               (default 20, 336h)
# --code-file FILE              for a worker: a code of a master that runs already, instead of --class
# --name NAME                   host and node name; default: pi- and the end of the network card's address
# --user NAME                   default pi; it may use sudo
# --password-file FILE          the user's; without it and --ssh-key nobody can log in
# --ssh-key FILE                the user's public key
# --wifi NAME, --wifi-password-file FILE, --wifi-country CC      e.g. DE; wifi beside the cable
# --address CIDR                of the cable's network card, e.g. 192.168.77.1/24; default: by DHCP
# --serve-addresses             with --address: give other machines on the cable theirs, where no router does
# --images FILE                 an archive of images (.tar.gz with .tags beside it), or a package of them (.deb)
# --read-only                   the root is read-only but for /var, which has a partition of its own
# --base DIR                    where base.sh has written base.tar; default bin/sdcard
#
# Passwords and codes come from files only, so that no other user sees them; the image is readable
# by its owner alone, as it holds them.
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
. "$here/emulation.sh"

dir=$here/../../bin/sdcard
role=none class='' count=20 ttl=336h code='' name='' user=pi password='' key='' wifi='' wifi_password='' country='' address='' serve='' images='' readonly=''
while [ $# -gt 0 ]; do
  case $1 in
  --read-only) readonly=yes; shift; continue ;;
  --serve-addresses) serve=yes; shift; continue ;;
  -*) [ $# -gt 1 ] || die "$1 needs a value" ;;
  *) break ;;
  esac
  case $1 in
  --role) role=$2 ;;
  --class) class=$2 ;;
  --count) count=$2 ;;
  --ttl) ttl=$2 ;;
  --code-file) code=$2 ;;
  --name) name=$2 ;;
  --user) user=$2 ;;
  --password-file) password=$2 ;;
  --ssh-key) key=$2 ;;
  --wifi) wifi=$2 ;;
  --wifi-password-file) wifi_password=$2 ;;
  --wifi-country) country=$2 ;;
  --address) address=$2 ;;
  --images) images=$2 ;;
  --base) dir=$2 ;;
  *) die "unknown flag $1" ;;
  esac
  shift 2
done
[ $# = 2 ] || die "want a package and the name of the image; the head of this script lists the flags"
deb=$1 image=$2

# What would fail only on the machine.
[ "$(id -u)" = 0 ] || die "run this as root: it unpacks packages into a root of their own"
case $role in master | worker | none) ;; *) die "--role $role: master, worker or none" ;; esac
[ "$role" != worker ] || [ -n "$class$code" ] || die "--role worker: --class or --code-file is needed, or it could join no master"
[ -z "$class" ] || [ -z "$code" ] || die "--class and --code-file: want one of them"
[[ $name =~ ^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$ ]] || die "--name $name: want lower-case letters, digits and dashes"
[[ $user =~ ^[a-z][a-z0-9-]{0,30}$ ]] || die "--user $user: want lower-case letters, digits and dashes"
[[ $count =~ ^[1-9][0-9]{0,3}$ ]] || die "--count $count: want a number"
[[ $ttl =~ ^[1-9][0-9]*[hm]$ ]] || die "--ttl $ttl: want a time such as 336h"
[ -z "$wifi" ] || [[ $country =~ ^[A-Z][A-Z]$ ]] || die "--wifi-country: want two capital letters, such as DE: without it the law of no country is kept, and wifi stays off"
[ -z "$wifi" ] || [ -n "$wifi_password" ] || die "--wifi: --wifi-password-file is needed"
[ -z "$serve" ] || [ -n "$address" ] || die "--serve-addresses: --address is needed"
[ -z "$address" ] || [[ $address =~ ^[0-9]+(\.[0-9]+){3}/[0-9]+$ ]] || die "--address $address: want an address with a prefix, such as 192.168.77.1/24"
for file in "$deb" ${password:+"$password"} ${key:+"$key"} ${code:+"$code"} ${wifi_password:+"$wifi_password"} ${images:+"$images"}; do [ -r "$file" ] || die "$file cannot be read"; done
[ "$(dpkg-deb -f "$deb" Architecture)" = "${CARD_ARCH:-arm64}" ] || die "$deb is not for ${CARD_ARCH:-arm64}"
[ -n "$password$key" ] || say "without --password-file and --ssh-key nobody can log in to the machine"

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
"$here/base.sh" "$dir"
needs mkfs.fat=dosfstools mcopy=mtools sfdisk=fdisk openssl=openssl
[ -z "$wifi" ] || needs wpa_passphrase=wpasupplicant
emulation
begun=$SECONDS
work=$(mktemp -d "$dir/_card.XXXXXX")
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT

# write FILE [MODE]: standard input becomes a file of the machine.
write() {
  (umask 022 && mkdir -p "$(dirname "$root$1")")
  cat >"$root$1"
  chmod "${2:-0644}" "$root$1"
}

# programs: the package, and what changes on the card at each write.
programs() {
  cp "$deb" "$root/tmp/wheelhouse.deb"
  chroot "$root" dpkg --force-unsafe-io -i /tmp/wheelhouse.deb
  rm "$root/tmp/wheelhouse.deb"
  case $images in
  *.deb) dpkg-deb --fsys-tarfile "$images" | tar -C "$root" -xf - ./usr/share/wheelhouse/images ;;
  ?*) (umask 022 && mkdir -p "$root/usr/share/wheelhouse/images" && cp "$images" "${images%.tar.gz}.tags" "$root/usr/share/wheelhouse/images/") ;;
  esac
  # A log in memory, and of a container no more than this: the card wears out by writes.
  printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n' | write /etc/systemd/journald.conf.d/card.conf
  printf '{"log-driver": "json-file", "log-opts": {"max-size": "4m", "max-file": "2"}}\n' | write /etc/docker/daemon.json
  # Half of the memory can be compressed to a third.
  printf '[zram0]\nzram-size = ram / 2\ncompression-algorithm = zstd\n' | write /etc/systemd/zram-generator.conf
  printf 'FILE=/var/lib/fake-hwclock.data\n' >>"$root/etc/default/fake-hwclock"
  printf '[Unit]\nRequiresMountsFor=/var/lib\n' | write /etc/systemd/system/fake-hwclock.service.d/card.conf
  date -u '+%Y-%m-%d %H:%M:%S' | write /var/lib/fake-hwclock.data
  chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer
}

network() {
  printf '127.0.0.1 localhost\n::1 localhost\n' | write /etc/hosts
  echo "${name:-pi}" | write /etc/hostname
  {
    printf '[Match]\nName=eth* en*\n[Link]\nRequiredForOnline=%s\n[Network]\n' "$([ -n "$wifi" ] && echo no || echo yes)"
    if [ -n "$address" ]; then printf 'Address=%s\n' "$address"; else printf 'DHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n'; fi
    [ -z "$serve" ] || printf 'DHCPServer=yes\n[DHCPServer]\nPoolOffset=50\nEmitDNS=no\nEmitRouter=no\n'
  } | write /etc/systemd/network/40-cable.network
  printf '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=120\n' | write /etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf
  if [ -n "$wifi" ]; then
    printf '[Match]\nName=wlan*\n[Network]\nDHCP=ipv4\n[DHCPv4]\nRouteMetric=2048\nClientIdentifier=mac\n' | write /etc/systemd/network/50-wifi.network
    # The key that is derived from the password, not the password.
    { printf 'country=%s\n' "$country"; head -n 1 "$wifi_password" | tr -d '\r\n' | wpa_passphrase "$wifi" | grep -v '^[[:space:]]*#\|^#\|reading passphrase'; } |
      write /etc/wpa_supplicant/wpa_supplicant-wlan0.conf 0600
    grep -q 'psk=' "$root/etc/wpa_supplicant/wpa_supplicant-wlan0.conf" || die "the wifi's password: want 8 to 63 characters"
    chroot "$root" systemctl -q enable wpa_supplicant@wlan0
  fi
  chroot "$root" systemctl -q enable systemd-networkd systemd-resolved systemd-timesyncd ssh docker
  ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
}

account() {
  chroot "$root" useradd -m -s /bin/bash -G sudo "$user"
  printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" | write "/etc/sudoers.d/card" 0440
  if [ -n "$password" ]; then
    # chpasswd reads the hash from its input: no process has it in its arguments.
    printf '%s:%s\n' "$user" "$(head -n 1 "$password" | tr -d '\r' | openssl passwd -6 -stdin)" | chroot "$root" chpasswd -e
  else
    printf 'PasswordAuthentication no\n' | write /etc/ssh/sshd_config.d/card.conf
  fi
  if [ -n "$key" ]; then
    write "/home/$user/.ssh/authorized_keys" 0600 <"$key"
    chmod 0700 "$root/home/$user/.ssh"
    chroot "$root" chown -R "$user:$user" "/home/$user"
  fi
}

# role: what the machine becomes at its first start. Only root can read it.
role() {
  local at=/etc/wheelhouse/card
  (umask 022 && mkdir -p "$root/etc/wheelhouse")
  mkdir -m 0700 "$root$at"
  printf 'role=%q\nname=%q\ncount=%q\nttl=%q\naddress=%q\n' "$role" "$name" "$count" "$ttl" "${address%/*}" | write $at/settings 0600
  if [ -n "$class" ]; then
    mkdir -p "$class"
    if [ ! -e "$class/code" ]; then
      mkdir -m 0700 "$root/tmp/class"
      chroot "$root" kube-config new-class /tmp/class
      printf 'count=%q\nttl=%q\n' "$count" "$ttl" >"$class/bounds"
      cp -r "$root/tmp/class/pki" "$class/"
      mv "$root/tmp/class/code" "$class/code"
      rm -rf "$root/tmp/class"
    fi
    cp "$class/code" "$root$at/code"
    if [ "$role" = master ]; then
      cat "$class/bounds" >>"$root$at/settings"
      cp -r "$class/pki" "$root$at/pki"
    fi
  elif [ -n "$code" ]; then
    cp "$code" "$root$at/code"
  fi
  chroot "$root" chown -R root:root $at
  for program in first-boot prepare; do write /usr/lib/wheelhouse/$program 0755 <"$here/$program"; done
  write /etc/systemd/system/card-prepare.service <<'UNIT'
[Unit]
Description=Keys of this machine, and the whole card for its files
ConditionPathExists=!/etc/wheelhouse-card-prepared
DefaultDependencies=no
RequiresMountsFor=/var
After=local-fs.target
Before=docker.service ssh.service

[Service]
Type=oneshot
ExecStart=/usr/lib/wheelhouse/prepare

[Install]
WantedBy=multi-user.target
UNIT
  write /etc/systemd/system/card-first-boot.service <<'UNIT'
[Unit]
Description=The role of this SD card
ConditionPathExists=/etc/wheelhouse/card
After=network-online.target docker.service card-prepare.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/usr/lib/wheelhouse/first-boot
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=15
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
UNIT
  chroot "$root" systemctl -q enable card-prepare card-first-boot
}

# firmware: what the Pi's firmware starts from, by Debian's own hook.
firmware() {
  printf 'ROOTPART="LABEL=root"\nCONSOLES="ttyS1,115200 tty0"\n' >>"$root/etc/default/raspi-firmware"
  # The hook writes cmdline.txt again with each kernel: this is where it takes the rest from.
  printf 'cgroup_enable=memory cgroup_memory=1\n' | write /etc/default/raspi-extra-cmdline
  chroot "$root" env DEB_MAINT_PARAMS=configure /etc/kernel/postinst.d/z50-raspi-firmware
  {
    echo "LABEL=root / ext4 noatime,errors=remount-ro${readonly:+,ro} 0 1"
    echo "LABEL=FIRMWARE /boot/firmware vfat noatime,umask=0077 0 2"
    [ -z "$readonly" ] || printf 'LABEL=var /var ext4 noatime 0 2\ntmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0\n/var/srv /srv none bind 0 0\n'
  } | write /etc/fstab
  [ -z "$readonly" ] || (umask 022 && mkdir -p "$root/var/srv")
  printf 'deb http://deb.debian.org/debian bookworm main non-free-firmware\ndeb http://deb.debian.org/debian-security bookworm-security main non-free-firmware\n' | write /etc/apt/sources.list
  : | write /etc/machine-id
}

# size DIR: MiB of a file system for a directory, with room for a first start.
size() { echo $(($(du -sxm "$1" | cut -f1) * 5 / 4 + 512)); }

# disk: the partitions. All begin at whole MiB.
disk() { # IMAGE
  local boot=384 rest var=0 table
  truncate -s ${boot}M "$work/boot.img"
  mkfs.fat -F 32 -n FIRMWARE "$work/boot.img" >/dev/null
  mcopy -s -m -i "$work/boot.img" "$root"/boot/firmware/* ::/
  find "$root/boot/firmware" -mindepth 1 -delete
  if [ -n "$readonly" ]; then
    mv "$root/var" "$work/var"
    (umask 022 && mkdir "$root/var")
    var=$(size "$work/var")
    mke2fs -q -t ext4 -L var -d "$work/var" "$work/var.img" "${var}M"
  fi
  rest=$(size "$root")
  mke2fs -q -t ext4 -L root -d "$root" "$work/root.img" "${rest}M"
  truncate -s "$((4 + boot + rest + var))M" "$1"
  table="label: dos"$'\n'"start=4MiB, size=${boot}MiB, type=c"$'\n'"start=$((4 + boot))MiB, size=${rest}MiB, type=83"
  [ -z "$readonly" ] || table+=$'\n'"start=$((4 + boot + rest))MiB, size=${var}MiB, type=83"
  echo "$table" | sfdisk -q "$1"
  dd status=none conv=notrunc,sparse bs=1M seek=4 if="$work/boot.img" of="$1"
  dd status=none conv=notrunc,sparse bs=1M seek=$((4 + boot)) if="$work/root.img" of="$1"
  [ -z "$readonly" ] || dd status=none conv=notrunc,sparse bs=1M seek=$((4 + boot + rest)) if="$work/var.img" of="$1"
}

(umask 022 && mkdir "$root")
tar -C "$root" --numeric-owner -xpf "$dir/base.tar"
log=$work/log
for step in programs network account role firmware; do
  # Not in a condition, and not before ||: there the shell does not end at the first command that fails.
  set +e
  (set -e; "$step") >"$log" 2>&1
  status=$?
  set -e
  [ $status = 0 ] || { tail -n 5 "$log" >&2; die "$step failed"; }
done
say "writing $image"
disk "$image.new"
chmod 0600 "$image.new"
# The program that writes the card is the user's own, who has called this one with sudo.
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$image.new" ${class:+"$class"}
mv "$image.new" "$image"
say "$image: $(du -h --apparent-size "$image" | cut -f1), role $role, in $((SECONDS - begun)) s: write it with rpi-imager, or dd bs=4M conv=fsync of=/dev/CARD"
