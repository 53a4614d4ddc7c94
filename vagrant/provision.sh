#!/bin/sh
# Makes a virtual machine the master or a minion of the class's cluster, from the archive that was
# put at /tmp/wheelhouse-kit.tar. It fetches nothing. A second run changes only what is different.
#
#   provision.sh master|minion NAME ADDRESS MASTER-ADDRESS [IMAGE-MIRROR]
set -eu

role=$1 name=$2 address=$3 master=$4 mirror=${5:-}
admin=/etc/wheelhouse/state/server/admin.kubeconfig
kit=/var/lib/wheelhouse-kit
archive=/tmp/wheelhouse-kit.tar

say() { echo "provision: $*"; }
die() { echo "provision: $*" >&2; exit 1; }

# Some providers give a machine no address on the class's network.
own_address() {
  [ -z "$(ip -4 -o address show to "$address/32")" ] || return 0
  # The interface without an address, else the first.
  device=$(for path in /sys/class/net/e*; do
    [ -n "$(ip -4 -o address show dev "${path##*/}")" ] || echo "${path##*/}"
  done | head -n 1)
  [ -n "$device" ] || device=$(ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
  [ -n "$device" ] || die "no network interface for the address $address"
  say "the provider gave no address: $address on $device, at each start"
  cat >/etc/systemd/system/wheelhouse-address.service <<UNIT
[Unit]
Description=Address of this machine on the network of the class
After=network.target
Before=wheelhouse-server.service wheelhouse-node.service docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set $device up
ExecStart=/usr/sbin/ip address replace $address/24 dev $device

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl -q enable --now wheelhouse-address.service
}

# unpack: the archive, once for each content.
unpack() {
  if [ -f "$archive" ]; then
    sum=$(sha256sum "$archive" | cut -d' ' -f1)
    if [ "$(cat "$kit/sum" 2>/dev/null)" != "$sum" ]; then
      rm -rf "$kit"
      mkdir -p "$kit"
      tar -C "$kit" -xf "$archive"
      echo "$sum" >"$kit/sum"
    fi
    rm -f "$archive"
  fi
  [ -f "$kit/sum" ] || die "no archive at $archive: run make vagrant-archive, then vagrant provision"
}

# docker_engine: that of the machine, else the archive's packages of Debian 12.
docker_engine() {
  if ! command -v dockerd >/dev/null; then
    # shellcheck disable=SC1091
    system=$(. /etc/os-release && echo "$ID-$VERSION_ID")
    [ "$system" = debian-12 ] ||
      die "this box ($system) has no Docker Engine, and the archive has that of Debian 12 only: use another box (WHEELHOUSE_BOX)"
    say "installing the Docker Engine"
    # A machine without the Internet: only files.
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null \
      --no-install-recommends install "$kit"/packages/*.deb >"$kit/packages.log" 2>&1 ||
      { tail -n 5 "$kit/packages.log" >&2; die "apt-get install failed: see $kit/packages.log"; }
  fi
  systemctl -q enable --now docker
  if id vagrant >/dev/null 2>&1; then usermod -aG docker vagrant; fi
}

package() {
  version=$(dpkg-deb -f "$kit"/wheelhouse_*.deb Version)
  [ "$(dpkg-query -W -f '${Version}' wheelhouse 2>/dev/null)" != "$version" ] || return 0
  say "installing wheelhouse $version"
  DEBIAN_FRONTEND=noninteractive dpkg -i "$kit"/wheelhouse_*.deb >"$kit/wheelhouse.log" 2>&1 ||
    { tail -n 5 "$kit/wheelhouse.log" >&2; die "dpkg -i failed: see $kit/wheelhouse.log"; }
}

# images: Docker Engine 20.10, that of Debian 12, reads no zstd.
images() {
  [ -f "$kit/images.tar.zst" ] || die "the archive has no images"
  [ ! -f "$kit/loaded" ] || return 0
  say "loading the images of the labs"
  command -v zstd >/dev/null || dpkg -i "$kit"/packages/zstd_*.deb >"$kit/zstd.log" 2>&1 || die "this box has no zstd, and the archive none for it: see $kit/zstd.log"
  zstd -q -d -c "$kit/images.tar.zst" | docker load -q >"$kit/images.log" || die "docker load failed: see $kit/images.log"
  touch "$kit/loaded"
}

# names: the master and this machine have their names in /etc/hosts.
names() {
  sed -i '/# wheelhouse$/d' /etc/hosts
  echo "$master master # wheelhouse" >>/etc/hosts
  [ "$role" = master ] || echo "$address $name # wheelhouse" >>/etc/hosts
}

# Pods of the master get 10.246.0.0/24, those of minion-1 10.246.1.0/24, as in the workshop.
pods() { echo "10.246.${1#minion-}.0/24"; }

# join_cluster ARGUMENTS...: kube-config, with the class's registry if there is one.
join_cluster() {
  if [ -n "$mirror" ]; then set -- "$@" --image-mirror "$mirror"; fi
  if [ -n "$mirror" ] && [ -s /tmp/image-mirror-ca.crt ]; then set -- "$@" --image-mirror-ca /tmp/image-mirror-ca.crt; fi
  kube-config "$@"
}

become_master() {
  join_cluster enable-master --name "$name" --address "$address" --pod-cidr "$(pods 0)"
  # The node registers itself when it has started, which an emulated machine takes a minute for.
  kubectl wait --for=create "node/$name" --timeout=10m
  kubectl cordon "$name"
  if id vagrant >/dev/null 2>&1; then
    install -d -m 0700 -o vagrant -g vagrant ~vagrant/.kube
    install -m 0600 -o vagrant -g vagrant "$admin" ~vagrant/.kube/config
  fi
}

become_minion() {
  if [ -s /tmp/join-token ]; then
    join_cluster enable-worker "$master" --name "$name" --address "$address" --pod-cidr "$(pods "$name")" --token-file /tmp/join-token
    rm -f /tmp/join-token
  else
    join_cluster enable-worker "$master" --name "$name" --address "$address" --pod-cidr "$(pods "$name")"
  fi
}

own_address
unpack
docker_engine
package
images
names
install -m 0755 "$kit/validate-cluster" /usr/local/bin/validate-cluster
if [ "$role" = master ]; then
  become_master
else
  become_minion
fi
