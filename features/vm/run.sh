#!/usr/bin/env bash
# Proves on a stock Debian 12 in a virtual machine what this machine cannot show: systemd, control
# groups of version 2, a reboot. Builds what is missing, boots, runs the tests of this directory
# inside, one after the other, and prints what each has seen.
#
#   run.sh [TEST...]      all tests in their order, or some; TestLabs/nginx is one lab
#   run.sh image          builds loaded.qcow2 alone: the disk with the images of the labs
#
# WHEELHOUSE_VM_SUITE   the suite of Debian (default bookworm, which is Debian 12); sid has the newest
#                       systemd, kernel and Docker Engine of the distribution
# WHEELHOUSE_VM_DIR     where the image and the logs are (default: bin/vm, of another suite bin/vm-SUITE)
# WHEELHOUSE_VM_KEEP    if set, the machine goes on at the end; the next run uses it as it is
# WHEELHOUSE_VM_MEMORY  MiB (default 3072)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
suite=${WHEELHOUSE_VM_SUITE:-bookworm}
dir=$top/bin/vm
[ "$suite" = bookworm ] || dir+=-$suite
dir=${WHEELHOUSE_VM_DIR:-$dir}
log=$dir/proofs.log

# The order counts: the tests before TestDown share a cluster.
all=(TestUp TestLimits TestOOM TestWeights TestDockerRestart TestPodsLeaveNothing TestLabs TestBeforeReboot TestAfterReboot TestDown TestMachine TestUninstall TestSwap)
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=("${all[@]}")

say() { echo "vm: $*"; }
vm() { local verb=$1; shift; "$here/vm.sh" "$verb" "$dir" "$@"; }
running() { [ -f "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

needs() {
  local need missing=()
  for need in qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils ssh=openssh-client; do
    command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$dir/setup.log" 2>&1 ||
    { echo "vm: missing: ${missing[*]} (see $dir/setup.log)" >&2; exit 1; }
}

# payload: what the machine sees as /payload.
payload() {
  mkdir -p "$dir/payload"
  cp "$top/bin/wheelhouse" "$dir/payload/"
  rm -rf "$dir/payload/labs" "$dir/payload/features"
  mkdir -p "$dir/payload/features" "$dir/payload/labs"
  for track in workshop trial monolith notes; do
    cp -r "$top/labs/$track" "$dir/payload/labs/"
    cp -r "$top/features/$track" "$dir/payload/features/"
  done
  (cd "$top" && CGO_ENABLED=0 go test -tags vm -c -trimpath -ldflags '-s -w' -o "$dir/payload/proofs" ./features/vm)
}

# loaded: the disk with the images of the labs in its Docker.
loaded() {
  local wanted tags
  mapfile -t tags < <(sed -n 's/^# tag: //p' "$top"/labs/images/*/Dockerfile)
  docker image inspect -f '{{.Id}} {{.RepoTags}}' "${tags[@]}" | sort -u >"$dir/images"
  wanted=$(cat "$dir/source" "$dir/images" | sha256sum | cut -d' ' -f1)
  if [ -f "$dir/loaded.qcow2" ] && [ "$(cat "$dir/loaded" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  say "loading the images of the labs"
  rm -f "$dir/loaded"
  mkdir -p "$dir/payload"
  docker save -o "$dir/payload/images.tar" "${tags[@]}"
  vm start disk.raw
  vm wait 1800
  vm ssh 'docker load -q -i /payload/images.tar && sync' >"$dir/load.log"
  vm stop
  rm "$dir/payload/images.tar"
  mv "$dir/run.qcow2" "$dir/loaded.qcow2"
  echo "$wanted" >"$dir/loaded"
}

prove() { # TEST: runs it inside, and keeps its output
  local began=$SECONDS result=FAIL
  if vm ssh "PATH=\$PATH:/usr/sbin:/sbin proofs -test.v -test.timeout 90m -test.run '^$1\$'" >"$dir/last.log" 2>&1 &&
    grep -q "^ *--- PASS: $1 " "$dir/last.log"; then result=ok; fi
  cat "$dir/last.log" >>"$log"
  printf '%-5s %-22s %5d s\n' "$result" "$1" $((SECONDS - began)) | tee -a "$dir/summary"
  if [ $result = ok ]; then
    sed -n 's/^ *[a-z_]*_test.go:[0-9]*: seen: /        /p' "$dir/last.log" | cut -c1-240
  else
    tail -40 "$dir/last.log" | cut -c1-400
    failed+=("$1")
  fi
}

# In braces: bash reads all before it runs, so that a change of this file does not change a run.
{
mkdir -p "$dir"
needs
# Two runs at once build one image.
flock "$dir/lock" "$here/image.sh" "$dir" "$suite"
trap '[ -n "${WHEELHOUSE_VM_KEEP:-}" ] || vm cut' EXIT
if [ "$*" = image ]; then
  loaded
  exit
fi
payload
start=$SECONDS
: >"$log"
: >"$dir/summary"
failed=()
if ! running; then
  loaded
  vm start loaded.qcow2
  vm wait 1800
  say "booted in $((SECONDS - start)) s"
fi
# Programs run from the disk: a page of /payload takes a request each.
vm ssh 'for program in wheelhouse proofs; do cp /payload/$program /usr/local/bin/.new && mv /usr/local/bin/.new /usr/local/bin/$program; done; ln -sf wheelhouse /usr/local/bin/kubectl'
for test in "${tests[@]}"; do
  if [ "$test" = TestAfterReboot ]; then
    vm ssh 'systemctl reboot' || true
    vm down 900
    vm boot
    vm wait 1800
  fi
  prove "$test"
done
say "${#tests[@]} tests in $(((SECONDS - start) / 60)) minutes, failed: ${failed[*]:-none}; all output is in $log"
[ ${#failed[@]} -eq 0 ]
exit
}
