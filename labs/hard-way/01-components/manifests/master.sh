# master.sh COMPONENT [FLAG...]: runs a component on this machine, in the background.
set -euo pipefail
mkdir -p /var/lib/hard-way
# A second one could not listen, and stop.sh would know no other.
if pid=$(cat "/var/lib/hard-way/$1.pid" 2>/dev/null) && grep -qz wheelhouse "/proc/$pid/cmdline" 2>/dev/null; then
  echo "$1 runs already"
  exit 0
fi
setsid wheelhouse "$@" >"/var/lib/hard-way/$1.log" 2>&1 </dev/null &
echo $! >"/var/lib/hard-way/$1.pid"
echo "$1 runs; its log is /var/lib/hard-way/$1.log"
