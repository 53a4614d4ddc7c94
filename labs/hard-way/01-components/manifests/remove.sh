# Removes all that the lab has made.
for component in proxy kubelet scheduler controller-manager apiserver; do bash stop.sh $component; done
if [ -e /run/netns/hard-way ]; then
  nsenter --net=/run/netns/hard-way wheelhouse node --cleanup --name pi --address 10.249.0.2 --state-dir /var/lib/hard-way/node --cluster hard-way \
    --pod-cidr 10.250.1.0/24 --cluster-cidr 10.250.0.0/16 --service-cidr 10.251.0.0/16 >/dev/null 2>&1
  ip netns delete hard-way
fi
ip link delete hard-way 2>/dev/null
rm -rf /var/lib/hard-way
exit 0
