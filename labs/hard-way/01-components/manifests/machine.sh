# A network namespace is the machine of the only node: 10.249.0.2. This machine is the master: 10.249.0.1.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "a network namespace needs root" >&2; exit 1; }
mkdir -p /var/lib/hard-way
ip netns add hard-way
ip link add hard-way type veth peer name eth0 netns hard-way
ip addr add 10.249.0.1/24 dev hard-way
ip link set hard-way up
ip -n hard-way addr add 10.249.0.2/24 dev eth0
ip -n hard-way link set eth0 up
ip -n hard-way link set lo up
ip -n hard-way route add default via 10.249.0.1
