#!/usr/bin/env bash
# Builds the pages of a class into dist, once: again only when what they are made of has
# changed. The packages go to bin/web, at the versions and hashes of package-lock.json, from
# where this machine's npm is set to take them; no script of theirs runs at installation.
#
# Without Node.js, npm or a network it says so in one line that begins with "assets:" and
# succeeds: the program is then built without the pages, and says how to get them.
# With --require it fails instead, as the tests need it.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
modules=$root/bin/web

missing() {
  echo "assets: NOT BUILT: $1. The program will say how to get its pages."
  [ "${required:-}" = "" ] || exit 1
  exit 0
}
required=
[ "${1:-}" != --require ] || required=yes

inputs() {
  find build.mjs build.sh tsconfig.json package.json package-lock.json src lang pages -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

sum=$(inputs)
if [ -f dist/index.html ] && [ "$(cat dist/.inputs 2>/dev/null)" = "$sum" ]; then exit 0; fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    log=$(mktemp)
    echo "assets: installing nodejs and npm"
    { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends nodejs npm; } >"$log" 2>&1 ||
      missing "nodejs and npm could not be installed (see $log)"
    rm -f "$log"
  else
    missing "node or npm is missing, and only root can install them (apt-get install nodejs npm)"
  fi
fi
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] || missing "node $(node --version) is too old: 18 is needed"

mkdir -p "$modules"
lock=$(cat package.json package-lock.json .npmrc | sha256sum | cut -d' ' -f1)
if [ "$(cat "$modules/.lock" 2>/dev/null)" != "$lock" ]; then
  rm -f "$modules/.lock"
  cp package.json package-lock.json .npmrc "$modules/"
  echo "assets: installing the packages of package-lock.json"
  (cd "$modules" && npm ci --no-progress >install.log 2>&1) || missing "npm could not install the packages (see $modules/install.log)"
  echo "$lock" >"$modules/.lock"
fi
ln -sfn ../../../bin/web/node_modules node_modules

# What is wrong from here on is wrong in the sources: that stops the build.
node_modules/.bin/tsc -p .
node build.mjs
echo "$sum" >dist/.inputs
echo "assets: built ($(du -sh --apparent-size dist | cut -f1)) from $(find src lang -type f | wc -l) files"
