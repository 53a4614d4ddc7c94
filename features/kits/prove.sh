#!/usr/bin/env bash
# Proves the kits on machines that really start: builds the packages, the archive and the box, and
# runs the stages below, one after the other. What is done for the same sources is not done again,
# so a run that was broken off goes on where it was.
#
#   prove.sh [STAGE...]    all stages that are not done; or the named ones, done or not
#
# WHEELHOUSE_KITS_DIR    where all of it is (default: bin/kits): kits.log, the summary, machines
# WHEELHOUSE_KITS_KEEP   if set, machines go on at the end; the next run uses them as they are
#
# A stage is a command. It ends with another status than 0 where something is not as it shall be;
# its lines "seen: ..." are in the summary.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${WHEELHOUSE_KITS_DIR:-$top/bin/kits}

# NAME COMMAND, in their order. A stage of a group (up to the hyphen) needs those before it.
stages=(
  "build-packages    features/kits/build.sh packages"
  "build-archive     features/kits/build.sh archive"
  "build-box         features/kits/build.sh box"
  "vagrant-up        features/kits/vagrant.sh up"
  "vagrant-lab       features/kits/vagrant.sh lab"
  "vagrant-halt      features/kits/vagrant.sh halt"
  "vagrant-provision features/kits/vagrant.sh provision"
  "vagrant-rejoin    features/kits/vagrant.sh rejoin"
  "vagrant-destroy   features/kits/vagrant.sh destroy"
  "package-install   features/kits/package.sh install"
  "package-lab       features/kits/package.sh lab"
  "package-upgrade   features/kits/package.sh upgrade"
  "package-power     features/kits/package.sh power"
  "package-remove    features/kits/package.sh remove"
  "again-box         features/kits/build.sh again"
)

say() { echo "kits: $*"; }

# sources: what the stages prove.
sources() {
  (cd "$top" && git rev-parse HEAD && git diff HEAD && git ls-files -z -o --exclude-standard | xargs -0 -r cat) | sha256sum | cut -d' ' -f1
}

# stage NAME COMMAND...: runs it; its output is in the log.
stage() {
  local name=$1 began=$SECONDS result=ok
  shift
  rm -f "$dir/done/$name"
  (cd "$top" && WHEELHOUSE_KITS_DIR=$dir "$@") >"$dir/last.log" 2>&1 </dev/null || result=FAIL
  { echo "===== $name: $result, $(date -u +%FT%TZ)"; cat "$dir/last.log"; } >>"$log"
  {
    printf '%-5s %-18s %5d s\n' $result "$name" $((SECONDS - began))
    sed -n 's/^seen: /        /p' "$dir/last.log" | cut -c1-200
  } >"$dir/summary/$name"
  cat "$dir/summary/$name"
  [ $result = ok ] || { tail -n 20 "$dir/last.log" | cut -c1-300; return 1; }
  cp "$dir/summary/$name" "$dir/done/$name"
}

# finish: the machines of a run that ends early are as after a power cut.
# shellcheck disable=SC2317 # the trap runs it
finish() {
  [ -z "${WHEELHOUSE_KITS_KEEP:-}" ] || return 0
  "$here/apart.sh" stop "$dir/libvirt"
  "$here/apart.sh" stop "$dir/machines"
}

# In braces: bash reads all before it runs, so that a change of this file does not change a run.
{
mkdir -p "$dir/done" "$dir/summary"
dir=$(cd "$dir" && pwd)
log=$dir/kits.log
now=$(sources)
if [ "$(cat "$dir/sources" 2>/dev/null)" != "$now" ] && [ $# = 0 ]; then
  rm -f "$dir"/done/* "$dir"/summary/* "$log"
  echo "$now" >"$dir/sources"
fi
trap finish EXIT
failed=()
start=$SECONDS
for entry in "${stages[@]}"; do
  read -ra words <<<"$entry"
  name=${words[0]}
  if [ $# = 0 ]; then
    if [ -f "$dir/done/$name" ]; then
      say "$name is done"
      continue
    fi
  elif [[ " $* " != *" $name "* ]]; then
    continue
  fi
  # What needs a stage that has failed would show nothing.
  if [[ " ${failed[*]%-*} " == *" ${name%%-*} "* ]] || [[ " ${failed[*]%-*} " == *" build "* ]]; then
    printf '%-5s %-18s\n' skip "$name" | tee "$dir/summary/$name"
    failed+=("$name")
    continue
  fi
  stage "$name" "${words[@]:1}" || failed+=("$name")
done
say "$(((SECONDS - start) / 60)) minutes, failed: ${failed[*]:-none}; all output is in $log"
[ ${#failed[@]} -eq 0 ]
exit
}
