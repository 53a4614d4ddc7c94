# stop.sh COMPONENT: ends a component that master.sh or node.sh has started.
pid=$(cat "/var/lib/hard-way/$1.pid" 2>/dev/null) || exit 0
rm -f "/var/lib/hard-way/$1.pid"
# The number may be that of another program by now.
grep -qz wheelhouse "/proc/$pid/cmdline" 2>/dev/null || exit 0
kill "$pid"
for _ in $(seq 100); do [ -e "/proc/$pid" ] || exit 0; sleep 0.1; done
kill -9 "$pid"
