#!/usr/bin/env bash
# Installs what the tests of the pages need and this machine lacks: Chromium, Node.js and npm,
# from the distribution's packages as this machine's own apt is set to reach them. Safe to run again.
set -euo pipefail

missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[ ${#missing[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || { echo "browser: missing: ${missing[*]}. Install them; only Debian's apt is known here." >&2; exit 1; }
echo "browser: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get -q -y update && apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
  { tail -5 "$log" >&2; echo "browser: apt-get install ${missing[*]} failed: see $log" >&2; exit 1; }
rm -f "$log"
