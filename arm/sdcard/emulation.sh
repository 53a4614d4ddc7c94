# Sourced by the scripts of this directory; the caller has $dir, for logs.
# shellcheck shell=bash disable=SC2154

say() { echo "$(basename "$0" .sh): $*"; }
die() { echo "$(basename "$0" .sh): $*" >&2; exit 1; }

# needs COMMAND=PACKAGE...: installs what is missing on this machine.
needs() {
  local need missing=()
  for need in "$@"; do
    [ -n "$(PATH=$PATH:/usr/sbin type -P "${need%%=*}")" ] || missing+=("${need#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$dir/setup.log" 2>&1 ||
    die "apt-get install ${missing[*]} failed: see $dir/setup.log"
}

# emulation: the kernel runs programs of arm64 by qemu, from now until a restart.
emulation() {
  local formats=/proc/sys/fs/binfmt_misc
  [ "$(dpkg --print-architecture)" != "${CARD_ARCH:-arm64}" ] || return 0
  needs qemu-aarch64-static=qemu-user-static arch-test=arch-test
  [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats || die "this kernel runs no programs of other architectures (binfmt_misc)"
  [ -e $formats/qemu-aarch64 ] ||
    printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$(type -P qemu-aarch64-static)"':F' >$formats/register
}
