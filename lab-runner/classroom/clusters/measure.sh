#!/bin/bash
# What sealed clusters cost that do nothing: measure.sh [CLUSTERS [SECONDS]]. Needs root, Docker and bin/wheelhouse (`make build`).
# Prints the seconds of each `up`, and, after a minute in which they settle and SECONDS more, what a cluster has on average:
# the memory of its processes (PSS: a page that several share counts in parts) and their share of a processor.
set -euo pipefail
cd "$(dirname "$0")/../../.."
n=${1:-2} seconds=${2:-60}
names=() ; for i in $(seq "$n"); do names+=("idle$$-$i"); done
trap 'for c in "${names[@]}"; do bin/wheelhouse down --name "$c" >/dev/null || true; done' EXIT
available() { awk '/^MemAvailable/ {printf "%d", $2/1024}' /proc/meminfo; }
pids() { bin/wheelhouse status --name "$1" -o json | jq -r '.processes[] | "\(.id) \(.pid)"'; }
ticks() { local sum=0 c id pid; for c in "${names[@]}"; do while read -r id pid; do
  sum=$((sum + $(cut -d')' -f2- "/proc/$pid/stat" | awk '{print $12+$13}'))); done < <(pids "$c"); done; echo "$sum"; }

before=$(available)
for c in "${names[@]}"; do
  began=$(date +%s.%N)
  bin/wheelhouse up --sealed --nodes 1 --name "$c" >/dev/null
  printf '%s is up after %.1f s\n' "$c" "$(echo "$(date +%s.%N) - $began" | bc)"
done
sleep 60
from=$(ticks); sleep "$seconds"; to=$(ticks)
echo "process            PSS of it that are the heap and stacks (MB, mean of $n)"
for c in "${names[@]}"; do while read -r id pid; do
  awk -v id="$id" '/^Pss:/ {p=$2} /^Pss_Anon:/ {a=$2} END {print id, p/1024, a/1024}' "/proc/$pid/smaps_rollup"; done < <(pids "$c"); done |
  awk -v n="$n" '{p[$1]+=$2; a[$1]+=$3; P+=$2; A+=$3} END {for (i in p) printf "%-16s %5.1f %5.1f\n", i, p[i]/n, a[i]/n; printf "%-16s %5.1f %5.1f\n", "all", P/n, A/n}'
awk -v t="$((to - from))" -v s="$seconds" -v n="$n" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "processor: %.2f %% of a core\n", 100*t/hz/s/n}'
echo "available memory of the machine: $(( (before - $(available)) / n )) MB less for each"
