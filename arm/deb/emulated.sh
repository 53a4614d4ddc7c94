#!/usr/bin/env bash
# Runs the program of a package for another architecture, under qemu's emulation of a processor:
# kube-config, kubectl, and a server that is killed in the middle of its work and started again
# with its data. The network is one of its own.
#
#   emulated.sh PACKAGE.deb...
set -euo pipefail

die() { echo "emulated: $*" >&2; exit 1; }

# inside ROOT: the check itself, in namespaces of its own; $EMULATOR is qemu's program.
inside() {
  local root=$1 program=$1/usr/bin/wheelhouse state=$1/state server n
  as() { local name=$1; shift; "$EMULATOR" -0 "$name" "$program" "$@"; }
  kubectl() { as kubectl --kubeconfig "$state/admin.kubeconfig" --request-timeout 60s "$@"; }
  serve() {
    "$EMULATOR" -0 wheelhouse "$program" server --address 10.245.9.2 --state-dir "$state" --quota-backend-bytes 536870912 >>"$root/log" 2>&1 &
    server=$!
    for ((n = 0; n < 300; n++)); do
      [ ! -e "$state/admin.kubeconfig" ] || [ "$(kubectl get --raw /readyz 2>/dev/null)" != ok ] || return 0
      kill -0 "$server" 2>/dev/null || break
      sleep 1
    done
    tail -5 "$root/log" >&2
    die "the server is not ready"
  }
  ip link set lo up
  ip address add 10.245.9.2/24 dev lo
  as kube-config info | grep -E '^(Architecture|kubernetes client version)'
  serve
  for ((n = 1; n <= 20; n++)); do kubectl create configmap "c$n" --from-literal=n="$n" -n default >/dev/null; done
  kill -KILL "$server"
  wait "$server" 2>/dev/null || true
  serve
  n=$(kubectl get configmaps -n default -o name | grep -cE '/c[0-9]+$')
  [ "$n" = 20 ] || die "of 20 objects $n are there after a kill"
  echo "emulated: all 20 objects are there after a kill; the server uses $(du -sm "$state" | cut -f1) MB of disk"
  kill "$server"
  wait "$server" || true
}

if [ "$1" = inside ]; then
  inside "$2"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for deb; do
  arch=$(dpkg-deb -f "$deb" Architecture)
  case $arch in
  arm64) EMULATOR=qemu-aarch64-static ;;
  armhf) EMULATOR=qemu-arm-static ;;
  *) continue ;;
  esac
  export EMULATOR
  command -v "$EMULATOR" >/dev/null || { apt-get -q -y update && apt-get -q -y install --no-install-recommends qemu-user-static; } >"$work/apt.log" 2>&1 ||
    die "$EMULATOR is missing: apt-get install qemu-user-static"
  echo "emulated: $(basename "$deb")"
  dpkg-deb -x "$deb" "$work/$arch"
  unshare --net --pid --fork --kill-child "$0" inside "$work/$arch"
done
