#!/usr/bin/env bash
# Installs what the kit's checks need and this machine lacks, from the distribution's packages:
# lintian, shellcheck, systemd-analyze (of the package systemd, which is not started) and man.
#
#   setup.sh [COMMAND=PACKAGE...]     further ones
set -euo pipefail
exec 9<"$0"
flock 9 # tests of two packages may call it at once

needs=(lintian=lintian shellcheck=shellcheck systemd-analyze=systemd man=man-db nsenter=util-linux dpkg-deb=dpkg ip=iproute2 "$@")
missing=()
for need in "${needs[@]}"; do
  command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "kit: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get -q -y update && apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
  { tail -5 "$log" >&2; echo "kit: apt-get install ${missing[*]} failed: see $log" >&2; exit 1; }
rm -f "$log"
