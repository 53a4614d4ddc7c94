#!/usr/bin/env bash
# Measures what an idle cluster of one master and one worker costs on this machine, under a limit of
# memory, and compares it with the budget of a Raspberry Pi with 1 GB. It starts a local cluster of
# its own and takes it down.
#
#   budget.sh [SECONDS]       how long it looks at the idle cluster; default 300
#
# SCALE   how many times this machine's core is as fast as one of a Pi 3 (Cortex-A53, 1.2 GHz);
#         default 10, on the safe side for today's servers
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-300}
scale=${SCALE:-10}
program=${WHEELHOUSE:-$here/../bin/wheelhouse}
name=budget$$
limit=$((150 + 2 * 60)) # MB: a server and two nodes

die() { echo "budget: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run this as root: it starts a cluster in a control group"
[ -x "$program" ] || die "no $program: make build"
command -v strace >/dev/null || die "strace is missing: apt-get install strace"

# group: a control group with the limit, of either version.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then group=/sys/fs/cgroup/$name file=memory.max; else group=/sys/fs/cgroup/memory/$name file=memory.limit_in_bytes; fi
log=$(mktemp)
down() {
  "$program" down --name "$name" >>"$log" 2>&1 || cat "$log" >&2
  rmdir "$group" 2>/dev/null || true
  rm -f "$log" "$log".*
}
mkdir "$group"
trap down EXIT
echo $((limit << 20)) >"$group/$file"
# The setting that kube-config writes for the server of a machine with 925 MiB.
sh -c 'echo $$ >"$0"; exec "$@"' "$group/cgroup.procs" env GOMEMLIMIT=231MiB "$program" up --name "$name" --nodes 1 >"$log" 2>&1 || { cat "$log" >&2; die "the cluster does not start within $limit MB"; }

pid() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' /var/lib/wheelhouse/$name/run/"$1".json; }
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
written() { awk '/^write_bytes/ {print $2}' "/proc/$1/io"; }
resident() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$1/status"; }

server=$(pid server)
node=$(pid node-minion-1)
hertz=$(getconf CLK_TCK)
verdict() { awk -v got="$2" -v most="$3" -v what="$1" -v unit="$4" 'BEGIN {printf "budget: %-42s %8.2f %-14s budget %6g  %s\n", what, got, unit, most, got < most ? "met" : "NOT MET"; exit got >= most}' || failed=yes; }
failed=''
declare -A cpu bytes
sleep 60 # what a start leaves to do
for p in $server $node; do cpu[$p]=$(ticks "$p") bytes[$p]=$(written "$p"); done
sleep "$seconds"
for who in server node; do
  p=${!who}
  cpu[$p]=$(($(ticks "$p") - ${cpu[$p]})) bytes[$p]=$(($(written "$p") - ${bytes[$p]}))
done
verdict "server: resident" "$(resident "$server")" 150 MB
verdict "node: resident" "$(resident "$node")" 60 MB
for who in server node; do
  p=${!who}
  verdict "$who: idle, of a Pi 3's core (this one's * $scale)" "$(awk -v t="${cpu[$p]}" -v h="$hertz" -v s="$seconds" -v f="$scale" 'BEGIN {print 100 * t / h / s * f}')" 3 %
  verdict "$who: writes" "$(awk -v b="${bytes[$p]}" -v s="$seconds" 'BEGIN {print b / s * 86400 / 1e6}')" 100 "MB a day"
done
for who in server node; do
  timeout 60 strace -f -qq -c -e trace=fsync,fdatasync,sync_file_range -o "$log.strace" -p "${!who}" || [ $? = 124 ]
  verdict "$who: syncs" "$(awk '$NF ~ /sync/ {n += $4} END {print n / 60}' "$log.strace")" 2 "a second"
done
echo "budget: measured over $seconds s with a limit of $limit MB for a server and two nodes; load of the machine: $(cut -d' ' -f1-3 /proc/loadavg)"
[ -z "$failed" ]
