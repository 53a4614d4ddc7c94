# node.sh COMPONENT [FLAG...]: runs a component of the node, in the background. The machine's disk is nearly the
# node's only resource that other programs use, so pressure on it is left out.
set -euo pipefail
# A second one could not listen, and stop.sh would know no other.
if pid=$(cat "/var/lib/hard-way/$1.pid" 2>/dev/null) && grep -qz wheelhouse "/proc/$pid/cmdline" 2>/dev/null; then
  echo "$1 runs already"
  exit 0
fi
more=()
[ "$1" != kubelet ] || more=(--eviction-hard "memory.available<50Mi")
setsid nsenter --net=/run/netns/hard-way wheelhouse "$@" --name pi --address 10.249.0.2 \
  --kubeconfig /var/lib/hard-way/server/pi.kubeconfig --state-dir /var/lib/hard-way/node --cluster hard-way \
  --pod-cidr 10.250.1.0/24 --cluster-cidr 10.250.0.0/16 --service-cidr 10.251.0.0/16 --cluster-dns 10.251.0.10 "${more[@]}" \
  >"/var/lib/hard-way/$1.log" 2>&1 </dev/null &
echo $! >"/var/lib/hard-way/$1.pid"
echo "$1 runs on the node; its log is /var/lib/hard-way/$1.log"
