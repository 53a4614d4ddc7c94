#!/usr/bin/env bash
# Runs commands apart from this machine: in a network, a mount and a process namespace of their own.
# What is started in there reaches no network outside, and ends with the namespaces.
#
#   apart.sh start DIR CMD...     makes them; CMD is their first process, and they end with it
#   apart.sh run DIR CMD...       runs a command in there
#   apart.sh stop DIR             ends them, and all that runs in there
set -euo pipefail

die() { echo "apart: $*" >&2; exit 1; }

verb=${1:?start, run or stop}
mkdir -p "${2:?a directory}"
dir=$(realpath "$2")
shift 2

# alive: the process runs. After a reset of this machine its number may be another's.
alive() { [ -f "$dir/pid" ] && tr '\0' ' ' <"/proc/$(cat "$dir/pid")/cmdline" 2>/dev/null | grep -qF -- "$dir"; }

start() {
  ! alive || return 0
  [ "$(id -u)" = 0 ] || die "run this as root"
  rm -f "$dir/pid"
  unshare --net --mount --pid --fork --kill-child --mount-proc "$0" first "$dir" "$@" </dev/null >"$dir/first.out" 2>&1 &
  local outer=$! first
  for _ in $(seq 300); do
    kill -0 $outer 2>/dev/null || die "$1 has ended: $(tail -n 5 "$dir/first.out")"
    first=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null) || true
    if [ -n "$first" ]; then
      echo "${first// /}" >"$dir/pid"
      return 0
    fi
    sleep 0.1
  done
  die "no process: $(tail -n 5 "$dir/first.out")"
}

# first: the first process reaps the processes whose parents have ended, as an init system does.
first() {
  # That of this network: settings of bridges.
  mount -t sysfs sysfs /sys
  ip link set lo up
  "$@" &
  wait $!
}

case $verb in
start) start "$@" ;;
first) first "$@" ;;
run)
  alive || die "it does not run"
  exec nsenter --target "$(cat "$dir/pid")" --net --mount --pid --wd="$PWD" "$@"
  ;;
stop)
  alive || exit 0
  first=$(cat "$dir/pid")
  kill -KILL "$first"
  while kill -0 "$first" 2>/dev/null; do sleep 0.1; done
  rm -f "$dir/pid"
  ;;
*) die "$verb: want start, run or stop" ;;
esac
