# master.sh COMPONENT [FLAG...]: runs a component on this machine, in the background.
set -euo pipefail
mkdir -p /var/lib/hard-way
setsid wheelhouse "$@" >"/var/lib/hard-way/$1.log" 2>&1 </dev/null &
echo $! >"/var/lib/hard-way/$1.pid"
echo "$1 runs; its log is /var/lib/hard-way/$1.log"
